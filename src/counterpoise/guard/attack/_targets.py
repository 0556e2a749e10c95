"""What is attacked: a guard in this process, or a running server."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import httpx

from counterpoise.base import InputError
from counterpoise.chat import Image

from .._registry import make_guard
from .._values import Exchange, Guard, identity
from ._attacks import Attack

Result = Literal["passed", "caught", "unknown", "not run"]
SECONDS = 120.0


class Outcome(NamedTuple):
    """What became of one try. `unknown` is blocked as well by a gate that fails closed: the guard says why it could not
    judge, or the server that it takes no such thing."""

    result: Result
    reason: str = ""


class Target(Protocol):
    """What is attacked."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """Of the guard, or of the policy of a server; empty where it has none."""
        ...

    @property
    def identity(self) -> str:
        """What results depend on; kept ones of another are not used."""
        ...

    def ask(self, tries: Sequence[Attack]) -> list[Outcome]: ...


class GuardTarget:
    """A guard in this process. Attacks in the fields of a request do not concern it."""

    def __init__(self, guard: Guard, options: Mapping[str, Any] | None = None):
        """`options`: those that the guard was made with; its verdicts depend on them."""
        self.guard, self.name, self.revision = guard, guard.id, str(getattr(guard, "revision", None) or "")
        said = ", ".join(f"{name}={value}" for name, value in sorted((options or {}).items()))
        self.identity = f"{identity(guard)} {said}".strip()

    def ask(self, tries: Sequence[Attack]) -> list[Outcome]:
        """One outcome each, in order."""
        own = [each for each in tries if each.body is None]
        found = iter(self.guard.check([Exchange(each.conversation) for each in own]))
        return [self._outcome(next(found)) if each.body is None else _NEEDS_SERVER for each in tries]

    @staticmethod
    def _outcome(verdict: Any) -> Outcome:
        if verdict.label == "unknown":
            return Outcome("unknown", str(verdict.reason))
        return Outcome("caught" if verdict.blocks() else "passed", ", ".join(verdict.inspected.undone))


_NEEDS_SERVER = Outcome("not run", "needs a server")


class ServerTarget:
    """A running guard server: conversations go to /v1/guard/check, requests with fields to its proxy.

    Raises InputError when it does not answer. A model behind the proxy is asked wherever an attack passes.
    """

    def __init__(self, url: str, *, key: str = "", client: httpx.Client | None = None):
        self.name = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = client or httpx.Client(base_url=self.name, headers=headers, timeout=SECONDS)
        ready = self._get("/ready")
        if ready.status_code != 200:
            raise InputError(f"{self.name}: not ready (status {ready.status_code}); is it a counterpoise guard server?")
        probe = self._post("/v1/guard/check", {"messages": [{"role": "user", "content": "Hello"}]})
        if probe.status_code != 200:
            raise InputError(f"{self.name}: status {probe.status_code} for a greeting: {_said(probe)}")
        self.revision = str(self._verdict(probe).get("policy_version", ""))
        self.identity = f"{self.name} {self.revision}"
        self._model = self._offered()

    def ask(self, tries: Sequence[Attack]) -> list[Outcome]:
        """One outcome each, in order, asked one by one."""
        return [self._proxied(each) if each.body is not None else self._checked(each) for each in tries]

    def _checked(self, one: Attack) -> Outcome:
        messages = [{"role": each.role, "content": [_part(part) for part in each.parts]} for each in one.conversation]
        answer = self._post("/v1/guard/check", {"messages": messages})
        if answer.status_code != 200:
            return _refused(answer)
        value = self._verdict(answer)
        if not value["blocked"]:
            return Outcome("passed")
        labels = [guard["label"] for guard in value["guards"]]
        reasons = [str(each["text"]) for each in value["reasons"]]
        judged = "unsafe" in labels or "unknown" not in labels  # a policy's own threshold blocks what is labelled safe
        return Outcome("caught" if judged else "unknown", "; ".join(reasons)[:200])

    def _verdict(self, answer: httpx.Response) -> dict[str, Any]:
        """What a guard server answers; others say 200 to anything as well."""
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("blocked"), bool):
            raise InputError(f"{self.name}: answers without a verdict; is it a counterpoise guard server?")
        return value

    def _proxied(self, one: Attack) -> Outcome:
        answer = self._post("/v1/chat/completions", {**(one.body or {}), **self._model})
        if answer.status_code == 200:
            ended = "content_filter" in answer.text
            return Outcome("caught", "the answer was blocked") if ended else Outcome("passed")
        if answer.status_code == 502 or (answer.status_code == 504 and _code(answer) == "upstream_timeout"):
            return Outcome("passed", "the request went on to a model that did not answer")
        if (status := answer.headers.get("x-upstream-status")) is not None:
            return Outcome("passed", f"the request went on to a model that answered with status {status}")
        return _refused(answer)

    def _offered(self) -> dict[str, str]:
        """A model that the server has: most refuse other names. Without a list, the name in the requests stands."""
        answer = self._get("/v1/models")
        try:
            return {"model": str(answer.json()["data"][0]["id"])}
        except (ValueError, LookupError, TypeError):
            return {}

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._client.get(path)
        except httpx.HTTPError as error:
            raise InputError(
                f"{self.name}: does not answer ({error}); start it with: counterpoise guard serve"
            ) from error

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise InputError(f"{self.name}{path}: no answer ({error})") from error


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": part.data_uri()}}
    return {"type": "text", "text": part}


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:100]


def _code(answer: httpx.Response) -> str | None:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None


def _refused(answer: httpx.Response) -> Outcome:
    """A request that was not taken: blocked for its content, or not understood, which is not passing either."""
    if (code := _code(answer)) is None:
        return Outcome("not run", f"status {answer.status_code}")
    if code == "content_blocked":
        reasons = [each["text"] if isinstance(each, dict) else each for each in answer.json()["x_guard"]["reasons"]]
        judged = any(str(each).startswith(("unsafe", "controversial", "safe")) for each in reasons)
        return Outcome("caught" if judged else "unknown", "; ".join(map(str, reasons))[:200])
    if code in ("no_upstream", "rate_limited", "overloaded", "unauthorized") or answer.status_code >= 500:
        return Outcome("not run", code)
    return Outcome("unknown", code)


def target(name: str, *, key: str = "", **options: Any) -> Target:
    """A server from its address, or a guard from `NAME` or `NAME:DETAIL`."""
    if re.match(r"https?://", name):
        if options:
            raise InputError(
                f"--option {next(iter(options))}: is for a guard; a server's guards have their own settings"
            )
        return ServerTarget(name, key=key)
    if re.fullmatch(r"(?:localhost|\d+(?:\.\d+){3}):\d+(?:/.*)?", name):
        raise InputError(f"{name}: for a server write its whole address, http://{name}")
    return GuardTarget(make_guard(name, **options), options)
