"""From two guards and labelled rows to a router: look, label, split, augment, train, choose a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import InputError

from .._labelled import Labelled, grouped_split
from .._values import Exchange, Guard, identity
from ._baselines import Fitted
from ._conformal import check_max_miss, conformal_threshold
from ._fit import fit_members
from ._labels import Bools, Floats, cascade, route, routing_labels
from ._metrics import best_threshold, cheapest, curve, decided, scores
from ._observe import Observed, observe, spec_of
from ._paraphrase import Paraphraser, by_rules, paraphrased
from ._router import FeatureSpec, Router
from ._settings import RouterConfig


@dataclass(frozen=True)
class Material:
    """Both guards' outputs on the rows, split before anything else was done; what any router of the pair is made of."""

    spec: FeatureSpec
    small: Observed
    large: Observed
    gold: Bools
    train: list[int]
    """Rows (of all, paraphrases included) that are trained on."""
    held: list[int]
    fitted: Fitted
    pair: tuple[str, str]
    n_paraphrases: int

    @property
    def hard(self) -> Bools:
        """Routing labels of all rows."""
        return routing_labels(self.small.label, self.large.label, self.gold)


@dataclass(frozen=True)
class Trained:
    """A router and the material it was made of."""

    router: Router
    material: Material


def gather(
    small: Guard,
    large: Guard,
    rows: Sequence[Labelled],
    config: RouterConfig,
    *,
    paraphrase: Paraphraser = by_rules,
    cache: Path | None = None,
) -> Material:
    """Look at the rows with both guards, split by group, then paraphrase the training side only and look at that too.

    Raises InputError when the small guard gives no features, or rows or groups are too few.
    """
    spec = spec_of(small, rows)
    a, b = observe(small, rows, cache), observe(large, rows, cache)
    gold = np.array([row.unsafe for row in rows])
    train, held = grouped_split(
        [row.group for row in rows], routing_labels(a.label, b.label, gold), config.held_out, config.seed
    )
    more = paraphrased([rows[n] for n in train], config.rounds, paraphrase)
    if more:
        a, b = _joined(a, observe(small, more, cache)), _joined(b, observe(large, more, cache))
        gold = np.append(gold, [row.unsafe for row in more])
    learn = [*train.tolist(), *range(len(rows), len(rows) + len(more))]
    learn = [n for n in learn if not a.must[n]]  # a row that the small guard cannot look at is always routed
    if not any(not np.isnan(a.p[n]) for n in learn):
        raise InputError(f"{small.id}: has no probability on any training row")
    fitted = Fitted.on((a.label[learn], a.p[learn]), (b.label[learn], b.p[learn]), gold[learn], content_free(small))
    pair = (identity(small), identity(large))
    return Material(spec, a, b, gold, learn, held.tolist(), fitted, pair, len(more))


def content_free(guard: Guard) -> float | None:
    """P(unsafe) of a prompt that says nothing: a blank, or `N/A` for guards that refuse to look at a blank."""
    from counterpoise.chat import user

    for text in (" ", "N/A"):
        p = guard.check([Exchange((user(text),))])[0].p_unsafe
        if p is not None:
            return p
    return None


def train_on(
    material: Material, config: RouterConfig, *, max_miss: float | None = None, keep_f1: float | None = None
) -> Router:
    """Train the networks; the threshold is 0.5, or chosen on the held-out rows for a bound on misses (`max_miss`), or
    for the least usage that keeps a share of the better guard's safety F1 (`keep_f1`)."""
    _check_rule(max_miss, keep_f1)
    hard, features = material.hard, material.small.features
    assert features is not None  # spec_of made sure
    members = fit_members(features[material.train], hard[material.train], config)
    router = Router(material.spec, members)
    held = material.held
    small, large, gold = material.small.at(held), material.large.at(held), material.gold[held]
    p, must = route_scores(router, small), small.must
    how: dict[str, Any] = {"rule": "0.5, as in the paper"}
    threshold = 0.5
    if max_miss is not None:
        threshold = conformal_threshold(p, hard[held], max_miss, must)
        how = {"rule": "conformal risk control on the held-out rows", "max_miss": max_miss, "n": len(held)}
    elif keep_f1 is not None:
        # of the better guard: a share of a large guard that is the weaker one would be reached by asking it nothing
        least = keep_f1 * max(scores(gold, decided(guard.label, gold)).f1 for guard in (small, large))
        threshold = cheapest(curve(p, small.label, large.label, gold, hard[held], must), least)
        how = {"rule": "least usage on the held-out rows", "keep_f1": keep_f1, "n": len(held)}
    sent = route(p, threshold, must)
    card = {
        "small": material.pair[0],
        "large": material.pair[1],
        "config": config.model_dump(),
        "threshold_from": how,
        "tuned": best_threshold(p[~must], hard[held][~must]),
        "rows": {
            "train": len(material.train),
            "hard": int(hard[material.train].sum()),
            "paraphrases": material.n_paraphrases,
            "held_out": len(held),
        },
        "baselines": material.fitted._asdict(),
        "held_out": {
            "routing": scores(hard[held], sent)._asdict(),
            "safety": scores(gold, decided(cascade(small.label, large.label, sent), gold))._asdict(),
            "usage": float(sent.mean()),
        },
    }
    return replace(router, threshold=threshold, card=card)


def _check_rule(max_miss: float | None, keep_f1: float | None) -> None:
    """Raises InputError for a rule that cannot choose a threshold; asked before any guard looks at anything."""
    if max_miss is not None and keep_f1 is not None:
        raise InputError("threshold: give --max-miss or --keep-f1, not both")
    if max_miss is not None:
        check_max_miss(max_miss)
    if keep_f1 is not None and not 0 < keep_f1 <= 1:
        raise InputError(f"--keep-f1 {keep_f1}: give a share of the better guard's F1, such as 0.97")


def train_route(
    small: Guard,
    large: Guard,
    rows: Sequence[Labelled],
    config: RouterConfig | None = None,
    *,
    paraphrase: Paraphraser = by_rules,
    cache: Path | None = None,
    max_miss: float | None = None,
    keep_f1: float | None = None,
) -> Trained:
    """`gather` and `train_on` in one."""
    config = config or RouterConfig()
    _check_rule(max_miss, keep_f1)
    material = gather(small, large, rows, config, paraphrase=paraphrase, cache=cache)
    return Trained(train_on(material, config, max_miss=max_miss, keep_f1=keep_f1), material)


def route_scores(router: Router, small: Observed) -> Floats:
    """P(the large guard is needed) of each row; 1 where the small guard has no features."""
    p = np.ones(len(small.label))
    if small.features is not None and small.has.any():
        p[small.has] = router(small.features[small.has])
    return p


def _joined(one: Observed, other: Observed) -> Observed:
    features = None
    if one.features is not None and other.features is not None:
        features = np.concatenate([one.features, other.features])
    return Observed(
        np.concatenate([one.label, other.label]),
        np.concatenate([one.p, other.p]),
        np.concatenate([one.cost, other.cost]),
        features,
        np.concatenate([one.has, other.has]),
    )
