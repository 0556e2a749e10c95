"""Long texts: in pieces that hold all of them, in turn with others, and refused when they would cost too much."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from serving import BLUE, RED, Plain, check, data_url, error_of, live, picture, post, said, settings, text

from counterpoise.chat import Image, Message, assistant, system, user
from counterpoise.guard import Exchange, Sees, Verdict
from counterpoise.guard.server._access import Asker
from counterpoise.guard.server._batcher import Batcher, Fair, Places
from counterpoise.guard.server._errors import ApiError
from counterpoise.guard.server._views import PER_PIECE, SHARED, SHORTEST, Cost, characters, cut, merged, slices

IMAGES = [Image.from_data_uri(data_url(colour)) for colour in (BLUE, RED)]
TEXT = st.text("ab c\n", max_size=60)
TURN = st.tuples(TEXT, st.sampled_from([(), (IMAGES[0],), (IMAGES[1],)]))
SIZE = 40


def texts(exchange: Exchange) -> str:
    return "".join(part for message in exchange.conversation for part in message.parts if isinstance(part, str))


@given(turns=st.lists(TURN, min_size=1, max_size=6), first=TEXT, answer=st.none() | st.text("xyz ", max_size=150))
@hypothesis(max_examples=200, deadline=None)
def test_pieces_hold_everything(turns: Any, first: str, answer: str | None) -> None:
    talk = [system(first)] if first.strip() else []
    talk += [(user, assistant)[n % 2](*images, said or "-") for n, (said, images) in enumerate(turns)]  # type: ignore[operator]
    if talk[-1].role != "user":
        talk.append(user("z"))
    whole = Exchange(tuple(talk), answer)
    found = slices(whole, Sees(images=None), SIZE)
    assert sum(each.images for each in found) == whole.images  # each once
    said = [texts(each) + (each.answer or "") for each in found]
    assert all(len(each) <= SIZE + len("(nothing)") * 2 for each in said) or len(found) == 1
    for message in talk:
        for part in message.parts:
            if isinstance(part, str):  # any short span stands whole in one piece
                for at in range(0, max(1, len(part) - SIZE // 2 // SHARED + 1)):
                    span = part[at : at + SIZE // 2 // SHARED]
                    assert not span.strip() or any(span in each for each in said), span
    if answer:
        spans = {answer[at : at + 2] for at in range(len(answer) - 1)}
        assert all(any(span in (each.answer or "") for each in found) for span in spans if span.strip())
    for each in found:
        roles = [message.role for message in each.conversation]
        assert roles[-1] == "user" and (roles[0] == "user" or roles[:2] == ["system", "user"])


def test_a_piece_that_ends_with_the_assistant_is_about_what_it_said() -> None:
    talk = (user("a" * 30), assistant("b" * 30), user("c" * 30))
    found = slices(Exchange(talk), Sees(), 60)
    assert [(texts(each)[:1], each.answer and each.answer[0]) for each in found] == [("a", "b"), ("(", None)]
    assert "b" * 30 in texts(found[1]) and "c" * 30 in texts(found[1])
    blind = slices(Exchange(talk), Sees(answers=False), 60)
    assert all(each.answer is None for each in blind) and "b" * 20 in texts(blind[0])
    assert slices(Exchange((Message("user", (" " * 100,)),)), Sees(), 60)


def test_the_worst_piece_stands_and_what_one_did_not_read_was_not_read() -> None:
    guard = Plain()
    whole = Exchange((user("fine " * 30 + "forbidden " + "fine " * 30),))
    verdicts = guard.check(slices(whole, guard.sees, 60))
    assert len(verdicts) > 4 and merged(whole, verdicts).label == "unsafe"
    assert merged(whole, verdicts).inspected.complete
    blind = Plain(sees=Sees(texts=False)).check(slices(whole, guard.sees, 60)[:1])
    found = merged(whole, [*guard.check([Exchange((user("fine"),))]), *blind])
    assert found.label == "unknown" and not found.inspected.complete


class Counting(Plain):
    """Makes a word piece of every sign but letters, and one of every five letters; notes the longest it was given."""

    longest = 0

    def pieces(self, text: str) -> int:
        return sum(not each.isalpha() and not each.isspace() for each in text) + sum(map(str.isalpha, text)) // 5

    def one(self, exchange: Exchange) -> Verdict:
        self.longest = max(self.longest, characters(exchange))
        return super().one(exchange)


@given(
    words=st.lists(st.sampled_from(["word", "\u00a7\u00a7\u00a7", "12", "\n"]), min_size=20, max_size=60),
    size=st.integers(1500, 4000),
)
@hypothesis(max_examples=40, deadline=None)
def test_pieces_are_as_short_as_their_word_pieces_ask_for(words: list[str], size: int) -> None:
    whole, cost = Exchange((user("go " + " ".join(words * 20)),), "fine " * 100), Cost(Counting())
    found = [piece for each in slices(whole, Sees(), size) for piece in cut(each, Sees(), size, cost)]
    assert all(cost.texts(each) <= size or characters(each) < 2 * SHORTEST for each in found)
    said = [texts(each) for each in found]
    for at in range(0, max(1, len(texts(whole)) - 20), 7):
        assert not texts(whole)[at : at + 20].strip() or any(texts(whole)[at : at + 20] in each for each in said)
    if cost.texts(whole) <= size:
        assert found == [whole]


def test_a_guard_that_counts_nothing_is_taken_to_count_signs() -> None:
    cost = Cost(Plain())
    assert cost.text("plain words 12") == 14 and cost.text("\u4f60!") == 2 * PER_PIECE
    assert cost(Exchange((user(IMAGES[0], "ab"),), "c")) > cost.texts(Exchange((user("ab"),), "c")) == 3
    assert Cost(Counting()).text("!" * 9) == 9 * PER_PIECE and Cost(Counting()).text("a" * 9) == 9


def test_a_short_text_of_many_word_pieces_does_not_keep_a_guard_busy() -> None:
    guard = Counting()
    with live(settings(limits={"piece_characters": 3000}), plain=guard) as base:
        assert check(base, [said("fine " * 590)])["verdict"] == "allow" and guard.longest == 2950
        guard.longest = 0
        found = check(base, [said("\u00a7" * 2000 + " forbidden " + "\u00a7" * 900)])
        assert found["verdict"] == "block" and found["coverage"]["texts_checked"] == 1
        assert 0 < guard.longest <= 1010 and max(guard.sizes) <= 2


def prose(length: int) -> str:
    """Words of which no two pieces are the same: what was seen before is not looked at again."""
    return " ".join(f"fine {number}" for number in range(length // 10))


class Slow(Plain):
    """Takes so long for each character."""

    def __init__(self, each: float) -> None:
        super().__init__()
        self.each, self.lengths = each, list[int]()

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        length = sum(len(texts(one)) + len(one.answer or "") for one in exchanges)
        self.lengths.append(length)
        time.sleep(self.each * length)
        return super().check(exchanges)


class Stepped(Plain):
    """Looks at one batch each time it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.began.release()
        self.go.acquire(timeout=60)
        return super().check(exchanges)


