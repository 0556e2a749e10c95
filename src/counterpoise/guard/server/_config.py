"""Configuration of the server: one frozen object, read from YAML, wrong entries reported together."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from counterpoise.base import InputError, read_yaml

Mode = Literal["buffer", "window", "end"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Policy(_Part):
    """What must look at a request, and what stops it."""

    guards: tuple[str, ...] = ("tiny", "keyword")
    """Guards by name, as in `counterpoise guard list`. Every part of a request must be seen by one of them."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """p_unsafe from which a request is blocked; without it the guard's own label decides."""
    thresholds: dict[str, float] = {}
    """The same for a category, by the guard's own name of it; the strictest that applies decides."""
    controversial: Literal["block", "review", "allow"] = "block"
    """What becomes of requests between safe and unsafe."""
    dry_run: bool = False
    """Say what would have happened, and let everything pass."""


class Limits(_Part):
    """What is refused before anything is decoded."""

    images: int = Field(default=20, ge=0)
    image_bytes: int = Field(default=4_000_000, ge=1)
    """Of one encoded image."""
    pixels: int = Field(default=40_000_000, ge=1)
    """Of one image, read from its header."""
    alpha_on_black: bool = False
    """Look at images with transparency twice: on white, as models' servers flatten them, and on black."""
    request_pixels: int = Field(default=100_000_000, ge=1)
    """Of all images of a request together."""
    body_bytes_in_flight: int = Field(default=400_000_000, ge=1)
    """Of all requests that are being answered; beyond it requests get 429."""
    request_bytes: int = Field(default=25_000_000, ge=1)
    text_characters: int = Field(default=2_000_000, ge=1)
    """Of all texts of a request together."""
    texts: int = Field(default=512, ge=1)
    """Text parts of a request."""
    body_seconds: float = Field(default=20, gt=0)
    """Longest time that a client may take to send the head of its request, and again its body."""
    read_seconds: float = Field(default=60, gt=0)
    """Longest time that a client may leave an answer unread."""
    piece_characters: int = Field(default=4_000, ge=1000)
    """A request with more text than this is looked at in overlapping pieces of that length, in turn with others. A word
    piece counts for at least three characters, so that noise is cut into shorter pieces than English."""
    long_requests: int = Field(default=8, ge=1)
    """Requests with that much text that are looked at at the same time; one client may have half of them."""
    work_seconds: float = Field(default=120, gt=0)
    """Longest computing of the guards for one request, and for one look at an answer; what would take longer is
    refused as soon as that can be told."""
    wrong_keys_per_minute: int | None = Field(default=20, ge=1)
    """Per address; whoever gives more must wait before another key is looked at."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Per API key, or per address without keys."""


class Upstream(_Part):
    """The model behind the proxy, at an OpenAI-compatible address."""

    base_url: str
    """Such as http://localhost:8000/v1."""
    api_key_env: str | None = None
    """Environment variable with its key. Without it the client's own key is passed on."""
    seconds: float = Field(default=120, gt=0)
    """Longest silence of the upstream."""
    stream: Mode = "buffer"
    """buffer: nothing leaves before the whole answer is checked. window: sentences leave when they are. end: everything
    leaves at once and is checked afterwards (it leaks)."""
    window: int = Field(default=400, ge=16)
    """Characters after which a sentence without an end is checked, in mode window."""
    models: tuple[str, ...] = ()
    """Models that may be asked for; without any, every name."""
    parameters: tuple[str, ...] = ()
    """Further parameters of a request that the upstream takes. They pass with numbers and words in them, which are
    read like texts; without being named here, what is not known is refused."""


class Fetch(_Part):
    """Images by address. Off unless hosts are named."""

    hosts: tuple[str, ...] = ()
    """Host names from which images may be fetched."""
    http: bool = False
    """Also without TLS."""
    seconds: float = Field(default=5, gt=0)


LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServerConfig(_Part):
    """All settings of `counterpoise guard serve`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8808, ge=0, le=65535)
    policies: dict[str, Policy] = {"default": Policy()}
    default_policy: str = "default"
    limits: Limits = Limits()
    upstream: Upstream | None = None
    fetch: Fetch = Fetch()
    fail_open: bool = False
    """Let requests pass when a guard is broken or late. Every such pass is logged as an error and counted."""
    api_keys_env: str | None = None
    """Environment variable with the accepted keys, separated by commas. Without it everybody may ask."""
    hosts: list[str] | None = None
    """Names (Host header) under which the server may be asked. Without keys on a loopback address: those of loopback,
    unless given; otherwise any."""
    anonymous: bool = False
    """Answer without keys on an address that others can reach."""
    seconds: float = Field(default=30, gt=0)
    """Longest time for the verdict on a request, or on each piece of a long one."""
    batch: int = Field(default=32, ge=1)
    """Most exchanges that a guard looks at together; fewer where they would take it long."""
    wait_ms: float = Field(default=2, ge=0)
    """How long a guard under load waits for more of them."""
    queue: int = Field(default=256, ge=1)
    """Exchanges that may wait for a guard; beyond it requests get 429."""
    cache: int = Field(default=4096, ge=0)
    """Verdicts that are remembered, by content."""

    @property
    def names(self) -> Collection[str] | None:
        """See `hosts`; None: any."""
        if self.hosts is None and self.api_keys_env is None and self.host in LOOPBACK:
            return LOOPBACK
        return self.hosts

    @model_validator(mode="after")
    def _check(self) -> "ServerConfig":
        if self.default_policy not in self.policies:
            raise ValueError(
                f"default_policy {self.default_policy!r} is not among policies: {', '.join(self.policies)}"
            )
        if self.host not in LOOPBACK and self.api_keys_env is None and not self.anonymous:
            raise ValueError(f"host {self.host}: anybody could ask; set api_keys_env, or anonymous: true")
        if empty := [name for name, policy in self.policies.items() if not policy.guards]:
            raise ValueError(f"policy {empty[0]!r} has no guards")
        if self.upstream and not self.upstream.base_url.startswith(("http://", "https://")):
            raise ValueError(f"upstream.base_url {self.upstream.base_url!r}: expected http:// or https://")
        return self


def read_config(path: str | Path | None, **changes: Any) -> ServerConfig:
    """The settings in a YAML file, or the defaults, with `changes` that are not None on top.

    Raises InputError that names every wrong entry.
    """
    value: Any = {}
    if path is not None:
        value = read_yaml(Path(path)) or {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected settings, name: value")
    value |= {name: change for name, change in changes.items() if change is not None}
    try:
        return ServerConfig.model_validate(value)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise InputError(f"{path or 'settings'}: {wrong}") from error
