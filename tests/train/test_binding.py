"""Binding images to text: the distances by hand, targets of the model as it comes in, what a training moves."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Sample, assistant, user
from counterpoise.models import Engine, Loaded, load
from counterpoise.train import (
    Binding,
    Bound,
    Lora,
    Projector,
    Scale,
    Target,
    TrainConfig,
    collate,
    fit,
    late_layers,
    pad,
    sft_loss,
    text_scale,
    text_targets,
)
from counterpoise.train._binding import (
    distance_along,
    first_token_kl,
    mean_cross_entropy,
    odds_distance,
    state_distance,
)
from counterpoise.train._text_targets import KEPT, target_odds

LAYERS = (1, 2)
CONFIG = TrainConfig(
    learning_rate=1e-2, epochs=1, batch_size=6, groups=(Lora(rank=4, alpha=8), Projector(learning_rate=1e-3)),
    schedule="constant", warmup_ratio=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("smolvlm", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


def shown(number: int) -> Conversation:
    return (user(Image.from_pil(tiny.picture(number)), "Do what the picture says. " + "please " * (number % 3)),)


def said(number: int) -> Conversation:
    return (user(f"How do I paint house number {number}?"),)


def mixed(loaded: Loaded, n: int = 6) -> list[Bound | Sample]:
    """Of each kind a third: image requests bound to texts, texts that stay, answers about a picture."""
    aims = text_targets(loaded, [[said(i)] for i in range(n)], LAYERS)
    bound = [Bound(f"b{i}", shown(i), aims[i]) for i in range(n // 3)]
    kept = [Bound(f"t{i}", said(i), aims[i], states=False) for i in range(n // 3, 2 * n // 3)]
    answers = [Sample(f"a{i}", (*shown(i), assistant("It says " + "so " * (1 + 3 * i)))) for i in range(n // 3)]
    return [*bound, *kept, *answers]


def loss_of(loaded: Loaded, objective: Binding, rows: list[Bound | Sample]) -> Any:
    encoded = [objective.encode(loaded, row, None) for row in rows]
    with torch.no_grad():
        return objective.loss(loaded.model, pad(loaded, [row for row in encoded if row is not None]))


def test_distances_by_hand() -> None:
    target = torch.tensor([[[3.0, 4.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    states = torch.tensor([[[3.0, 4.0], [2.0, 2.0]], [[5.0, 5.0], [5.0, 5.0]]])
    assert state_distance(states, target).tolist() == [0.5, 0.0]  # (0 / 25 + 4 / 4) / 2; nothing to be bound to
    assert state_distance(states, target, torch.tensor([1.0, 8.0])).tolist() == [0.25, 0.0]
    assert state_distance(target[:1], target[:1]).tolist() == [0.0]
    direction = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    along = distance_along(states, target, direction, torch.tensor([1.0, 0.36]))
    assert along.tolist() == pytest.approx([(0 + 1.2**2 / 0.36) / 2, 0.0])
    moved = states + 3 * torch.tensor([[[0.0, 1.0], [0.8, -0.6]]])  # across the direction
    assert distance_along(moved, target, direction, torch.tensor([1.0, 0.36])).tolist() == pytest.approx(along.tolist())


def test_the_pooled_divergence_is_zero_at_the_target_and_never_above_that_of_the_vocabulary() -> None:
    torch.manual_seed(0)
    logits, others = torch.randn(5, 40) * 3, torch.randn(5, 40) * 3
    logp = logits.log_softmax(-1)
    top, tokens = logp.topk(8)
    given = torch.cat([top, (1 - top.exp().sum(1, keepdim=True)).log()], dim=1)
    assert first_token_kl(logits, tokens, given) == pytest.approx(torch.zeros(5), abs=1e-5)
    pooled = first_token_kl(others, tokens, given)
    whole = F.kl_div(others.log_softmax(-1), logp, log_target=True, reduction="none").sum(1)
    assert bool((pooled > 0.05).all()) and bool((pooled <= whole + 1e-5).all())
    own, aim = others[0].log_softmax(-1)[tokens[0]], given[0, :8]
    by_hand = float((aim.exp() * (aim - own)).sum())
    rest = others[0].log_softmax(-1).exp()[tokens[0]].sum()
    by_hand += float(given[0, 8].exp() * (given[0, 8] - (1 - rest).log()))
    assert float(pooled[0]) == pytest.approx(by_hand, rel=1e-4)
    assert first_token_kl(others, torch.zeros_like(tokens), torch.zeros_like(given)).tolist() == [0.0] * 5


def test_a_long_answer_weighs_as_much_as_a_short_one() -> None:
    torch.manual_seed(1)
    logits, wanted, rows = torch.randn(6, 9), torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([0, 2, 2, 2, 2, 2])
    found = mean_cross_entropy(logits, wanted, rows, 3)
    each = F.cross_entropy(logits, wanted, reduction="none")
    assert found.tolist() == pytest.approx([float(each[0]), 0.0, float(each[1:].mean())])


@pytest.mark.parametrize("kind", tiny.VLMS)
def test_targets_and_loss_are_those_of_the_models_own_states(kind: str, tmp_path: Path) -> None:
    """Each part of the loss from the engine's own numbers, on several architectures."""
    loaded = load(str(tiny.build(kind, tmp_path / kind)), dtype="float32", device="cpu")
    rows, engine = mixed(loaded, 6), Engine(loaded)
    for number, row in enumerate(rows[:4]):
        for at, layer in enumerate(LAYERS):
            assert row.target.states[at].numpy() == pytest.approx(  # type: ignore[union-attr]
                engine.hidden_states([said(number)], layer=layer)[0], rel=1e-4, abs=1e-4
            )
    alone = [loss_of(loaded, Binding(LAYERS, first=0.0), [row]) for row in rows]
    for number in range(2):
        far = 0.0
        for at, layer in enumerate(LAYERS):
            states, aim = engine.hidden_states([shown(number)], layer=layer)[0], rows[number].target.states[at]  # type: ignore[union-attr]
            far += float(((torch.from_numpy(states) - aim) ** 2).sum() / (aim**2).sum()) / len(LAYERS)
        assert float(alone[number].loss) == pytest.approx(far, rel=1e-3)
    for text in alone[2:4]:
        assert float(text.loss) == pytest.approx(0.0, abs=1e-4)  # nothing has moved yet
    for row, found in zip(rows[4:], alone[4:], strict=True):
        with torch.no_grad():
            whole = sft_loss(loaded.model, collate(loaded, [row]))  # type: ignore[list-item]
        assert float(found.loss) == pytest.approx(float(whole.loss) / whole.n, rel=1e-4)


