// A broker, sayso, and an MQTT 5 client (MQTT.js) for the programs of this folder.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer, connect as connectTo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Longer than a step takes on a loaded machine. */
const PATIENCE = 60_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function freePort() {
    return new Promise((resolve) => {
        const server = createServer().listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** Waits until `condition` holds. */
async function until(condition, what) {
    const end = Date.now() + PATIENCE;
    while (!(await condition())) {
        if (Date.now() > end) {
            throw new Error(`no ${what} within ${PATIENCE / 1000} s`);
        }
        await pause(50);
    }
}

export class Stage {
    static async start(sayso, packages, home = "") {
        const stage = new Stage();
        stage.sayso = sayso;
        stage.folder = mkdtempSync(join(tmpdir(), "sayso-peer."));
        stage.port = await freePort();
        stage.processes = [];
        process.on("exit", () => stage.processes.forEach((one) => one.kill("SIGTERM")));
        stage.failures = 0;
        stage.count = 0;
        stage.received = [];
        stage.listeners = [];
        stage.log = openSync(join(stage.folder, "log"), "a");
        const file = (name, text) => writeFileSync(join(stage.folder, name), text);
        file("mosquitto.conf", `listener ${stage.port} 127.0.0.1\nallow_anonymous true\n`);
        file("sayso.toml", `home = "home.toml"\n[mqtt]\nhost = "127.0.0.1"\nport = ${stage.port}\n`);
        file("home.toml", home);
        chmodSync(join(stage.folder, "sayso.toml"), 0o600);
        stage.spawn("mosquitto", "-c", join(stage.folder, "mosquitto.conf"));
        await until(() => new Promise((resolve) => {
            const socket = connectTo(stage.port, "127.0.0.1", () => resolve(true) || socket.end());
            socket.on("error", () => resolve(false));
        }), "broker");
        const mqtt = createRequire(join(packages, "from-here.js"))("mqtt");
        stage.client = await mqtt.connectAsync(`mqtt://127.0.0.1:${stage.port}`, { protocolVersion: 5 });
        stage.client.on("message", (topic, payload, packet) => stage.receive(topic, payload.toString(), packet));
        await stage.client.subscribeAsync("#", { qos: 1 });
        return stage;
    }

    spawn(command, ...args) {
        const stdio = ["ignore", this.log, this.log];
        this.processes.push(spawn(command, args, { stdio, cwd: this.folder }));
    }

    /** Starts sayso, and waits until it knows the home. */
    async serve() {
        this.spawn(this.sayso, "run", "--config", join(this.folder, "sayso.toml"));
        const health = () => this.received.some((one) => one.topic === "sayso/health" && JSON.parse(one.payload).home.devices > 0);
        await until(health, "home");
    }

    receive(topic, payload, packet) {
        this.received.push({ topic, payload, packet });
        for (const [filter, listener] of this.listeners) {
            if (filter.test(topic)) {
                listener(topic, payload);
            }
        }
    }

    async listen(filter, listener) {
        this.listeners.push([new RegExp(`^${filter.replaceAll("+", "[^/]+")}$`), listener]);
    }

    /** The next message on a topic. */
    next(topic) {
        const from = this.received.length;
        let found;
        const is = (one) => one.topic === topic;
        return until(() => (found = this.received.slice(from).find(is)), `message on ${topic}`).then(() => found.payload);
    }

    async publish(topic, payload, retain = false) {
        await this.client.publishAsync(topic, JSON.stringify(payload), { qos: 1, retain });
    }

    /** Sends a command with a response topic and correlation data, and returns its reply. */
    async say(text) {
        this.count += 1;
        const correlation = Buffer.from(`say-${this.count}`);
        const properties = { responseTopic: "sayso/reply/peer/here", correlationData: correlation };
        this.from = this.received.length;
        this.correlation = correlation;
        await this.client.publishAsync("sayso/command/peer", text, { qos: 1, properties });
        return await this.answer("sayso/reply/peer/here");
    }

    /** The event after the last reply. */
    async event() {
        return await this.answer("sayso/reply/peer/here/event");
    }

    async answer(topic) {
        let found;
        const is = (one) => one.topic === topic && one.packet.properties?.correlationData?.equals(this.correlation);
        await until(() => (found = this.received.slice(this.from).find(is)), `answer on ${topic}`);
        return JSON.parse(found.payload);
    }

    async answers(text, words) {
        let reply;
        // A state may be on its way still.
        for (let tries = 0; tries < 20; tries += 1) {
            reply = await this.say(text);
            if (reply.speech.includes(words)) {
                break;
            }
            await pause(250);
        }
        this.report(reply.speech.includes(words), `${text}: ${reply.speech}`);
    }

    report(good, line) {
        console.log(good ? "ok    " : "FAILED", line);
        this.failures += good ? 0 : 1;
    }

    async end() {
        await this.client.endAsync();
        if (this.failures > 0) {
            console.log(readFileSync(join(this.folder, "log"), "utf8").slice(-3000));
        }
        rmSync(this.folder, { recursive: true, force: true });
        process.exit(this.failures > 0 ? 1 : 0);
    }
}