def test_others_are_answered_between_the_pieces_of_a_long_text() -> None:
    guard, answers = Stepped(), dict[str, Any]()
    with live(settings(limits={"piece_characters": 4000}), plain=guard) as base:

        def ask(name: str, words: str) -> threading.Thread:
            thread = threading.Thread(target=lambda: answers.update({name: check(base, [said(words)])}))
            thread.start()
            return thread

        long = ask("long", prose(150_000) + " forbidden")  # 43 pieces, up to two at once
        assert guard.began.acquire(timeout=60)
        for number in range(3):
            short = ask("short", f"hi {number}")
            assert httpx.get(f"{base}/health").status_code == 200  # while the guard is busy
            for _ in range(4):  # batches of the long text that may come before it
                short.join(1)
                guard.go.release()
                if not short.is_alive():
                    break
            short.join(10)
            assert not short.is_alive() and long.is_alive(), "the others waited for the end of the long text"
            assert answers["short"]["verdict"] == "allow"
        for _ in range(100):
            guard.go.release()
        long.join(60)
    assert answers["long"]["verdict"] == "block" and answers["long"]["coverage"]["texts_checked"] == 1
    assert max(guard.sizes) <= 8 and len(guard.sizes) > 10


def test_what_would_take_too_long_is_refused_when_that_is_seen() -> None:
    guard = Slow(1e-5)
    with live(settings(limits={"piece_characters": 4000, "work_seconds": 1.0}), plain=guard) as base:
        late = post(base, "/v1/guard/check", {"messages": [said(prose(500_000))]})
        assert (late.status_code, error_of(late)) == (413, "too_much_work")
        assert sum(guard.lengths) < 100_000  # after a few pieces, not after a second
        assert check(base, [said(prose(20_000))])["verdict"] == "allow"
        many = post(base, "/v1/moderations", {"input": [f"{n} {prose(3500)}" for n in range(100)]})
        assert (many.status_code, error_of(many)) == (413, "too_much_work")  # in many small texts too