def test_rows_of_all_kinds_together_are_the_sum_of_each_alone(model: Loaded) -> None:
    rows, objective = mixed(model), Binding(LAYERS)
    together = loss_of(model, objective, rows)
    alone = [loss_of(model, objective, [row]) for row in rows]
    assert together.n == len(rows) == sum(each.n for each in alone)
    assert float(together.loss) == pytest.approx(sum(float(each.loss) for each in alone), rel=1e-4)
    for name in ("distance", "first", "anchor", "reply"):
        parts = sum(each.metrics.get(name, 0.0) for each in alone)
        assert together.metrics[name] == pytest.approx(parts, rel=1e-3, abs=1e-4)


def test_each_weight_scales_its_part(model: Loaded) -> None:
    rows = mixed(model)
    moved = [replace(row, target=text_targets(model, [[said(9)]], LAYERS)[0]) for row in rows[2:4]]  # type: ignore[type-var]
    scale = text_scale(text_targets(model, [[said(i)] for i in range(6)], LAYERS), [True, False] * 3)

    def part(some: list[Any], **weights: float) -> float:
        return float(loss_of(model, Binding(LAYERS, scale=scale, **weights), some).loss)

    bound = part(rows[:2], first=0)
    assert part(rows[:2], first=2) - bound == pytest.approx(2 * (part(rows[:2], first=1) - bound), rel=1e-3)
    assert part(rows[:2], first=0, along=2) - bound == pytest.approx(2 * (part(rows[:2], first=0, along=1) - bound))
    assert part(rows[:2], first=0, along=1) > bound > 0
    assert part(moved, anchor=2) == pytest.approx(2 * part(moved, anchor=1)) and part(moved, anchor=1) > 0
    assert part(rows[4:], reply=2) == pytest.approx(2 * part(rows[4:], reply=1)) and part(rows[4:], reply=1) > 0


