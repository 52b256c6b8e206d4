"""Devices of the library ha-mqtt-discoverable, which announces them to Home Assistant: sayso finds them, commands them, and
follows their states. Usage: discoverable.py SAYSO"""

import json
import queue
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ha_mqtt_discoverable import DeviceInfo, Settings
from ha_mqtt_discoverable.sensors import (
    BinarySensor, BinarySensorInfo, Cover, CoverInfo, Light, LightInfo, Lock, LockInfo, Number, NumberInfo, Select,
    SelectInfo, Sensor, SensorInfo, Switch, SwitchInfo,
)

sayso, folder = sys.argv[1], Path(tempfile.mkdtemp(prefix="sayso-peer."))
received, processes, failures = queue.Queue(), [], []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(*command):
    with open(folder / "log", "ab") as log:
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder))


def announce(entity, info, name, device=None, **options):
    """Announces an entity that puts its commands into the queue."""
    physical = DeviceInfo(name=device, identifiers=device) if device else None
    content = info(name=name, unique_id=name.replace(" ", "_"), device=physical, **options)
    settings = Settings(mqtt=Settings.MQTT(host="127.0.0.1", port=port), entity=content)
    take = lambda _client, _data, message: received.put((name, message.payload.decode()))
    announced = entity(settings, take) if entity not in (Sensor, BinarySensor) else entity(settings)
    if hasattr(announced, "write_config"):
        announced.write_config()
    return announced


def say(text):
    command = [sayso, "say", "--json", "--config", str(folder / "sayso.toml"), text]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder)
    try:
        return json.loads(result.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {"outcome": "none", "speech": result.stdout + result.stderr}


def commands(text, name, payload):
    reply = say(text)
    try:
        got = received.get(timeout=5)
    except queue.Empty:
        got = None
    good = reply["outcome"] == "done" and got is not None and got[0] == name
    good = good and (json.loads(got[1]) == payload if isinstance(payload, dict) else got[1] == payload)
    report(good, f"{text!r}: {reply['outcome']}, the device got {got}")


def answers(text, words):
    reply = say(text)
    report(words in reply.get("speech", ""), f"{text!r}: {reply.get('speech')!r}")


def report(good, line):
    print("ok    " if good else "FAILED", line)
    if not good:
        failures.append(line)


port = free_port()
(folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
(folder / "sayso.toml").write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n')
(folder / "sayso.toml").chmod(0o600)
try:
    start("mosquitto", "-c", str(folder / "mosquitto.conf"))
    time.sleep(0.5)
    switch = announce(Switch, SwitchInfo, "Coffee machine")
    light = announce(
        Light, LightInfo, "Desk lamp", brightness=True, color_mode=True, supported_color_modes=["rgb"], effect=True,
        effect_list=["rainbow", "blink"],
    )
    cover = announce(Cover, CoverInfo, "Awning")
    announce(Lock, LockInfo, "Shed lock")
    announce(Number, NumberInfo, "Fountain level", min=0, max=50)
    announce(Select, SelectInfo, "Washer program", options=["cotton", "wool"])
    probe = announce(Sensor, SensorInfo, "Temperature", device="Cellar probe", unit_of_measurement="°C", device_class="temperature")
    window = announce(BinarySensor, BinarySensorInfo, "Kitchen window", device_class="window")
    start(sayso, "run", "--config", str(folder / "sayso.toml"))
    time.sleep(3)
    commands("turn on the coffee machine", "Coffee machine", "ON")
    commands("set the desk lamp to 40 percent", "Desk lamp", {"state": "ON", "brightness": 102})
    commands("make the desk lamp red", "Desk lamp", {"state": "ON", "color": {"r": 255, "g": 0, "b": 0}})
    commands("open the awning", "Awning", "OPEN")
    commands("lock the shed lock", "Shed lock", "LOCK")
    report(say("unlock the shed lock")["outcome"] == "unclear", "unlocking asks first")
    switch.on()
    cover.closing()
    probe.set_state(21.5)
    window.on()
    time.sleep(1)
    answers("is the coffee machine on?", "Yes")
    answers("what is the temperature of the cellar probe", "21.5")
    answers("what is the contact of the kitchen window", "open")
    cover.closed()
    time.sleep(0.5)
    answers("is the awning open?", "No")
finally:
    for process in reversed(processes):
        process.terminate()
        process.wait(10)
if failures:
    print((folder / "log").read_text()[-3000:])
sys.exit(1 if failures else 0)
