"""What one client must not be able to do to the others: hold the loop up, fill the queue, get around the rate."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from serving import Plain, check, error_of, live, post, said, settings

from counterpoise.chat import user
from counterpoise.guard import Exchange, Verdict
from counterpoise.guard.server._batcher import Batcher
from counterpoise.guard.server._errors import ApiError

JSON = {"content-type": "application/json"}
EXCHANGE = Exchange((user("hi"),))


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live() as address:
        yield address


MANY = 100_000
ONES, NAMES = ",".join("1" * MANY), ",".join(f'"k{n}":7' for n in range(MANY))
OBJECTS = ",".join(['{"type":"x"}'] * MANY)
ASKED = '"messages": [{"role": "user", "content": "a"}]'
LITELLM = "/beta/litellm_basic_guardrail_api"
FLOODS = {
    "messages": ("/v1/guard/check", f'{{"messages": [{ONES}]}}'),
    "input": ("/v1/moderations", f'{{"input": [{ONES}]}}'),
    "parts": ("/v1/moderations", f'{{"input": [{OBJECTS}]}}'),
    "policies": ("/v1/guard/check", f'{{{ASKED}, "policies": [{ONES}]}}'),
    "thresholds": ("/v1/guard/check", f'{{{ASKED}, "thresholds": {{{NAMES}}}}}'),
    "fields": ("/v1/guard/check", f"{{{NAMES}}}"),
    "texts": (LITELLM, f'{{"input_type": "request", "texts": [{ONES}]}}'),
}


@pytest.mark.parametrize("name", FLOODS)
def test_many_wrong_values_cost_no_more_than_one(base: str, name: str) -> None:
    """Each wrong value used to be an error of its own: a body of 2 MB took 40 s and 2.6 GB."""
    path, body = FLOODS[name]
    began = time.process_time()
    found = httpx.post(f"{base}{path}", content=body, headers=JSON, timeout=60)
    assert found.status_code in (413, 422) and len(found.content) < 1000 and error_of(found)
    assert time.process_time() - began < 1.0  # of this process, whatever else the machine does; it was 1.3 to 3.3


def test_bombs_for_the_reader_of_json_are_not_read() -> None:
    with live(settings(limits={"text_characters": 1000})) as base:
        for body in ("[" * 310_000, '{"a":' * 160_000, '"k":' * 310_000, "," * 310_000):
            found = httpx.post(f"{base}/v1/guard/check", content=body, headers=JSON, timeout=60)
            assert (found.status_code, error_of(found)) == (413, "too_large")


@pytest.mark.parametrize("depth", [200, *range(900, 1000, 10), 5000])
def test_deep_nesting_has_an_answer(base: str, depth: int) -> None:
    deep = "[" * depth + '"x"' + "]" * depth
    for path, body in (
        ("/v1/guard/check", f'{{"messages": [{{"role": "user", "content": "a", "odd": {deep}}}]}}'),
        ("/v1/moderations", f'{{"input": {deep}}}'),
        (LITELLM, f'{{"input_type": "request", "texts": ["a"], "tools": [{{"a": {deep}}}]}}'),
        ("/v1/chat/completions", f'{{{ASKED}, "odd": {deep}}}'),
    ):
        found = httpx.post(f"{base}{path}", content=body, headers=JSON)
        assert found.status_code in (200, 400, 404, 422), (path, found.text)


class Held(Plain):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.began.set()
        self.go.wait(60)
        return super().check(exchanges)


def test_who_stops_waiting_leaves_the_queue() -> None:
    guard = Held()
    batcher = Batcher(guard, size=1, wait=0, limit=2)

    async def run() -> None:
        first = asyncio.ensure_future(batcher.verdict(EXCHANGE))
        await asyncio.to_thread(guard.began.wait, 60)
        for _ in range(5):  # more than the queue holds
            waiting = [asyncio.ensure_future(batcher.verdict(EXCHANGE)) for _ in range(2)]
            await asyncio.sleep(0.01)
            assert batcher.waiting == 2
            with pytest.raises(ApiError, match="too many"):
                await batcher.verdict(EXCHANGE)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert batcher.waiting == 0
        guard.go.set()
        assert (await first).label == "safe"
        batcher.close()

    asyncio.run(run())
    assert guard.sizes == [1]  # nothing was computed for those who left


def test_one_alone_does_not_wait_for_company() -> None:
    guard = Plain()
    batcher = Batcher(guard, wait=60)

    async def run() -> None:
        for _ in range(3):
            assert (await asyncio.wait_for(batcher.verdict(EXCHANGE), 30)).label == "safe"
        batcher.close()

    asyncio.run(run())
    assert guard.sizes == [1, 1, 1]


def test_who_waits_when_the_server_stops_is_told() -> None:
    guard = Held()
    batcher = Batcher(guard, size=1, wait=0)

    async def run() -> None:
        first = asyncio.ensure_future(batcher.verdict(EXCHANGE))
        await asyncio.to_thread(guard.began.wait, 60)
        second = asyncio.ensure_future(batcher.verdict(EXCHANGE))
        await asyncio.sleep(0.01)
        batcher.close()
        guard.go.set()
        assert (await first).label == "safe"
        for late in (second, batcher.verdict(EXCHANGE)):
            with pytest.raises(ApiError) as found:
                await asyncio.wait_for(late, 30)
            assert found.value.status == 503

    asyncio.run(run())


def test_one_failure_among_many_texts_ends_the_others() -> None:
    class Once(Plain):
        def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            found = super().check(exchanges)
            if any("raise" in message.text for each in exchanges for message in each.conversation):
                raise RuntimeError
            return found

    guard = Once()
    with live(settings(batch=1), plain=guard) as base:
        found = post(base, "/v1/moderations", {"input": ["raise", *(f"text {n}" for n in range(500))]})
        assert found.status_code == 503
        assert check(base, [said("hi")])["verdict"] == "allow"
    assert len(guard.sizes) < 100  # of 501: nobody waits for them


def test_the_rate_is_per_key_or_address_whatever_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"requests_per_minute": 1}
    with live(settings(limits=limits)) as base:
        codes = [post(base, "/v1/moderations", {"input": "hi"}, headers={"Authorization": f"Bearer {n}"}).status_code
                 for n in range(3)]  # fmt: skip
        assert codes == [200, 429, 429]
    monkeypatch.setenv("GUARD_KEYS", "first,second")
    with live(settings(limits=limits, api_keys_env="GUARD_KEYS")) as base:
        spelled = [{"Authorization": "Bearer first"}, {"Authorization": "bearer first"}, {"x-api-key": "first"},
                   {"Authorization": "BEARER  first"}, {"x-api-key": "second"}]  # fmt: skip
        codes = [post(base, "/v1/moderations", {"input": "hi"}, headers=each).status_code for each in spelled]
        assert codes == [200, 429, 429, 429, 200]


def test_labels_of_metrics_are_not_the_clients() -> None:
    policies = {name: {"guards": ["plain"]} for name in ("default", "a", "b")}
    with live(settings(policies=policies)) as base:
        for order in (["a", "b"], ["b", "a"], ["b", "default", "a"]):
            check(base, [said("hi")], policies=order)
        page = httpx.get(f"{base}/metrics").text
        found = {line.partition("{")[2].partition(",")[0] for line in page.splitlines()
                 if line.startswith("counterpoise_guard_decisions_total{")}  # fmt: skip
        assert found == {f'policy="{name}"' for name in policies}


def test_an_unexpected_error_is_answered_and_logged_without_content(
    monkeypatch: pytest.MonkeyPatch, caplog: Any, capfd: Any
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("secret words of the request")

    monkeypatch.setattr("counterpoise.guard.server._checks.size", broken)
    with live() as base, caplog.at_level("INFO", "counterpoise.guard"):
        found = post(base, "/v1/guard/check", {"messages": [said("hi")]}, headers={"x-request-id": "mine"})
        assert (found.status_code, error_of(found)) == (500, "internal_error")
        assert found.headers["x-request-id"] == "mine"
    line = next(record for record in caplog.records if record.msg == "failed")
    assert line.error.startswith("KeyError at test_serving_load.py:") and line.request_id == "mine"
    out, err = capfd.readouterr()
    assert "secret" not in found.text + out + err + caplog.text
