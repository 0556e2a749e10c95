"""The real LiteLLM proxy with us as its generic guardrail. It is large: name its executable to run this."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from serving import BLUE, RED, live, picture, said, text

pytestmark = pytest.mark.slow
KEY = f"sk-{secrets.token_hex(32)}"
"""Of the proxy, for this run; it does not start without one."""


@pytest.fixture(scope="module")
def executable() -> str:
    found = os.environ.get("COUNTERPOISE_LITELLM") or shutil.which("litellm")
    if not found:
        pytest.skip("no LiteLLM here: set COUNTERPOISE_LITELLM to the litellm executable of a venv with litellm[proxy]")
    return found


class _Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible model that repeats the last word it is told."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        words = content if isinstance(content, str) else content[0]["text"]
        answer = "something forbidden" if "trick" in words else "fine"
        made = json.dumps({
            "id": "c1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(made)))
        self.end_headers()
        self.wfile.write(made)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("litellm")
    model = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    with live() as guard:
        config = {
            "model_list": [{"model_name": "m", "litellm_params": {
                "model": "openai/m", "api_base": f"http://127.0.0.1:{model.server_port}/v1", "api_key": "none"}}],
            "guardrails": [{"guardrail_name": "counterpoise", "litellm_params": {
                "guardrail": "generic_guardrail_api", "mode": ["pre_call", "post_call"], "api_base": guard,
                "api_key": "none", "default_on": True}}],
        }  # fmt: skip
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        port = free_port()
        with (folder / "log.txt").open("w") as log:
            process = subprocess.Popen(
                [executable, "--config", str(folder / "config.yaml"), "--port", str(port), "--host", "127.0.0.1"],
                stdout=log, stderr=log,
                env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY},
            )  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 400
            while time.monotonic() < until and process.poll() is None:
                try:
                    if httpx.get(f"{base}/health/liveliness", timeout=5).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(1)
            else:
                pytest.fail((folder / "log.txt").read_text()[-3000:])
            yield base
        finally:
            process.terminate()
            process.wait(30)
            model.shutdown()


def chat(proxy: str, content: object) -> httpx.Response:
    body = {"model": "m", "messages": [said(content)]}
    return httpx.post(f"{proxy}/v1/chat/completions", json=body, timeout=60, headers={"Authorization": f"Bearer {KEY}"})


def test_what_is_fine_passes(proxy: str) -> None:
    found = chat(proxy, "hello")
    assert found.status_code == 200 and found.json()["choices"][0]["message"]["content"] == "fine", found.text
    assert chat(proxy, [text("look"), picture(BLUE)]).status_code == 200


def test_what_is_not_is_blocked_on_both_sides(proxy: str) -> None:
    for content in ("forbidden", [text("look"), picture(RED)], "trick"):
        found = chat(proxy, content)
        assert found.status_code >= 400 and "something forbidden" not in found.text, found.text
