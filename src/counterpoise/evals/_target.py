"""The model under test: our engine for local models, a name for Inspect's own providers."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from counterpoise.base import Artifact, InputError

if TYPE_CHECKING:
    from counterpoise.models import Engine, Loaded

PROVIDERS = frozenset({
    "anthropic", "azureai", "bedrock", "cloudflare", "deepseek", "fireworks", "google", "grok", "groq",
    "hf-inference-providers", "litellm-proxy", "llama-cpp-python", "mistral", "mockllm", "moonshot", "ollama",
    "openai", "openai-api", "openai-api-completions", "openrouter", "perplexity", "sagemaker", "sambanova", "sglang",
    "together", "vllm", "vllm-completions",
})  # fmt: skip
"""First parts of names that Inspect answers for. `hf` is not among them: its provider refuses images and samples."""


def is_remote(name: str) -> bool:
    """Whether a name goes to Inspect's own providers. `google/` and `openai/` are both API providers and owners of open
    weights on the hub; Gemini and everything of OpenAI but gpt-oss are only behind an API."""
    provider, slash, model = name.partition("/")
    if not slash or provider not in PROVIDERS or Path(name).is_dir():
        return False
    if provider == "google":
        return model.startswith(("gemini", "vertex/"))
    return not (provider == "openai" and model.startswith("gpt-oss"))


class Target:
    """One model, ready to answer; `bare`: without the system text that it is served with (`Loaded.system`). Raises
    InputError for a model that cannot be loaded or an artifact not active."""

    def __init__(
        self,
        model: "str | Loaded",
        artifact: Artifact | Path | str | None,
        batch: int,
        device_map: str | None = None,
        bare: bool = False,
    ) -> None:
        self.engine: Engine | None = None
        self.facts: dict[str, Any] = {}
        if isinstance(model, str) and is_remote(model):
            if artifact is not None:
                raise InputError(f"{model}: an artifact can only be put on a local model; leave --artifact out")
            if device_map is not None:
                raise InputError(f"{model}: only a local model is spread over devices; leave --device-map out")
            self.name = self.identity = model
            self.in_flight = batch
            return
        from counterpoise import models

        if isinstance(model, str):
            loaded = models.load(model, artifact=artifact, merge=True, device_map=device_map)
        else:
            loaded = model
        if bare and loaded.system:
            loaded = replace(loaded, system="", fingerprint=f"{loaded.fingerprint}-bare")
        self._serve(models.Engine(loaded, max_batch=batch), loaded.name)
        self.facts = {"path": loaded.path, "dtype": loaded.dtype, "device": loaded.device}
        self.facts |= {"fingerprint": loaded.fingerprint, "adapter": loaded.adapter}
        self.facts |= {"image_backend": loaded.image_backend}
        if loaded.system:
            self.facts["system"] = loaded.system
        if loaded.generation_defaults:
            unused = {name: repr(value) for name, value in loaded.generation_defaults.items()}
            self.facts["generation_defaults_not_used"] = unused
        if (made := loaded.artifact) is not None:
            self.facts["artifact"] = {"kind": made.kind, "path": str(made.path), "fingerprint": made.fingerprint}
        if loaded.proof is not None:
            self.facts["adapter_proof" if loaded.adapter else "edit_proof"] = vars(loaded.proof)

    @classmethod
    def of(cls, engine: "Engine", name: str) -> "Target":
        """A target that asks an engine that is there already; `close` closes it."""
        made = cls.__new__(cls)
        made.facts = {}
        made._serve(engine, name)
        return made

    def _serve(self, engine: "Engine", name: str) -> None:
        self.engine = engine
        self.name, self.identity = name, f"{engine.loaded.fingerprint} greedy"
        self.in_flight = 4 * engine.max_batch  # the next batches are complete when one ends

    def inspect_model(self) -> Any:
        """What Inspect's `eval` takes as `model`."""
        from inspect_ai.model import get_model

        if self.engine is None:
            found = get_model(self.name)
            if address := _address(found.api):
                self.facts["base_url"] = address
            return found
        return get_model(f"counterpoise/{self.engine.loaded.path}", engine=self.engine, memoize=False)

    @property
    def server(self) -> str | None:
        """Where a remote model is asked, once it was; None of a local one, and of a service with one address."""
        return self.facts.get("base_url")

    @property
    def detours(self) -> dict[str, Any]:
        """Batches that were halved or split, with the reasons; {} when there were none."""
        return self.engine.detours if self.engine is not None else {}

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


def _address(api: Any) -> str:
    """The base URL of a provider without what may be secret in it: user, password, query."""
    found = getattr(api, "base_url", None) or getattr(getattr(api, "client", None), "base_url", None)
    parts = urlsplit(str(found or ""))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")) if host else ""
