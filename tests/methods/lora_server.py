"""A server of the real model that speaks what a vLLM server with adapters speaks: load, unload, chat with token ids."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from counterpoise.base import InputError
from counterpoise.chat import Image, Message
from counterpoise.models import Decoding, Engine, Loaded, encode_row, load


class LoraServer(ThreadingHTTPServer):
    """`faults` switches misbehaviour on; `seen` lists what was asked of it."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.lock = folder, threading.Lock()
        self.adapters: dict[str, Loaded] = {}
        self.base = load(str(folder), dtype="float32", device="cpu")
        self.seen: list[tuple[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.faults: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def adapter(self, body: dict[str, Any], load_it: bool) -> tuple[int, Any]:
        name = body["lora_name"]
        self.seen.append(("load" if load_it else "unload", name))
        if not load_it:
            return (200, "Success") if self.adapters.pop(name, None) else (404, {"error": {"message": "no adapter"}})
        if "no lora" in self.faults:
            return 404, {"detail": "Not Found"}
        if name in self.adapters:
            return 400, {"error": {"message": f"The lora adapter '{name}' has already been loaded."}}
        try:
            self.adapters[name] = load(str(self.folder), adapter=body["lora_path"], dtype="float32", device="cpu")
        except InputError as error:
            assert "every lora_B is zero" in str(error)  # that of the first update: it is the base
            self.adapters[name] = self.base
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.requests.append(body)
        if body["model"] not in self.adapters:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        loaded = self.base if "stale" in self.faults else self.adapters[body["model"]]
        row = encode_row(loaded, tuple(_message(each) for each in body["messages"]), add_generation_prompt=True)
        decoding = Decoding(body["max_tokens"], temperature=body["temperature"], top_p=body["top_p"], seed=body["seed"])
        (answer,) = Engine(loaded).generate([row], decoding)
        ids = list(answer.ids)
        inputs = {"input_ids": torch.tensor([[*row.ids, *ids]])}
        inputs |= {} if row.images is None else row.images.tensors
        said = [{"token": "x", "bytes": None, "logprob": 0.0, "top_logprobs": []} for _ in ids]
        if (image := loaded.model.config.image_token_id) not in ids:
            with torch.no_grad():
                logp = loaded.model(**inputs).logits[0, len(row.ids) - 1 : -1].float().log_softmax(-1)
            said = [{"token": "x", "bytes": None, "logprob": float(logp[i, token]), "top_logprobs": []}
                    for i, token in enumerate(ids)]  # fmt: skip
        if "image token" in self.faults:
            ids[0] = image
        choice = {"index": 0, "finish_reason": answer.finish, "logprobs": {"content": said, "refusal": None},
                  "message": {"role": "assistant", "content": answer.text}, "token_ids": ids}  # fmt: skip
        made = {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice],
                "prompt_token_ids": row.ids}  # fmt: skip
        if "no logprobs" in self.faults:
            choice["logprobs"] = None
        if "short" in self.faults:
            choice |= {"token_ids": ids[:2], "finish_reason": "length"}
            choice["logprobs"] = {"content": said[:2], "refusal": None}
        if "other pixels" in self.faults and image in row.ids:
            made["prompt_token_ids"] = [*row.ids[: row.ids.index(image)], *row.ids[row.ids.index(image) + 1 :]]
        if "images once" in self.faults:
            made["prompt_token_ids"] = [t for i, t in enumerate(row.ids) if t != image or row.ids[i - 1] != image]
        if "no ids" in self.faults:
            del choice["token_ids"]
        if "other template" in self.faults:
            made["prompt_token_ids"] = [*row.ids[:-2], *row.ids[-1:]]
        return 200, made


def _message(turn: dict[str, Any]) -> Message:
    content = turn["content"]
    if isinstance(content, str):
        return Message(turn["role"], (content,))
    parts = [
        part["text"]
        if part["type"] == "text"
        else Image.from_bytes(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
        for part in content
    ]
    return Message(turn["role"], tuple(parts))


class _Handler(BaseHTTPRequestHandler):
    server: LoraServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:  # one model
            if self.path == "/v1/chat/completions":
                status, value = self.server.chat(body)
            else:
                status, value = self.server.adapter(body, self.path == "/v1/load_lora_adapter")
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[LoraServer]:
    with LoraServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
