"""The red-team suite against a live server and its proxy: whatever goes on to the model was read."""

import json

import httpx
import pytest
from proxy_parts import Upstream, reply, served
from serving import Plain, live, post, said, settings

from counterpoise.base import InputError
from counterpoise.guard import Exchange, Verdict
from counterpoise.guard._reader import reading
from counterpoise.guard.attack import ON_SERVERS, ServerTarget, attack, attacks, not_run, shares


class Knows(Plain):
    """Knows the harmful requests of the suite by their words, however they are spelled or joined."""

    def __init__(self) -> None:
        super().__init__()
        plain = attacks(["plain"], 2)
        self.known = [letters(each.conversation[0].text) for each in plain if each.harmful]

    def one(self, exchange: Exchange) -> Verdict:
        found = super().one(exchange)
        text = letters(" ".join([*(m.text for m in exchange.conversation), exchange.answer or ""]))
        if found.label == "safe" and any(each in text for each in self.known):
            return Verdict("unsafe", self.id, found.inspected, p_unsafe=0.9)
        return found


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def test_nothing_harmful_goes_on_in_any_field_and_all_of_it_is_run() -> None:
    upstream = Upstream()
    with served(upstream) as model, live(settings(upstream={"base_url": f"{model}/v1"}), plain=Knows()) as base:
        target = ServerTarget(base)
        tries = attacks(ON_SERVERS, 2)
        outcomes = attack(target, tries)
        found = {(each.family, each.harmful): each for each in shares(tries, outcomes)}
        assert all(each.not_run == 0 for each in found.values()), [o for o in outcomes if o.result == "not run"]
        passed = [t.id for t, o in zip(tries, outcomes, strict=True) if t.harmful and o.result == "passed"]
        # a name that identifies is hashed, and the words of a logit's number are none
        assert {each.split("/")[1] for each in passed} <= {"user", "id of a result"}, passed
        assert found["streams", True].caught == found["streams", True].n
        assert found["streams", False].passed == found["streams", False].n
        assert found["tools", False].passed > 0


class Particular(Upstream):
    """Serves one model, as most servers do, and no tools."""

    async def answer(self, value, send):
        if value["model"] != "org/m" or value.get("tools"):
            error = {"message": "no such thing", "type": "invalid_request_error", "code": "upstream_says_no"}
            return await reply(send, 400 if "tools" in value else 404, json.dumps({"error": error}).encode(), {})
        return await super().answer(value, send)


def test_an_upstream_is_asked_for_a_model_it_has_and_what_it_refuses_has_passed_the_guard() -> None:
    upstream = Particular()
    with served(upstream) as model, live(settings(upstream={"base_url": f"{model}/v1"}), plain=Knows()) as base:
        tries = [each for each in attacks(["streams", "tools"], 1) if not each.harmful]
        outcomes = dict(zip((each.id for each in tries), attack(ServerTarget(base), tries), strict=True))
    assert {each["model"] for each in upstream.asked} == {"org/m"}
    assert {each.result for id_, each in outcomes.items() if id_.startswith("streams/")} == {"passed"}
    described = next(each for id_, each in outcomes.items() if id_.startswith("tools/description/"))
    assert described.result == "passed" and "status 400" in described.reason


def test_a_server_undoes_disguises_says_so_and_lets_the_controls_pass() -> None:
    with live(plain=reading(Knows())) as base:
        tries = attacks(["plain", "turns", "disguise"], 1)
        outcomes = attack(ServerTarget(base), tries)
        found = {(e.family, e.harmful): e for e in shares(tries, outcomes)}
        assert found["plain", True].caught == 1 and found["plain", False].passed == 1
        missed = [t.id for t, o in zip(tries, outcomes, strict=True)
                  if t.family == "disguise" and (o.result == "caught") is not t.harmful]  # fmt: skip
        assert missed == [], missed
        coded = next(t for t in tries if t.variant == "rot13" and t.harmful).conversation[0].text
        answer = post(base, "/v1/guard/check", {"messages": [said(coded)]}).json()
        assert answer["guards"][0]["undone"] == ["rot13"] and answer["blocked"]


class Faint(Plain):
    """Labels everything safe, and is not sure."""

    def one(self, exchange: Exchange) -> Verdict:
        return Verdict("safe", self.id, super().one(exchange).inspected, p_unsafe=0.2)


def test_what_a_threshold_of_the_policy_blocks_was_caught_and_not_unknown() -> None:
    tries = attacks(["plain"], 1)
    with live(settings(policies={"default": {"guards": ["plain"], "threshold": 0.1}}), plain=Faint()) as base:
        assert [each.result for each in attack(ServerTarget(base), tries)] == ["caught", "caught"]
    with live(plain=Faint()) as base:
        assert [each.result for each in attack(ServerTarget(base), tries)] == ["passed", "passed"]


def test_without_an_upstream_it_is_said_why_nothing_was_run() -> None:
    with live() as base:
        outcomes = attack(ServerTarget(base), attacks(["streams"], 1))
    assert not_run(outcomes) == {"no_upstream": len(outcomes)}


def test_a_request_that_an_upstream_is_too_slow_for_has_passed_the_guard() -> None:
    def late(code: str) -> set[str]:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/v1/chat/completions":
                return httpx.Response(504, json={"error": {"code": code, "message": "late"}})
            return httpx.Response(200, json={"blocked": False})

        with httpx.Client(base_url="http://guard", transport=httpx.MockTransport(answer)) as client:
            return {each.result for each in ServerTarget("http://guard", client=client).ask(attacks(["streams"], 1))}

    assert late("upstream_timeout") == {"passed"} and late("guard_timeout") == {"not run"}


@pytest.mark.parametrize("answer", [b'{"id": "c"}', b"[]", b"hello", b""])
def test_a_server_that_answers_200_to_everything_is_no_guard_server(answer: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=answer))
    with httpx.Client(base_url="http://model", transport=transport) as client, pytest.raises(InputError) as error:
        ServerTarget("http://model", client=client)
    assert "guard server" in str(error.value)