def test_a_training_draws_images_to_their_texts_and_leaves_the_anchors(model: Loaded, tmp_path: Path) -> None:
    rows, plain = mixed(model, 18) * 6, Binding(LAYERS)
    before, after = loss_of(model, plain, rows[:18]), {}
    for weight in (0.0, 1.0):
        made = fit(model, rows, Binding(LAYERS, anchor=weight), CONFIG, tmp_path / str(weight))
        trained = load(model.name, adapter=str(made.adapter), dtype="float32", device="cpu")
        after[weight] = loss_of(trained, plain, rows[:18]).metrics
    assert after[1.0]["distance"] < 0.8 * before.metrics["distance"]
    assert after[1.0]["reply"] < before.metrics["reply"]
    assert after[1.0]["anchor"] < after[0.0]["anchor"]  # without anchors the text side moves


def test_micro_batches_change_nothing(model: Loaded, tmp_path: Path) -> None:
    rows, found = mixed(model, 12), []
    for name, tokens in (("one", 1), ("all", 10**6)):
        config = CONFIG.model_copy(update={"micro_batch_tokens": tokens, "batch_size": 12})
        found.append(fit(model, rows, Binding(LAYERS), config, tmp_path / name).loss)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_row_is_bound_to_what_its_wordings_have_in_common(model: Loaded) -> None:
    one, two, both = text_targets(model, [[said(1)], [said(22222)], [said(1), said(22222)]], LAYERS, batch=2)
    assert both.states.numpy() == pytest.approx(((one.states + two.states) / 2).numpy(), rel=1e-4, abs=1e-5)
    token = int(both.tokens[0])
    found = Engine(model).look([said(1), said(22222)], [token])
    mean = sum(math.exp(each.logprobs[0]) for each in found) / 2
    assert float(both.logprobs[0].exp()) == pytest.approx(mean, rel=1e-4)
    assert len(both.tokens) == KEPT and float(both.logprobs.exp().sum()) == pytest.approx(1.0, abs=1e-4)


def test_targets_do_not_depend_on_the_batch_and_leave_the_model_as_it_was(model: Loaded) -> None:
    twins = [[said(10**i)] for i in range(5)]
    model.model.train()
    try:
        a, b = (text_targets(model, twins, LAYERS, batch=batch) for batch in (1, 16))
        assert model.model.training
    finally:
        model.model.eval()
    for one, other in zip(a, b, strict=True):
        assert one.states.numpy() == pytest.approx(other.states.numpy(), rel=1e-4, abs=1e-4)


def test_the_direction_parts_refused_from_answered_texts() -> None:
    torch.manual_seed(0)
    axis = F.normalize(torch.randn(1, 8), dim=-1)
    kinds = [True, False] * 50
    states = [axis * (3 if kind else -3) + torch.randn(1, 8) * 0.1 for kind in kinds]
    aims = [Target(each, torch.zeros(1), torch.zeros(2)) for each in states]
    scale = text_scale(aims, kinds)
    assert float((scale.direction * axis).sum()) > 0.99
    assert float(scale.along) == pytest.approx(9, rel=0.05) and float(scale.spread) == pytest.approx(9.08, rel=0.05)
    for wrong in ([True] * 100, kinds[:-1]):
        with pytest.raises(InputError, match="texts of both kinds"):
            text_scale(aims, wrong)


