"""The protocols, with the real clients: OpenAI's package, curl, and what LiteLLM and NeMo send."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import openai
import pytest
from serving import BLUE, RED, Plain, check, data_url, error_of, live, picture, post, said, settings, text

from counterpoise.guard import Sees
from counterpoise.guard.server._categories import KEYS

LITELLM = "/beta/litellm_basic_guardrail_api"


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live() as address:
        yield address


@pytest.fixture(scope="module")
def client(base: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)


def test_openai_text(client: openai.OpenAI) -> None:
    safe = client.moderations.create(input="hello").results[0]
    bad = client.moderations.create(input="something forbidden", model="default").results[0]
    assert not safe.flagged and bad.flagged
    assert bad.categories.violence and bad.category_scores.violence == 0.9 and not safe.categories.violence
    assert safe.category_applied_input_types.violence == ["text"]
    assert len(safe.categories.to_dict()) == len(KEYS) == 13


def test_openai_array_keeps_order(client: openai.OpenAI) -> None:
    inputs = [f"{'forbidden' if n % 3 == 0 else 'fine'} {n}" for n in range(40)]
    found = client.moderations.create(input=inputs).results
    assert [each.flagged for each in found] == [n % 3 == 0 for n in range(40)]


def test_openai_images(client: openai.OpenAI) -> None:
    parts = [text("what is this?"), picture(BLUE), picture(RED)]
    found = client.moderations.create(input=parts).results  # type: ignore[arg-type]
    assert len(found) == 1 and found[0].flagged
    own = found[0].to_dict()["x_guard"]
    assert (own["images_checked"], own["images_total"], own["truncated"]) == (2, 2, False)  # type: ignore[index]
    assert found[0].category_applied_input_types.violence == ["text", "image"]
    assert found[0].category_applied_input_types.hate == ["text"]  # the client's type allows no image there


def test_openai_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="known ones: default") as found:
        client.moderations.create(input="hi", model="nobody")
    assert found.value.code == "unknown_policy"
    with pytest.raises(openai.UnprocessableEntityError):
        client.moderations.create(input=[])


def test_curl(base: str) -> None:
    done = subprocess.run(
        ["curl", "-sS", f"{base}/v1/moderations", "-H", "Content-Type: application/json",
         "-H", "x-request-id: mine-17", "-D", "-", "-d", '{"input": "forbidden things"}'],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    head, _, body = done.stdout.partition("\n\n")  # text mode
    assert head.startswith("HTTP/1.1 200") and "x-request-id: mine-17" in head.lower()
    assert json.loads(body)["id"] == "mine-17" and json.loads(body)["results"][0]["flagged"] is True


def test_own_endpoint_says_everything(base: str) -> None:
    found = check(base, [said("forbidden"), said("Sure.", "assistant"), said([text("and this?"), picture()])])
    assert found["verdict"] == "block" and found["blocked"]
    assert found["reasons"][0]["category"] == "S1" and found["reasons"][0]["score"] == 0.9
    assert found["coverage"]["images_checked"] == found["coverage"]["images_total"] == 1
    assert found["coverage"]["texts_checked"] == found["coverage"]["texts_total"] > 0
    assert found["coverage"]["truncated"] is False and found["request_id"].startswith("req_")


def test_direction(base: str) -> None:
    talk = [said("forbidden"), said("I will not.", "assistant")]
    assert check(base, talk)["verdict"] == "allow"  # the answer is asked about
    assert check(base, talk, direction="both")["verdict"] == "block"
    assert check(base, [said("hi"), said("forbidden", "assistant")], direction="output")["verdict"] == "block"
    refused = post(base, "/v1/guard/check", {"messages": [said("hi")], "direction": "output"})
    assert (refused.status_code, error_of(refused)) == (422, "invalid_request")


def test_thresholds_and_dry_run() -> None:
    policies = {
        "default": {"guards": ["plain"], "thresholds": {"S1": 0.95}},
        "strict": {"guards": ["plain"], "threshold": 0.05},
        "watch": {"guards": ["plain"], "dry_run": True},
    }
    with live(settings(policies=policies)) as base:
        bad = [said("forbidden")]
        assert check(base, bad)["verdict"] == "allow"  # 0.9 is below the policy's 0.95 for S1
        assert check(base, bad, thresholds={"S1": 0.5})["verdict"] == "block"
        assert check(base, [said("hi")], policies=["strict"])["verdict"] == "block"
        watched = check(base, bad, policies=["watch"])
        assert (watched["verdict"], watched["blocked"], watched["dry_run"]) == ("block", False, True)
        assert check(base, bad, policies=["watch", "default"])["blocked"] is False
        assert (
            post(base, "/v1/moderations", {"input": "forbidden", "model": "watch"}).json()["results"][0]["flagged"]
            is False
        )
        names = [each["id"] for each in httpx.get(f"{base}/v1/models").json()["data"]]
        assert names == ["default", "strict", "watch"]


def test_nemo_checks(base: str) -> None:
    body = {"model": "m", "messages": [said("hi")]}
    assert post(base, "/v1/checks", body).json() | {"x_guard": None} == {
        "status": "passed", "content": "hi", "x_guard": None}  # fmt: skip
    bad = post(base, "/v1/checks", {**body, "messages": [said("forbidden")]}).json()
    assert bad["status"] == "blocked" and bad["rail"].startswith("input") and "forbidden" not in bad["content"]
    for wrong in ({"config_id": "no"}, {"config_id": "default", "config_ids": ["default"]}, {"rail_types": ["dialog"]},
                  {"rail_types": ["output"]}, {"thread_id": "short"}, {"state": {"a": 1}}):  # fmt: skip
        assert post(base, "/v1/checks", {**body, "guardrails": wrong}).status_code == 422, wrong
    assert post(base, "/v1/checks", {**body, "messages": []}).status_code == 422


def litellm(base: str, **more: object) -> dict[str, object]:
    body = {"input_type": "request", "request_data": {"user_api_key_alias": "a"}, "litellm_version": "1.109", **more}
    found: dict[str, object] = post(base, LITELLM, body).json()
    return found


def test_litellm(base: str) -> None:
    assert litellm(base, texts=["hi"])["action"] == "NONE"
    assert litellm(base, texts=["hi", "forbidden"])["action"] == "BLOCKED"
    assert litellm(base, texts=["hi"], images=[data_url(RED)])["action"] == "BLOCKED"
    assert litellm(base, texts=["hi"], images=[data_url().partition(",")[2]])["action"] == "NONE"  # plain base64
    assert litellm(base, texts=["forbidden"], input_type="response")["action"] == "BLOCKED"
    # images that stand only in the messages are counted too
    hidden = [said([text("a"), picture(RED)]), said("b", "assistant"), said("c")]
    assert litellm(base, texts=["c"], structured_messages=hidden)["action"] == "BLOCKED"
    audio = [said([text("a"), {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}])]
    blocked = litellm(base, structured_messages=audio)
    assert blocked["action"] == "BLOCKED" and "uninspected_content" in str(blocked["blocked_reason"])
    tools = [{"type": "function", "function": {"name": "f", "description": "forbidden"}}]
    assert litellm(base, texts=["hi"], tools=tools)["action"] == "BLOCKED"
    # parameters of a request make it only stricter
    assert (
        litellm(base, texts=["forbidden"], additional_provider_specific_params={"dry_run": True})["action"] == "BLOCKED"
    )


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_KEYS", "first-key, second-key")
    with live(settings(api_keys_env="GUARD_KEYS")) as base:
        body = {"input": "hi"}
        refused = post(base, "/v1/moderations", body)
        assert (refused.status_code, error_of(refused)) == (401, "unauthorized")
        assert post(base, "/v1/moderations", body, headers={"Authorization": "Bearer wrong"}).status_code == 401
        for headers in ({"Authorization": "Bearer second-key"}, {"x-api-key": "first-key"}):
            assert post(base, "/v1/moderations", body, headers=headers).status_code == 200
        assert httpx.get(f"{base}/health").status_code == 200
        assert httpx.get(f"{base}/metrics").status_code == 401


def test_a_category_has_its_threshold_below_the_guards_own() -> None:
    policies = {"default": {"guards": ["plain"], "thresholds": {"S10": 0.1}},
                "lax": {"guards": ["plain"], "thresholds": {"S10": 0.2}}}  # fmt: skip
    with live(settings(policies=policies)) as base:  # the guard says safe, with 0.1, and names nothing
        found = check(base, [said("hi")])
        assert found["verdict"] == "block" and found["reasons"][0]["threshold"] == 0.1
        assert found["reasons"][0]["category"] == "S10" and "may be S10" in found["reasons"][0]["text"]
        assert check(base, [said("hi")], policies=["lax"])["verdict"] == "allow"
        assert check(base, [said("hi")], policies=["lax"], thresholds={"S3": 0.05})["verdict"] == "block"


def test_wrong_keys_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_KEYS", "first-key, second-key")
    with live(settings(api_keys_env="GUARD_KEYS", limits={"wrong_keys_per_minute": 3})) as base:

        def code(key: str) -> int:
            return post(base, "/v1/moderations", {"input": "hi"}, headers={"x-api-key": key}).status_code

        assert code("first-key") == 200
        assert [code(f"guess-{n}") for n in range(5)] == [401, 401, 401, 429, 429]
        late = post(base, "/v1/moderations", {"input": "hi"}, headers={"x-api-key": "guess"})
        assert error_of(late) == "rate_limited" and int(late.headers["retry-after"]) >= 1
        assert code("second-key") == 429  # a guess that is right is not looked at
        assert code("first-key") == 200  # whoever was let in before goes on
        assert httpx.get(f"{base}/health").status_code == 200


def test_names_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web page whose name points to this machine (DNS rebinding) is not a local user."""
    body = {"input": "hi"}

    def code(base: str, host: str, **headers: str) -> int:
        return post(base, "/v1/moderations", body, headers={"host": host, **headers}).status_code

    with live(settings()) as base:
        port = base.rpartition(":")[2]
        good = (f"127.0.0.1:{port}", "localhost", f"LOCALHOST:{port}", "[::1]:8808")
        assert [code(base, host) for host in good] == [200] * 4
        assert [code(base, host) for host in ("evil.example", f"evil.example:{port}", "", "::", "1.1.1.1")] == [421] * 5
        assert httpx.get(f"{base}/metrics", headers={"host": "evil.example"}).status_code == 421
    with live(settings(hosts=["guard.example.com"])) as base:
        assert [code(base, host) for host in ("guard.example.com:443", "localhost")] == [200, 421]
    monkeypatch.setenv("GUARD_KEYS", "first-key")
    with live(settings(api_keys_env="GUARD_KEYS")) as base:  # a page does not know the key
        assert code(base, "evil.example", **{"x-api-key": "first-key"}) == 200