def test_long_texts_that_come_again_are_known() -> None:
    guard = Plain()
    with live(settings(limits={"piece_characters": 1000}), plain=guard) as base:
        question, grown = said("hi"), said("All is well. " * 300, "assistant")
        assert not check(base, [question, grown])["cached"] and check(base, [question, grown])["cached"]
        before = sum(guard.sizes)
        longer = said("All is well. " * 400, "assistant")
        assert check(base, [question, longer])["verdict"] == "allow"
        assert sum(guard.sizes) - before < before  # only what is new of an answer that grows


def test_an_image_in_a_long_text_is_looked_at_once_with_what_stands_around_it() -> None:
    guard = Plain()
    with live(settings(limits={"piece_characters": 1000}), plain=guard) as base:
        parts = [text("word " * 1000), picture(RED), text("word " * 1000)]
        found = check(base, [said(parts)])
        assert found["verdict"] == "block" and found["coverage"]["images_checked"] == 1
        assert check(base, [said([text("word " * 1000), picture(BLUE)])])["verdict"] == "allow"


def test_a_queue_in_which_everybody_has_a_turn() -> None:
    line = Fair[str]()
    for item in ("a1x", "a1y", "a2x", "a2y", "b1x", "b1y", "b1z"):
        line.put(item[0], item[1], item)
    line.remove("a", "1", "a1y")
    line.remove("a", "1", "a1y")  # is not there any more
    assert len(line) == 6 and line.first() == "a1x"
    assert [line.take() for _ in range(6)] == ["a1x", "b1x", "a2x", "b1y", "a2y", "b1z"]
    assert len(line) == 0


def test_one_client_has_half_of_the_places_for_long_texts() -> None:
    places = Places(3)
    with places.one("a"), places.one("a"):
        with pytest.raises(ApiError, match="too many long"), places.one("a"):
            pass
        with places.one("b"), pytest.raises(ApiError), places.one("c"):
            pass
    with places.one("c"):
        pass


def test_lanes_take_turns() -> None:
    """With both lanes full, every second batch is short; a client with much does not stand before one with little."""
    order: list[str] = []
    began, go = threading.Event(), threading.Event()

    class Noting(Plain):
        def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            began.set()
            go.wait(60)
            order.append("".join(texts(one)[0] for one in exchanges))
            return super().check(exchanges)

    batcher = Batcher(Noting(), size=2, wait=0)

    async def run() -> None:
        def ask(letter: str, asker: Asker, *, long: bool = False) -> Any:
            return asyncio.ensure_future(batcher.verdict(Exchange((user(letter),)), asker, long=long))

        first = ask("x", Asker())
        await asyncio.to_thread(began.wait, 60)
        much, little, long = Asker("much"), Asker("little"), Asker("long")
        waiting = [ask("m", much) for _ in range(4)] + [ask("L", long, long=True) for _ in range(4)]
        waiting += [ask("l", little)]
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.gather(first, *waiting)
        assert long.spent > 0 or much.spent >= 0
        batcher.close()

    asyncio.run(run())
    assert order == ["x", "LL", "ml", "LL", "mm", "m"]
