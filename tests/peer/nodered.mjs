// Node-RED as a client: a flow sends a command when it starts, and passes the reply on.
// Usage: node nodered.mjs SAYSO FOLDER_WITH_NODE_MODULES
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stage } from "./stage.mjs";

const [sayso, packages] = process.argv.slice(2);
const stage = await Stage.start(sayso, packages, '[device.hall_lamp]\nname = "Hall lamp"\nkind = "light"\n');
await stage.serve();
const broker = { id: "broker", type: "mqtt-broker", broker: "127.0.0.1", port: String(stage.port), protocolVersion: "5" };
const flow = [
    { id: "tab", type: "tab", label: "sayso" },
    broker,
    {
        id: "start", z: "tab", type: "inject", once: true, onceDelay: 1, topic: "",
        props: [{ p: "payload" }], payload: '{"text": "turn on the hall lamp", "id": "flow-1"}', payloadType: "str",
        wires: [["command"]],
    },
    { id: "command", z: "tab", type: "mqtt out", topic: "sayso/command/nodered", qos: "1", broker: "broker", wires: [] },
    { id: "reply", z: "tab", type: "mqtt in", topic: "sayso/reply/nodered", qos: "1", datatype: "json", broker: "broker", wires: [["speech"]] },
    { id: "speech", z: "tab", type: "change", rules: [{ t: "set", p: "payload", pt: "msg", to: "payload.outcome", tot: "msg" }], wires: [["out"]] },
    { id: "out", z: "tab", type: "mqtt out", topic: "flow/result", qos: "1", broker: "broker", wires: [] },
];
writeFileSync(join(stage.folder, "flows.json"), JSON.stringify(flow));
writeFileSync(join(stage.folder, "settings.js"), `module.exports = {
    flowFile: "flows.json", httpAdminRoot: false, httpNodeRoot: false, uiPort: 0, credentialSecret: false,
    logging: { console: { level: "info" } },
};`);
const result = stage.next("flow/result");
const action = stage.next("sayso/action/hall_lamp");
stage.spawn(process.execPath, join(packages, "node_modules/node-red/red.js"), "--userDir", stage.folder,
    "--settings", join(stage.folder, "settings.js"), join(stage.folder, "flows.json"));
const outcome = await result;
stage.report(outcome === "done", `the flow received the reply: ${outcome}`);
stage.report(JSON.parse(await action).property === "power", "the lamp received its command");
await stage.end();
