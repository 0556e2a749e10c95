"""Guards that raise, hang, answer nonsense or end their thread: always an error or a block, and the server stays up."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from serving import Plain, check, error_of, live, post, said, settings

from counterpoise.guard import Exchange, Inspected, Verdict


class Broken(Plain):
    """Does what the text says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.go_on = threading.Event()

    def check(self, exchanges: Sequence[Exchange]) -> Any:
        self.asked.append(len(exchanges))
        words = [" ".join(m.text for m in each.conversation) for each in exchanges]
        if any("raise" in each for each in words):
            raise RuntimeError("secret words of the request")
        if any("exit" in each for each in words):
            raise SystemExit(3)
        if len(self.asked) == 1 and "number" in words[0]:
            time.sleep(0.2)  # others arrive meanwhile
        if any("hang" in each for each in words):
            self.go_on.wait(60)
        if any("short" in each for each in words):
            return []
        if any("nonsense" in each for each in words):
            return [{"label": "safe"} for _ in exchanges]
        if any("blind" in each for each in words):  # says safe, and that there was nothing
            return [Verdict("safe", self.id, Inspected(0, 0, 0, 0)) for _ in exchanges]
        return super().check(exchanges)


@pytest.mark.parametrize("word", ["raise", "exit", "short", "nonsense"])
def test_a_broken_guard_fails_closed(word: str) -> None:
    with live(None, plain=Broken()) as base:
        for path, body in (
            ("/v1/moderations", {"input": word}),
            ("/v1/guard/check", {"messages": [said(word)]}),
            ("/v1/checks", {"messages": [said(word)]}),
            ("/beta/litellm_basic_guardrail_api", {"input_type": "request", "request_data": {}, "texts": [word]}),
        ):
            found = post(base, path, body)
            assert (found.status_code, error_of(found)) == (503, "guard_unavailable"), path
            assert "secret" not in found.text
        assert check(base, [said("hi")])["verdict"] == "allow"  # the thread lives
        assert httpx.get(f"{base}/health").status_code == 200


def test_a_guard_that_saw_nothing_blocks() -> None:
    with live(None, plain=Broken()) as base:
        found = check(base, [said("blind")])
        assert found["verdict"] == "block" and found["coverage"]["texts_checked"] == 0


def test_a_hanging_guard_times_out_then_is_unhealthy_then_recovers() -> None:
    guard = Broken()
    with live(settings(seconds=0.3), plain=guard) as base:
        late = post(base, "/v1/moderations", {"input": "hang"})
        assert (late.status_code, error_of(late)) == (504, "guard_timeout")
        sick = until(base, 503)  # it may have begun a moment after the request
        assert error_of(sick) == "guard_unavailable"
        assert httpx.get(f"{base}/ready").status_code == 503
        refused = post(base, "/v1/moderations", {"input": "hi"})
        assert refused.status_code == 503 and "retry-after" in refused.headers
        guard.go_on.set()
        until(base, 200)
        assert check(base, [said("hi")])["verdict"] == "allow"


def until(base: str, status: int) -> httpx.Response:
    """What /health says when it says this."""
    end = time.monotonic() + 60
    while (found := httpx.get(f"{base}/health", timeout=60)).status_code != status and time.monotonic() < end:
        time.sleep(0.02)
    assert found.status_code == status
    return found


def test_fail_open_is_visible() -> None:
    with live(settings(fail_open=True), plain=Broken()) as base:
        found = check(base, [said("raise")])
        assert found["verdict"] == "allow" and found["degraded"] and found["coverage"]["texts_checked"] == 0
        assert check(base, [said("forbidden")])["verdict"] == "block"  # the guard works again: it decides
        assert "counterpoise_guard_degraded_total 1.0" in httpx.get(f"{base}/metrics").text


def test_fail_open_excuses_no_part_that_nobody_looks_at() -> None:
    strange = [said([{"type": "text", "text": "raise"}, {"type": "video_url", "video_url": {"url": "x"}}])]
    with live(settings(fail_open=True), plain=Broken()) as base:
        assert check(base, strange)["verdict"] == "block"


def test_dry_run_lets_pass_when_a_guard_fails() -> None:
    with live(settings(policies={"default": {"guards": ["plain"], "dry_run": True}}), plain=Broken()) as base:
        found = check(base, [said("raise")])
        assert found["blocked"] is False and found["degraded"]


def test_one_bad_request_spoils_no_other_and_200_parallel_keep_their_answers() -> None:
    guard = Broken()

    async def ask(base: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as client:
            kinds = ["fine", "forbidden", "raise"]
            return await asyncio.gather(*(
                client.post(f"{base}/v1/moderations", json={"input": f"{kinds[n % 3]} number {n}"},
                            headers={"x-request-id": f"n{n}"})
                for n in range(200)
            ))  # fmt: skip

    with live(settings(batch=16), plain=guard) as base:
        answers = asyncio.run(ask(base))
    for n, answer in enumerate(answers):
        assert answer.headers["x-request-id"] == f"n{n}"
        if n % 3 == 2:
            assert answer.status_code == 503
        else:
            assert answer.json()["results"][0]["flagged"] is (n % 3 == 1), n
    assert max(guard.asked) > 1  # they did share batches


def test_a_full_queue_is_429_with_retry_after() -> None:
    class Slow(Plain):
        def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            time.sleep(0.5)
            return super().check(exchanges)

    async def ask(base: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=40)) as client:
            return await asyncio.gather(*(
                client.post(f"{base}/v1/moderations", json={"input": f"text {n}"}) for n in range(30)
            ))  # fmt: skip

    with live(settings(queue=4, batch=2), plain=Slow()) as base:
        answers = asyncio.run(ask(base))
    full = [each for each in answers if each.status_code == 429]
    assert full and all(error_of(each) == "overloaded" and each.headers["retry-after"] == "1" for each in full)
    assert {each.status_code for each in answers} == {200, 429}
