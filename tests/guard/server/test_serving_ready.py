"""A server that answers has loaded what its guards need: the first request waits for nothing."""

import base64
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from serving import Plain, check, live, picture, said, settings, text

from counterpoise.base import InputError
from counterpoise.evals.scorers._classifier import _weights
from counterpoise.guard import Sees, prepare
from counterpoise.guard.clue._guard import ClueGuard
from counterpoise.guard.disguise import ENGLISH
from counterpoise.guard.own._eye import eye
from counterpoise.guard.own._minilm import minilm
from counterpoise.guard.own._tiny import PART
from counterpoise.guard.saferoute import Routed
from counterpoise.guard.server import create_app


class Late(Plain):
    """Loads a part of itself when it is told to, or when it is first asked."""

    def __init__(self, name: str = "plain") -> None:
        super().__init__(name)
        self.prepared = 0

    def prepare(self) -> None:
        self.prepared += 1


def test_all_guards_of_all_policies_are_prepared_once_before_the_port_answers() -> None:
    guards = {"a": Late("a"), "b": Late("b"), "c": Plain("c")}  # the last one has nothing to prepare
    policies = {"default": {"guards": ["a", "c"]}, "other": {"guards": ["b", "a"]}}
    app = create_app(settings(policies=policies), guards)
    assert [guards["a"].prepared, guards["b"].prepared] == [1, 1]  # type: ignore[attr-defined]
    app.state.checker.close()


def test_a_guard_that_is_given_reads_disguises_and_knows_its_languages_like_one_made_by_name() -> None:
    given = Plain(sees=Sees(images=None, languages=ENGLISH))
    with live(settings(), plain=given) as base:
        hidden = base64.b64encode(b"This is forbidden, as everybody here knows.").decode()
        asked = [hidden, "一切都很好。请告诉我今天的天气。", "All is well."]
        found = [check(base, [said(each)]) for each in asked]
        assert [each["verdict"] for each in found] == ["block", "block", "allow"]
        assert found[1]["coverage"]["texts_checked"] == 0 and found[2]["coverage"]["texts_checked"] == 1


def test_a_pair_of_guards_prepares_both() -> None:
    pair = Routed.__new__(Routed)  # a router is not needed for this
    pair.small, pair.large = Late("small"), Late("large")
    prepare(pair)
    assert (pair.small.prepared, pair.large.prepared) == (1, 1)  # type: ignore[attr-defined]


def test_a_constitutions_detector_and_encoder_are_asked_once_before() -> None:
    asked = list[str]()
    detector = SimpleNamespace(find=lambda image, words: asked.append(f"find {image.pil().size} {words}"))
    encoder = SimpleNamespace(similarity=lambda images, texts: asked.append(f"compare {len(images)} {texts}"))
    guard = ClueGuard.__new__(ClueGuard)  # neither model nor constitution is needed for this
    guard.clue = SimpleNamespace(detector=detector, scan=SimpleNamespace(encoder=encoder))  # type: ignore[assignment]
    prepare(guard)
    assert asked == ["find (64, 64) ['paper']", "compare 1 ['paper']"]
    guard.clue = SimpleNamespace(detector=None, scan=None)  # type: ignore[assignment]
    prepare(guard)


def test_a_guard_that_cannot_be_prepared_stops_the_start() -> None:
    class Broken(Late):
        def prepare(self) -> None:
            raise InputError("its model is not here")

    with pytest.raises(InputError, match="not here"):
        create_app(settings(), {"plain": Broken()})


class Watch:
    """What Python opens and imports while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self)

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if self.on and event in ("open", "import"):
            self.seen.append(f"{event} {given[0]}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.on = False  # a hook cannot be taken away


@pytest.mark.skipif(not PART.is_file(), reason="the tiny guard is not trained yet: python scripts/guards/train.py tiny")
def test_the_tiny_guard_loads_nothing_for_its_first_image(watch: Watch) -> None:
    for loaded in (eye, minilm, _weights):
        loaded.cache_clear()  # as in a new process
    with live(settings(policies={"default": {"guards": ["tiny"]}})) as base:
        assert httpx.get(f"{base}/ready").status_code == 200
        before = [loaded.cache_info().misses for loaded in (eye, minilm, _weights)]
        check(base, [said("hi")])  # what the web server and this client load for themselves
        request = [said([text("What is this?"), picture(kind="WEBP")]), said("A page.", "assistant")]
        watch.on = True
        first = check(base, request, direction="both")
        watch.on = False
        after = [loaded.cache_info().misses for loaded in (eye, minilm, _weights)]
    assert first["coverage"]["images_total"] == 1 and first["guards"]
    assert before == after == [1, 1, 1]
    assert not watch.seen
