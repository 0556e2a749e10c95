"""No character of an unsafe span leaves before its verdict, however the answer is cut into pieces."""

import asyncio
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.guard.server.proxy._stream import Gate, Unit

TOKEN = "UNSAFE-Zürich-🔥"
WORDS = ["Sure.", "The", "rivière", "flows", "北京。", "on", "and", "on!", "🙂", "\n", "so", "is,", "e.g.", "3.14"]


class Judge:
    """Fails a text with the token, and remembers what it passed."""

    def __init__(self, token=TOKEN):
        self.token, self.passed, self.asked = token, "", 0

    async def __call__(self, text, others):
        self.asked += 1
        await asyncio.sleep(0)
        if self.token in text or others:
            return False
        self.passed = max(self.passed, text, key=len)
        return True


def cut(text, rng):
    """Random pieces, empty ones among them."""
    pieces, at = [], 0
    while at < len(text):
        size = rng.choice((0, 1, 1, 2, 3, 5, 8, 20, 60))
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, ""]


async def send(gate, pieces, watch=lambda out: None):
    out = []
    for piece in pieces:
        out += await gate.add(Unit(piece, (("content", piece),)))
        watch("".join(out))
    out += await gate.end()
    watch("".join(out))
    return "".join(out)


def prose(rng, words):
    return " ".join(rng.choice(WORDS) for _ in range(words))


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_1000_random_chunkings_leak_nothing(mode):
    rng = random.Random(1)

    async def run():
        for _ in range(1000):
            before, after = prose(rng, rng.randrange(80)), prose(rng, rng.randrange(80))
            judge, window = Judge(), rng.choice((len(TOKEN), 24, 60))
            gate = Gate(mode, judge, window)
            seen = []
            await send(gate, cut(before + TOKEN + after, rng), seen.append)
            assert gate.blocked
            assert len(seen[-1]) <= len(before), "a character of the unsafe span left"
            assert before.startswith(seen[-1]) and judge.passed.startswith(seen[-1])
            if mode == "buffer":
                assert seen[-1] == ""

    asyncio.run(run())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=40), st.sampled_from(["buffer", "window", "end"]), st.integers(16, 80))
def test_a_safe_answer_arrives_whole_and_checked(pieces, mode, window):
    judge = Judge()
    gate = Gate(mode, judge, window)

    def watch(out):
        if mode != "end":
            assert judge.passed.startswith(out) or not out.strip()

    assert asyncio.run(send(gate, pieces, watch)) == "".join(pieces)
    assert not gate.blocked


def test_window_delivers_before_the_end_and_asks_little():
    async def run():
        judge, gate = Judge(), Gate("window", Judge(), 40)
        gate._check = judge
        text = "This is one sentence. " * 100
        out = [len(await gate.add(Unit(c, (("content", c),)))) for c in text]
        assert sum(out) > len(text) - 100
        assert judge.asked <= 100
        assert gate.length - sum(out) >= 40

    asyncio.run(run())


def test_long_text_without_a_sentence_end_is_not_held_for_ever():
    async def run():
        gate = Gate("window", Judge(), 32)
        out = [len(await gate.add(Unit("x", (("content", "x"),)))) for _ in range(1000)]
        assert 1000 - sum(out) <= 2 * 32 + 8

    asyncio.run(run())


def test_end_leaks_and_says_so():
    async def run():
        gate = Gate("end", Judge())
        assert await gate.add(Unit(TOKEN, (("content", TOKEN),))) == [TOKEN]
        assert await gate.end() == [] and gate.blocked

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_a_token_over_several_deltas_of_two_channels(mode):
    """Reasoning and arguments are checked too, each as one text."""

    async def run():
        for channel in ("reasoning", "tool_calls.0.arguments"):
            gate = Gate(mode, Judge(), 20)
            out = await gate.add(Unit("a", (("content", "Fine. "),)))
            for half in (TOKEN[:7], TOKEN[7:]):
                out += await gate.add(Unit("b", ((channel, half), ("content", ""))))
            out += await gate.end()
            assert gate.blocked and "b" not in out

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_parts_that_nobody_sees_stop_the_answer(mode):
    async def run():
        gate = Gate(mode, Judge(), 20)
        out = await gate.add(Unit("picture", (), ("image",))) + await gate.end()
        assert out == [] and gate.blocked

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_a_check_that_raises_lets_nothing_leave_afterwards(mode):
    async def broken(text, others):
        raise RuntimeError("guard gone")

    async def run():
        gate = Gate(mode, broken, 16)
        out = []
        with pytest.raises(RuntimeError):
            for _ in range(50):
                out += await gate.add(Unit("One. ", (("content", "One. "),)))
            await gate.end()
        assert out == [] and await gate.add(Unit("x", (("content", "x"),))) == [] and await gate.end() == []

    asyncio.run(run())


def test_arguments_are_judged_as_they_will_be_read():
    """Their JSON may write any character as an escape, and many models write all that is not ASCII so."""

    async def run():
        for mode, channel in itertools.product(("buffer", "window"), (".delta.tool_calls.0.function.arguments", ".x")):
            gate = Gate(mode, Judge("北京"), 16)
            for piece in ('{"city": "\\u53', '17\\u4eac"', "}"):
                await gate.add(Unit(piece, ((channel, piece),)))
            assert (await gate.end() == []) is gate.blocked is channel.endswith("arguments")

    asyncio.run(run())


def test_halves_of_a_character_are_judged_together():
    async def run():
        gate = Gate("buffer", Judge("🔥"))
        for half in ("\ud83d", "\udd25"):
            await gate.add(Unit(half, (("content", half),)))
        assert await gate.end() == [] and gate.blocked

    asyncio.run(run())


def test_units_without_text_leave_in_order_in_window_and_not_at_all_in_buffer():
    async def run():
        gate = Gate("window", Judge(), 20)
        assert await gate.add(Unit("role")) == ["role"]
        assert await gate.add(Unit("hi", (("content", "Hi."),))) == []
        assert await gate.add(Unit("stop")) == []
        assert await gate.end() == ["hi", "stop"]
        held = Gate("buffer", Judge())
        assert await held.add(Unit("role")) == [] and await held.end() == ["role"]

    asyncio.run(run())
