"""Two guards, rows and a router together: training, the routed guard, its file, evaluation, commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_rows import WIDTH, Rule, observed, rows, with_image

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.guard import Exchange, Guard
from counterpoise.guard.saferoute import (
    FeatureSpec,
    Routed,
    Router,
    RouterConfig,
    against_better,
    by_rules,
    evaluate_route,
    load_router,
    observe,
    train_route,
)
from counterpoise.guard.saferoute._baselines import Fitted
from counterpoise.guard.saferoute._evaluate import FUSION, LARGE, ORACLE, ROUTER, SMALL, TUNED
from counterpoise.guard.saferoute._fit import fit_members
from counterpoise.guard.saferoute._metrics import scores
from counterpoise.guard.saferoute._paraphrase import paraphrased, parse
from counterpoise.guard.saferoute._table import markdown, where_not

CONFIG = RouterConfig(hidden=32, epochs=40, batch_size=64, warmup=10, rounds=1, held_out=0.3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Router, Path]:
    folder = tmp_path_factory.mktemp("router")
    found = train_route(Rule("weak", weak=True), Rule("strong", weak=False), rows(240), CONFIG)
    found.router.save(folder)
    return found.router, folder


@pytest.mark.parametrize("head", ["bayes", "dropout", "ensemble"])
def test_separable_features_are_learned_and_shuffled_labels_are_not(head: str) -> None:
    random = np.random.default_rng(0)
    hard = random.random(800) < 0.25
    x = random.normal(size=(800, 8)).astype(np.float32)
    x[:, :4] += 6 * hard[:, None]
    config = RouterConfig(head=head, hidden=64, epochs=120, batch_size=128, members=2)
    spec = FeatureSpec("g", None, None, 8)
    router = Router(spec, fit_members(x[:400], hard[:400], config))
    assert scores(hard[400:], router(x[400:]) > 0.5).f1 > 0.95
    mixed = random.permutation(hard)
    chance = Router(spec, fit_members(x[:400], mixed[:400], config))
    assert scores(mixed[400:], chance(x[400:]) > 0.5).f1 < 0.5  # near that of a coin, 0.33
    assert np.array_equal(router(x), router(x))


def test_a_router_is_the_same_after_saving(trained: tuple[Router, Path]) -> None:
    router, folder = trained
    again = load_router(folder)
    x = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)
    assert np.array_equal(router(x), again(x)) and again.spec == router.spec and again.threshold == router.threshold


def test_a_pair_is_better_than_its_small_guard_and_asks_the_large_one_seldom(trained: tuple[Router, Path]) -> None:
    large = Rule("strong", weak=False)
    routed = Routed(Rule("weak", weak=True), large, trained[0])
    assert isinstance(routed, Guard)
    test = rows(120, seed=7)
    verdicts = routed.check([row.exchange for row in test])
    assert np.mean([(v.label == "unsafe") == row.unsafe for v, row in zip(verdicts, test, strict=True)]) > 0.97
    assert large.seen == routed.sent < 0.4 * routed.looked
    kept = [v for v in verdicts if v.guard == "weak"]
    sent = [v for v in verdicts if v.guard == "strong"]
    assert len(kept) + len(sent) == 120 and all(v.cost >= 0.011 for v in sent) and all(v.cost < 0.011 for v in kept)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_order_is_kept_whatever_is_routed(
    trained: tuple[Router, Path], kinds: list[tuple[bool, bool]], threshold: float
) -> None:
    texts = [f"{'red' if a else 'blue'} {'hard ' if b else ''}thing {n}" for n, (a, b) in enumerate(kinds)]
    exchanges = [Exchange((user(text),)) for text in texts]
    weak, strong = Rule("weak", weak=True), Rule("strong", weak=False)
    found = Routed(weak, strong, trained[0], threshold=threshold).check(exchanges)
    for exchange, verdict in zip(exchanges, found, strict=True):
        alone = (weak if verdict.guard == "weak" else strong).check([exchange])[0]
        assert verdict.label == alone.label
    assert Routed(weak, strong, trained[0]).check([]) == []


def test_the_ends_of_the_threshold_are_the_guards_alone(trained: tuple[Router, Path]) -> None:
    exchanges = [row.exchange for row in rows(40, seed=3)]
    weak, strong = Rule("weak", weak=True), Rule("strong", weak=False)
    for threshold, alone in ((0.0, strong), (1.0, weak)):
        found = Routed(weak, strong, trained[0], threshold=threshold).check(exchanges)
        assert [v.label for v in found] == [v.label for v in alone.check(exchanges)]


def test_an_image_that_the_small_guard_cannot_see_is_always_sent_on(trained: tuple[Router, Path]) -> None:
    image = Image.from_pil(tiny.picture())
    blind, strong = Rule("weak", weak=True, images=0), Rule("strong", weak=False, images=None)
    (verdict,) = Routed(blind, strong, trained[0], threshold=1.0).check([with_image(image).exchange])
    assert verdict.guard == "strong" and verdict.inspected.images == 1
    (verdict,) = Routed(blind, Rule("strong", weak=False, images=0), trained[0], threshold=1.0).check(
        [with_image(image).exchange]
    )
    assert verdict.label == "unknown"  # neither sees it: never safe


def test_another_small_guard_is_refused(trained: tuple[Router, Path]) -> None:
    router = trained[0]
    with pytest.raises(InputError, match="made for the small guard weak 1; this one is weak 2"):
        Routed(Rule("weak", weak=True, revision="2"), Rule("strong", weak=False), router)
    spec = router.spec
    for changed in ({"dim": 3}, {"template": "u"}, {"revision": "x"}, {"layer": "3"}, {"suffix_ids": (271,)}):
        other = FeatureSpec(**{**spec.__dict__, **changed})
        with pytest.raises(InputError, match=f"made for {next(iter(changed))}"):
            spec.require(other)
    with pytest.raises(InputError, match="expected"):
        router(np.zeros((2, 5), np.float32))


def test_broken_folders_are_one_line_errors(trained: tuple[Router, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no router there"):
        load_router(tmp_path)
    for name in ("router.json", "router.safetensors"):
        (tmp_path / name).write_bytes((trained[1] / name).read_bytes())
    card = json.loads((tmp_path / "router.json").read_text())
    (tmp_path / "router.json").write_text(json.dumps({**card, "spec": {**card["spec"], "dim": 5}}))
    with pytest.raises(InputError, match="does not fit"):
        load_router(tmp_path)
    (tmp_path / "router.json").write_text(json.dumps({"threshold": 1}))
    with pytest.raises(InputError, match="not a router's card"):
        load_router(tmp_path)
    (tmp_path / "router.json").write_text(json.dumps(card))
    (tmp_path / "router.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="damaged"):
        load_router(tmp_path)


def test_kept_outputs_are_not_computed_again_and_belong_to_one_revision(tmp_path: Path) -> None:
    guard, made = Rule("weak", weak=True), rows(200)
    first = observe(guard, made, tmp_path)
    again = observe(guard, made, tmp_path)
    assert guard.seen == 200 and np.array_equal(first.label, again.label)
    assert first.features is not None and again.features is not None
    assert np.array_equal(first.features, again.features)
    newer = Rule("weak", weak=True, revision="2")
    observe(newer, made, tmp_path)
    assert newer.seen == 200


def test_paraphrases_stay_in_their_group_and_never_reach_the_held_out_side() -> None:
    made = rows(80)
    material = train_route(Rule("weak", weak=True), Rule("strong", weak=False), made, CONFIG).material
    held = {made[n].group for n in material.held}
    assert held.isdisjoint({made[n].group for n in material.train if n < len(made)})
    more = paraphrased([made[n] for n in material.train if n < len(made)], 1, by_rules)
    assert {row.group for row in more}.isdisjoint(held) and len(more) == material.n_paraphrases > 0


def test_rule_based_paraphrases_change_the_wording_and_keep_the_request() -> None:
    pairs = [("How do I paint a boat?", None), ("Tell me how to paint a boat.", "Sure, start with the hull.")]
    for number in range(4):
        for (text, answer), new in zip(pairs, by_rules(pairs, number), strict=True):
            assert new is not None and "paint a boat" in new[0] and new[0] != text
            assert (new[1] is None) == (answer is None)
    assert by_rules(pairs, 1) == by_rules(pairs, 1)


def test_the_outputs_of_a_paraphrasing_model_are_read_strictly() -> None:
    assert parse("prompt: a\nb", False) == ("a\nb", None)
    assert parse("prompt: a\n\nresponse: b\nc", True) == ("a", "b\nc")
    for bad in ("", "a", "prompt:", "prompt: a", "response: b", "Sure! prompt: a response: b"):
        assert parse(bad, True) is None
    assert parse("nothing of the kind", False) is None


def test_a_prompt_without_an_answer_is_never_padded() -> None:
    (row,) = paraphrased([rows(1)[0]], 1, by_rules)
    assert row.exchange.answer is None and "None" not in row.exchange.conversation[0].text


def test_the_table_has_all_lines_and_they_agree_with_each_other(trained: tuple[Router, Path]) -> None:
    test = rows(300, seed=11)
    weak, strong = observe(Rule("weak", weak=True), test), observe(Rule("strong", weak=False), test)
    gold, groups = np.array([row.unsafe for row in test]), [row.group for row in test]
    found = evaluate_route(
        trained[0], weak, strong, gold, groups, Fitted.on((weak.label, weak.p), (strong.label, strong.p), gold, 0.4)
    )
    assert found.line(ORACLE).usage == pytest.approx(found.hard / found.n)
    assert found.line(ORACLE).safety.f1 >= max(found.line(SMALL).safety.f1, found.line(LARGE).safety.f1)
    assert found.line(LARGE).cost == pytest.approx(10) and found.line(SMALL).cost_large == pytest.approx(0.1)
    line = found.line(ROUTER)
    assert line.cost == pytest.approx(1 + line.usage * 10) and line.routing is not None and line.routing.f1 > 0.9
    fusion = found.line(FUSION)
    assert fusion.usage == 1 and fusion.cost == pytest.approx(11) and fusion.routing is None
    text = markdown([found, found])
    assert all(name in text for name in (SMALL, LARGE, ROUTER, TUNED, "Entropy + CC, tuned", "Random", ORACLE, FUSION))
    assert not where_not([found])  # p is 0.2 or 0.8 everywhere: entropy knows nothing
    assert not where_not([found], tuned=True)
    with pytest.raises(InputError, match="did you mean"):
        found.line("SafeRout")


def test_a_pair_is_compared_with_the_better_guard_and_never_with_a_weaker_large_one() -> None:
    """The large guard is the weaker one: the share of *its* F1 would look like a success."""
    test = rows(200, seed=5)
    gold, groups = np.array([row.unsafe for row in test]), [row.group for row in test]
    strong, weak = observe(Rule("strong", weak=False), test), observe(Rule("weak", weak=True), test)
    sides = (strong.label, strong.p), (weak.label, weak.p)
    quiet = Router(FeatureSpec("g", None, None, WIDTH), [_never(WIDTH)])
    found = evaluate_route(quiet, strong, weak, gold, groups, Fitted.on(*sides, gold, None))
    assert found.better.name == SMALL and found.to_json()["better"] == SMALL
    said = against_better([found])
    assert "better guard alone: small, safety F1 1.000; the pair 1.000, 100.0% of it at 100.0%" in said
    assert "the large guard is the weaker one" in said
    other = evaluate_route(quiet, weak, strong, gold, groups, Fitted.on(*sides[::-1], gold, None))
    assert other.better.name == LARGE and "weaker" not in against_better([other])


def test_a_guard_without_features_cannot_be_the_small_one() -> None:
    class Plain(Rule):
        def _one(self, exchange: Exchange):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(super()._one(exchange), features=None)

    with pytest.raises(InputError, match="carry no features"):
        train_route(Plain("plain", weak=True), Rule("strong", weak=False), rows(20), CONFIG)


def test_two_rules_for_the_threshold_are_one_too_many() -> None:
    with pytest.raises(InputError, match="not both"):
        train_route(Rule("weak", weak=True), Rule("strong", weak=False), rows(60), CONFIG, max_miss=0.1, keep_f1=0.9)


def test_a_bound_and_a_share_choose_thresholds() -> None:
    pair = Rule("weak", weak=True), Rule("strong", weak=False)
    bound = train_route(*pair, rows(240), CONFIG, max_miss=0.05).router
    assert bound.card["threshold_from"]["max_miss"] == 0.05
    share = train_route(*pair, rows(240), CONFIG, keep_f1=0.97).router
    assert share.card["held_out"]["safety"]["f1"] >= 0.97 and share.card["held_out"]["usage"] < 0.4


def test_rows_without_a_verdict_of_the_small_guard_count_as_sent() -> None:
    small, large = observed([2, 0, 1]), observed([1, 0, 1])
    router = Router(FeatureSpec("g", None, None, WIDTH), [])
    gold = np.array([True, False, True])
    quiet = Router(router.spec, [_never(WIDTH)])
    found = evaluate_route(
        quiet, small, large, gold, ["a", "b", "c"], Fitted(1.0, None, 0.5, {}, 0.5, 0.5), threshold=0.5
    )
    assert found.line(ROUTER).usage == pytest.approx(1 / 3) and found.unseen == 1


def _never(width: int) -> dict[str, np.ndarray]:
    """A network whose score is about 0 everywhere."""
    n = 2
    zeros = np.zeros(n, np.float32)
    return {
        "w0": np.zeros((n, width), np.float32), "b0": zeros, "w1": np.zeros((n, n), np.float32), "b1": zeros,
        "w2": np.zeros((1, n), np.float32), "b2": np.full(1, -9, np.float32), "g0": zeros, "h0": zeros, "g1": zeros,
        "h1": zeros,
    }  # fmt: skip