def test_rate() -> None:
    with live(settings(limits={"requests_per_minute": 1})) as base:
        codes = [post(base, "/v1/moderations", {"input": "hi"}) for _ in range(3)]
        assert [each.status_code for each in codes] == [200, 429, 429]
        assert int(codes[-1].headers["retry-after"]) >= 1 and error_of(codes[-1]) == "rate_limited"


def test_cache_and_metrics() -> None:
    guard = Plain()
    with live(None, plain=guard) as base:
        first, again = (check(base, [said([text("hi"), picture()])]) for _ in range(2))
        assert (first["cached"], again["cached"]) == (False, True) and len(guard.sizes) == 1
        jpeg = check(base, [said([text("hi"), picture(kind="BMP")])])
        assert jpeg["cached"]  # other bytes, the same pixels
        assert not check(base, [said([text("hi"), picture(RED)])])["cached"]
        page = httpx.get(f"{base}/metrics").text
        assert 'counterpoise_guard_decisions_total{policy="default",verdict="allow"} 3.0' in page
        assert 'counterpoise_guard_images_total{checked="yes"} 4.0' in page


def test_text_and_image_guards_together() -> None:
    config = settings(policies={"default": {"guards": ["words", "eyes"]}, "words": {"guards": ["words"]}})
    with live(
        config, words=Plain("words", Sees()), eyes=Plain("eyes", Sees(texts=False, images=1, answers=False))
    ) as base:
        both = [said("hello"), said("yes?", "assistant"), said([text("look"), picture(), picture()])]
        seen = check(base, both)
        assert seen["verdict"] == "allow" and seen["coverage"]["images_checked"] == 2
        assert check(base, [said([text("look"), picture(), picture(RED)])])["verdict"] == "block"
        blind = check(base, both, policies=["words"])
        assert blind["verdict"] == "block" and blind["coverage"]["images_checked"] == 0
        assert "uninspected_content" in blind["reasons"][-1]["text"]


def test_litellm_an_answer_that_repeats_the_question_is_still_judged_as_an_answer() -> None:
    from counterpoise.guard.server._litellm import conversation
    from counterpoise.guard.server._schemas import LiteLLM

    asked = {"request_data": {}, "structured_messages": [said("the same words")], "texts": ["the same words"]}
    answer = conversation(LiteLLM.model_validate({**asked, "input_type": "response"}))
    assert answer[-1] == {"role": "assistant", "content": [{"type": "text", "text": "the same words"}]}
    assert conversation(LiteLLM.model_validate({**asked, "input_type": "request"})) == asked["structured_messages"]
