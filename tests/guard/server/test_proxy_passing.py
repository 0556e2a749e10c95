"""What of an upstream's answer passes beside its text: names and numbers, and log-probabilities of that text."""

from counterpoise.guard.server.proxy._passing import choice_parts, envelope, plain_logprobs


def test_the_frame_of_an_answer_holds_names_and_numbers() -> None:
    usage = {"total_tokens": 7, "details": {"cached": 1, "note": "a b"}, "a b": 1, "list": ["x"]}
    names = {"id": "c-1", "model": "org/m:1", "service_tier": None}
    found = envelope({**names, "created": 1e30, "system_fingerprint": "in words", "usage": usage, "hint": "x"})
    assert found == {**names, "usage": {"total_tokens": 7, "details": {"cached": 1}}}


def test_tokens_that_are_parts_of_characters_are_spelled_by_their_bytes() -> None:
    fire = "🔥".encode()
    rows = [
        {"token": "a ", "logprob": -1, "bytes": None, "top_logprobs": [{"token": "x"}]},
        {"token": "hidden words", "logprob": float("nan"), "bytes": list(fire[:2])},
        {"token": "", "logprob": "hidden", "bytes": list(fire[2:]), "more": "hidden"},
        {"token": "<end>", "logprob": 0},
    ]
    choice = {"message": {"content": "a 🔥"}, "logprobs": {"content": rows}}
    found = plain_logprobs(choice)["logprobs"]
    assert [row["bytes"] for row in found["content"]] == [list(b"a "), list(fire[:2]), list(fire[2:])]
    assert "hidden" not in str(found) and [row["logprob"] for row in found["content"]] == [-1, -9999, -9999]
    for wrong in (rows[:1], [{"token": "b"}], ["a"], "a 🔥", None, [{"bytes": [300]}], [{"bytes": "a 🔥"}]):
        assert plain_logprobs({**choice, "logprobs": {"content": wrong}})["logprobs"] is None
    assert plain_logprobs({"message": {}, "logprobs": "hidden"})["logprobs"] is None
    assert plain_logprobs({"message": "x", "token_ids": [1, 2]}) == {"message": "x"}


def test_words_in_place_of_a_reason_to_finish_are_read() -> None:
    assert choice_parts({"index": 0, "finish_reason": "stop", "delta": {}}).texts == ()
    found = choice_parts({"index": "some words", "finish_reason": "more words", "delta": {"content": "hi"}})
    assert {text for _, text in found.texts} == {"some words", "more words", "hi"}


def test_names_of_fields_and_odd_types_in_an_answer_are_looked_at() -> None:
    found = choice_parts({"index": 0, "delta": {"content": "hi", "do it like this": 1, "stop_reason": None}})
    assert {text for _, text in found.texts} == {"hi", "do it like this"}
    assert choice_parts({"delta": {"content": [{"type": ["text"], "text": "hi"}]}}).others == ("unnamed",)
