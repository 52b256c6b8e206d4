"""LiteLLM's proxy between sayso and a fake model. Usage: litellm.py SAYSO LITELLM"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sayso, litellm = sys.argv[1], sys.argv[2]
folder = Path(tempfile.mkdtemp(prefix="sayso-litellm."))
processes = []

# Path below the proxy's address, and the API of each style. LiteLLM does not serve Ollama's.
STYLES = {"openai": "/v1", "responses": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}

# Phrase, the model's answer, and the expected outcome with its value or words.
LAMP = {"device": "lamp", "op": "set", "property": "brightness"}
CASES = [
    ("make the lamp somewhat cosy", {"actions": [{**LAMP, "value": 37}]}, ("done", 37)),
    ("explain a heat pump", {"speech": "It moves heat. It needs less power."},
     ("answered", "It moves heat. It needs less power.")),
    ("make the lamp nice", {"question": "How bright?"}, ("unclear", "How bright?")),
]
HOME = """[area.den]
[device.lamp]
kind = "light"
name = "Lamp"
area = "den"
can = ["power", "brightness"]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(*command, **more):
    with open(folder / "log", "ab") as log:
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **more))


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible model with one answer for each phrase. A phrase with "limit" in it is rate limited once."""

    protocol_version = "HTTP/1.1"
    limited = set()

    def log_message(self, *_):
        pass

    def send(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(200, b'{"object": "list", "data": []}')

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(request)
        if "rate limit test" in text:
            body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
            return self.send(429, json.dumps(body).encode())
        found = [answer for phrase, answer, _ in CASES if phrase in text]
        answer = {"actions": [], "question": None, "speech": None, **(found[0] if found else {})}
        content = json.dumps(answer)
        if self.path.endswith("/responses"):
            return self.respond(content, request.get("stream"))
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        common = {"id": "c", "created": 1, "model": "fake"}
        if not request.get("stream"):
            message = {"role": "assistant", "content": content}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
            return self.send(200, json.dumps(whole).encode())
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": content[at : at + 9]} for at in range(0, len(content), 9)]
        events = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        chunks = [{**common, "object": "chat.completion.chunk", "choices": [e]} for e in events]
        chunks.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return self.send(200, body.encode(), "text/event-stream")


    def respond(self, content, is_streamed):
        """Answers in the form of OpenAI's Responses API."""
        part = {"type": "output_text", "text": content, "annotations": []}
        item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
        usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
                 "input_tokens_details": {"cached_tokens": 0},
                 "output_tokens_details": {"reasoning_tokens": 0}}
        common = {"id": "r", "object": "response", "created_at": 1, "model": "fake", "error": None,
                  "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
                  "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0}
        begun = {**common, "status": "in_progress", "output": [], "usage": None}
        output = [{**item, "content": [part]}]
        whole = {**common, "status": "completed", "output": output, "usage": usage}
        if not is_streamed:
            return self.send(200, json.dumps(whole).encode())
        place = {"item_id": "m", "output_index": 0, "content_index": 0}
        events = [{"type": "response.created", "response": begun}]
        events.append({"type": "response.output_item.added", "output_index": 0,
                       "item": {**item, "status": "in_progress", "content": []}})
        events.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
        for at in range(0, len(content), 9):
            piece = content[at : at + 9]
            events.append({"type": "response.output_text.delta", **place, "delta": piece})
        events.append({"type": "response.output_text.done", **place, "text": content})
        events.append({"type": "response.content_part.done", **place, "part": part})
        events.append({"type": "response.output_item.done", "output_index": 0, "item": output[0]})
        events.append({"type": "response.completed", "response": whole})
        numbered = [{**event, "sequence_number": n} for n, event in enumerate(events)]
        body = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in numbered)
        return self.send(200, body.encode(), "text/event-stream")


def start_proxy():
    """Starts the model and LiteLLM, and returns the proxy's port."""
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    parameters = {
        "model": "openai/fake",
        "api_base": f"http://127.0.0.1:{model.server_port}/v1",
        "api_key": "sk-upstream",
        "max_retries": 0,
    }
    config = {
        "model_list": [{"model_name": "fake", "litellm_params": parameters}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"disable_cooldowns": True},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    port = free_port()
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": "sk-proxy-0123456789",
        "PATH": f"{Path(litellm).parent}:{os.environ['PATH']}",
    }
    start(litellm, "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port),
          env=environment)
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).read()
            return port
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"LiteLLM does not start; see {folder}/log")


def start_daemon(style, proxy, broker):
    """Starts sayso with one provider of this style, and returns its config file."""
    own = folder / style
    own.mkdir()
    (own / "key").write_text("sk-proxy-0123456789\n")
    (own / "key").chmod(0o600)
    (own / "home.toml").write_text(HOME)
    config = own / "sayso.toml"
    config.write_text(f"""home = "home.toml"
[mqtt]
host = "127.0.0.1"
port = {broker}
prefix = "{style}"
client_id = "sayso-{style}"
[local]
use = "never"
[[provider]]
name = "{style}"
api = "{style}"
base_url = "http://127.0.0.1:{proxy}{STYLES[style]}"
model = "fake"
key_file = "key"
trusted = true
prices = {{ in = 1.0, out = 2.0 }}
""")
    start(sayso, "run", "--config", str(config))
    return config


def say(config, phrase, *options):
    command = [sayso, "say", "--config", str(config), "--json", "--timeout", "40s", *options, phrase]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]
    return lines or [{"outcome": printed.stderr.strip()}]


def check(style, config, is_streamed):
    """Says every phrase, and returns the number that is right and the differences."""
    differences = []
    for phrase, _, (outcome, expected) in CASES:
        # Two ways of saying it, or the second would come from the cache.
        said = phrase + (" please" if is_streamed else "")
        options = ["--stream"] if is_streamed else []
        *pieces, reply = say(config, said, *options)
        value = [action.get("value") for action in reply.get("actions", [])]
        found = value[0] if value else reply.get("speech")
        is_right = reply.get("outcome") == outcome and found == expected
        if is_streamed and outcome == "answered":
            is_right = is_right and "".join(p.get("text", "") for p in pieces).strip() == expected
        if not is_right or reply.get("via") not in (style, None):
            differences.append(f"{said}: {json.dumps(reply)[:300]} after {len(pieces)} pieces")
    return differences


def main():
    broker = free_port()
    (folder / "broker.conf").write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
    start("mosquitto", "-c", "broker.conf")
    proxy = start_proxy()
    failures = 0
    for style in STYLES:
        config = start_daemon(style, proxy, broker)
        time.sleep(2)
        for is_streamed in (False, True):
            differences = check(style, config, is_streamed)
            way = "streamed" if is_streamed else "whole"
            print(f"{style:<10} {way:<9} {len(CASES) - len(differences)} of {len(CASES)} right")
            for difference in differences:
                print(f"    {difference}")
            failures += len(differences)
        reply = say(config, "rate limit test")[-1]
        print(f"{style:<10} limited   {reply.get('why')}, again in {reply.get('retry_after')} s")
    print(f"{failures} failures; log and configuration in {folder}")
    return 1 if failures else 0


try:
    status = main()
finally:
    for process in reversed(processes):
        process.terminate()
sys.exit(status)
