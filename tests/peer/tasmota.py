"""Announcements of Tasmota, read by hatasmota, the library with which Home Assistant reads them: the messages that it would
send must be those that sayso sends, which `tests/fixtures/discovery/tasmota/*.expected.json` lists and the tests of the
workspace check. Usage: tasmota.py"""

import asyncio
import json
import sys
from pathlib import Path

from hatasmota.discovery import TASMOTA_DISCOVERY_SCHEMA, get_entities_for_platform, get_entity
from hatasmota.mqtt import TasmotaMQTTClient

fixtures = Path(__file__).parent.parent / "fixtures/discovery/tasmota"
failures, checks = 0, 0


def report(good, line):
    global failures, checks
    checks += 1
    failures += not good
    print("ok    " if good else "FAILED", line)


async def sent_by_hatasmota(entity, platform, sent):
    """Gives every command that has one form only. Lights take several, of which sayso sends another one."""
    if platform == "switch" or (platform == "light" and entity.light_type is None):
        await entity.set_state(True)
        await entity.set_state(False)
    elif platform == "fan":
        for speed in (0, 2, 3):
            await entity.set_speed(speed)
    elif platform == "cover":
        await entity.set_position(0)
        await entity.set_position(50)
        await entity.set_position(100)
        if entity.supports_tilt:
            await entity.set_tilt_position(50)


def client(sent):
    async def publish(topic, payload, _qos, _retain):
        sent.append(f"{topic} {payload}")

    async def nothing(*_):
        return {}

    return TasmotaMQTTClient(publish, nothing, nothing)


async def check(path):
    messages = json.loads(path.read_text())
    [announcement] = [message["payload"] for message in messages if message["topic"].endswith("/config")]
    # Older versions of Tasmota leave out options that they do not have.
    options = ("4", "11", "13", "17", "20", "30", "68", "73", "82", "114", "117")
    announcement["so"] = dict.fromkeys(options, 0) | announcement["so"]
    announced = TASMOTA_DISCOVERY_SCHEMA(announcement)
    expected = path.with_suffix(".expected.json").read_text()
    known = [str(value) for device in json.loads(expected) for what in device["does"].values() for value in what.values()]
    topics = " ".join(known)
    # Tasmota takes commands in any case.
    known = [message.lower() for message in known]
    for platform in ("switch", "light", "fan", "cover"):
        for config, _ in get_entities_for_platform(announced, platform):
            # The relays of a fan are its speeds.
            if config is None or (platform == "switch" and announced["if"]):
                continue
            sent = []
            entity = get_entity(config, client(sent))
            await sent_by_hatasmota(entity, platform, sent)
            name = f"{path.stem}: {platform} {config.friendly_name}"
            report(config.command_topic in topics, f"{name} is commanded below {config.command_topic}")
            for message in sent:
                report(message.lower() in known, f"{name}: {message}")


async def main():
    paths = [path for path in sorted(fixtures.glob("*.json")) if not path.name.endswith(".expected.json")]
    for path in paths:
        await check(path)
    report(checks >= 10, f"{checks} checks of {len(paths)} announcements")


asyncio.run(main())
sys.exit(1 if failures else 0)
