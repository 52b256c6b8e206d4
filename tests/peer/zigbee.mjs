// Zigbee2MQTT's own converters behind a small bridge: the bridge announces real models with their real `exposes`, and
// every payload that sayso publishes is carried out by the converters of the model, which end in Zigbee commands. The
// client is MQTT.js, with the response topics and correlation data of MQTT 5.
// Usage: node zigbee.mjs SAYSO FOLDER_WITH_NODE_MODULES
import { createRequire } from "node:module";
import { Stage } from "./stage.mjs";

const [sayso, packages] = process.argv.slice(2);
const require = createRequire(`${packages}/from-here.js`);
const converters = require("zigbee-herdsman-converters");
const quiet = { debug() {}, info() {}, warning() {}, error() {} };
converters.setLogger(quiet);

// [name, model, manufacturer]
const MODELS = [
    ["Shelf lamp", "TRADFRI bulb E27 CWS opal 600lm", "IKEA of Sweden"],
    ["Heater plug", "TRADFRI control outlet", "IKEA of Sweden"],
    ["Attic blind", "FYRTUR block-out roller blind", "IKEA of Sweden"],
    ["Shed lock", "YRD226/246 TSDB", "Yale"],
    ["Radiator", "eTRV0103", "Danfoss"],
    ["Balcony door", "lumi.sensor_magnet.aq2", "LUMI"],
    ["Cellar probe", "lumi.weather", "LUMI"],
];

/** A Zigbee endpoint as the converters know it: by the name of its class. Records what is sent over the air. */
class Endpoint {
    ID = 1;
    inputClusters = [];
    outputClusters = [];
    binds = [];
    meta = {};
    clusters = {};
    #device;
    #sent;

    constructor(device, sent) {
        this.#device = device;
        this.#sent = sent;
        this.deviceIeeeAddress = device.ieeeAddr;
    }

    getDevice() { return this.#device; }
    getInputClusters() { return []; }
    getOutputClusters() { return []; }
    supportsInputCluster() { return true; }
    supportsOutputCluster() { return true; }
    getClusterAttributeValue() { return undefined; }
    saveClusterAttributeKeyValue() {}
    async command(cluster, command, payload) { this.#sent.push({ cluster, command, payload }); }
    async write(cluster, attributes) { this.#sent.push({ cluster, write: attributes }); }
    async read() { return {}; }
}

class Device {
    type = "Router";
    meta = {};
    customClusters = {};

    constructor(modelID, manufacturerName, sent) {
        this.modelID = modelID;
        this.manufacturerName = manufacturerName;
        this.ieeeAddr = `0x00124b00${modelID.length.toString(16).padStart(8, "0")}`;
        this.endpoints = [new Endpoint(this, sent)];
    }

    getEndpoint() { return this.endpoints[0]; }
}

const stage = await Stage.start(sayso, packages);
const sent = [];
const devices = new Map();
const announced = [];
for (const [index, [name, model, manufacturer]] of MODELS.entries()) {
    const device = new Device(model, manufacturer, sent);
    const [endpoint] = device.endpoints;
    const definition = await converters.findByDevice(device, false);
    if (!definition) {
        throw new Error(`the package knows no ${model}`);
    }
    const { exposes } = definition;
    const real = typeof exposes === "function" ? exposes(device, {}) : exposes;
    devices.set(name, { definition, device, endpoint, state: {} });
    announced.push({
        ieee_address: `0x00124b000000000${index}`,
        friendly_name: name,
        type: "Router",
        supported: true,
        disabled: false,
        definition: {
            model: definition.model,
            vendor: definition.vendor,
            description: definition.description,
            exposes: JSON.parse(JSON.stringify(real)),
        },
    });
}

/** Carries out a payload as Zigbee2MQTT does: each key by the first converter that has it. */
async function carryOut(name, message) {
    const found = devices.get(name);
    for (const [key, value] of Object.entries(message)) {
        const converter = found.definition.toZigbee.find((one) => one.key?.includes(key));
        if (!converter?.convertSet) {
            throw new Error(`no converter of ${name} sets ${key}`);
        }
        const meta = {
            message,
            mapped: found.definition,
            options: {},
            state: found.state,
            device: found.device,
            endpoint_name: undefined,
            publish() {},
        };
        const result = await converter.convertSet(found.endpoint, key, value, meta);
        // Some converters leave the state to the report of the device itself.
        Object.assign(found.state, result?.state ?? { [key]: value });
    }
    await stage.publish(`zigbee2mqtt/${name}`, found.state, true);
}

let work = Promise.resolve();
await stage.listen("zigbee2mqtt/+/set", (topic, payload) => {
    const name = topic.split("/")[1];
    work = work.then(() => carryOut(name, JSON.parse(payload))).catch((e) => sent.push({ error: e.message }));
});
await stage.publish("zigbee2mqtt/bridge/state", { state: "online" }, true);
await stage.publish("zigbee2mqtt/bridge/devices", announced, true);
await stage.serve();

/** Says a sentence; the command that the converters sent last must fit. */
async function commands(text, fits) {
    sent.length = 0;
    const reply = await stage.say(text);
    const event = reply.outcome === "done" ? await stage.event() : undefined;
    const good = reply.outcome === "done" && sent.some(fits) && !sent.some((one) => one.error);
    const confirmed = event?.event === "confirmed";
    stage.report(good && confirmed, `${text}: ${reply.outcome}, ${event?.event}, ${JSON.stringify(sent)}`);
}

const is = (cluster, command, fits = () => true) =>
    (one) => one.cluster === cluster && one.command === command && fits(one.payload ?? {});
const near = (a, b, by) => Math.abs(a - b) <= by;
await commands("turn on the shelf lamp", is("genOnOff", "on"));
await commands("set the shelf lamp to 40 percent",
    is("genLevelCtrl", "moveToLevelWithOnOff", (p) => near(p.level, 102, 1)));
await commands("make the shelf lamp red",
    is("lightingColorCtrl", "moveToColor", (p) => near(p.colorx / 65535, 0.7, 0.03)));
await commands("make the shelf lamp warm white",
    (one) => one.cluster === "lightingColorCtrl" && (near(one.payload?.colortemp, 370, 10) ||
        // This model has no white of its own: its converter mixes it.
        near(one.payload?.colorx / 65535, 0.46, 0.02)));
await commands("turn off the heater plug", is("genOnOff", "off"));
await commands("set the attic blind to 30 percent",
    is("closuresWindowCovering", "goToLiftPercentage", (p) => p.percentageliftvalue === 70));
await commands("lock the shed lock", is("closuresDoorLock", "lockDoor"));
await commands("set the radiator to 21 degrees", (one) =>
    one.write?.occupiedHeatingSetpoint === 2100 || one.payload?.setpoint === 2100);
await stage.publish("zigbee2mqtt/Balcony door", { contact: false, battery: 97 }, true);
await stage.publish("zigbee2mqtt/Cellar probe", { temperature: 12.5, humidity: 61 }, true);
await stage.answers("is the balcony door open?", "Yes");
await stage.answers("what is the temperature of the cellar probe", "12.5");
const reply = await stage.say("unlock the shed lock");
stage.report(reply.outcome === "unclear", `unlocking asks first: ${reply.speech}`);
await stage.end();