def test_odds_by_hand() -> None:
    tokens = torch.tensor([[4, 2], [1, 3], [1, 3]])
    likely = torch.tensor([[0.5, 0.2, 0.3], [0.9, 0.05, 0.05], [0.0, 0.0, 0.0]])
    logprobs = torch.where(likely > 0, likely.log(), torch.zeros_like(likely))  # the last row has no target
    aims, known = target_odds(tokens[:2], logprobs[:2], 2)
    assert aims.tolist() == pytest.approx([math.log(0.2 / 0.8), math.log(0.05 / 0.95)]) and known.tolist() == [
        True,
        False,
    ]
    own = torch.tensor([0.1, 0.3, 0.2, 0.2, 0.2]).log()
    model = torch.stack([own, own, own])  # log odds of token 2: log(0.2 / 0.8)
    off = odds_distance(model, tokens, logprobs, 2)
    assert off.tolist() == pytest.approx([0, (math.log(0.25) - math.log(0.05 / 0.95)) ** 2, 0], abs=1e-6)
    rare = torch.tensor([0.3, 0.3, 0.01, 0.2, 0.19]).log()[None]  # below what the target only bounds
    assert odds_distance(rare, tokens[1:2], logprobs[1:2], 2).tolist() == [0]
    assert odds_distance(rare, tokens[:1], logprobs[:1], 2).tolist() == pytest.approx(
        [(math.log(0.01 / 0.99) - math.log(0.25)) ** 2]
    )


def test_the_odds_have_a_weight_and_the_units_of_the_texts(model: Loaded) -> None:
    rows, token = mixed(model)[:2], 5
    targets = text_targets(model, [[said(i)] for i in range(6)], LAYERS)
    scale = text_scale(targets, [True, False] * 3, token)
    own = [float(target_odds(t.tokens[None], t.logprobs[None], token)[0]) for t in targets]
    assert float(scale.odds) == pytest.approx(np.var(own), rel=1e-4)

    def found(scale: Scale, odds: float) -> Any:
        return loss_of(model, Binding(LAYERS, scale=scale, odds=odds, token=token), rows)

    plain, some, more = (found(scale, odds) for odds in (0.0, 1.0, 2.0))
    assert float(some.loss - plain.loss) == pytest.approx(some.metrics["odds"], rel=1e-3) and some.metrics["odds"] > 0
    assert float(more.loss - plain.loss) == pytest.approx(2 * some.metrics["odds"], rel=1e-3)
    wider = found(replace(scale, odds=4 * scale.odds), 1.0)
    assert wider.metrics["odds"] == pytest.approx(some.metrics["odds"] / 4, rel=1e-4)


def test_late_layers_end_with_the_last_one() -> None:
    assert late_layers(30) == (16, 20, 24, 27, 30) and late_layers(1) == (1,)
    with pytest.raises(InputError, match="none to bind"):
        late_layers(0)


def test_what_is_wrong_is_told(model: Loaded) -> None:
    for layers in ((), (2, 1), (-1, 2)):
        with pytest.raises(InputError, match="ascending order"):
            Binding(layers)
    with pytest.raises(InputError, match="must not be below 0"):
        Binding(LAYERS, anchor=-1)
    with pytest.raises(InputError, match="needs a scale"):
        Binding(LAYERS, along=1)
    for given in (
        {"token": 5},
        {"scale": text_scale(text_targets(model, [[said(0)], [said(1)]], LAYERS), [True, False])},
    ):
        with pytest.raises(InputError, match="needs its first token, and a scale"):
            Binding(LAYERS, odds=1, **given)
    with pytest.raises(InputError, match="row 1 has no text twin"):
        text_targets(model, [[said(0)], []], LAYERS)
    with pytest.raises(InputError, match="hidden states 0 to 2, not 7"):
        text_targets(model, [[said(0)]], (1, 7))
    row = Bound("b", shown(0), text_targets(model, [[said(0)]], (2,))[0])
    with pytest.raises(InputError, match="b: its target has 1 layers, the loss 2"):
        Binding(LAYERS).encode(model, row, None)


def test_a_request_that_would_lose_its_end_is_left_out(model: Loaded) -> None:
    row = Bound("b", shown(0), text_targets(model, [[said(0)]], LAYERS)[0])
    length = len(Binding(LAYERS).encode(model, row, None)[0])  # type: ignore[index]
    assert Binding(LAYERS).encode(model, row, length) is not None
    assert Binding(LAYERS).encode(model, row, length - 1) is None
