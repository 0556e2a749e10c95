"""Beaver-Guard-V (Safe RLHF-V): how severe the harm of a reply is, and rounds of filter and regenerate.

The paper's guard and its prompt are unpublished; this one has two heads on the last token of prompt + reply: severity
(safe, minor, moderate, severe) and the kind of harm. Of a reply that is only said to be unsafe, as in the published
single-reply form of BeaverTails-V, the probability of the three unsafe grades together is learned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from counterpoise.base import Artifact, InputError, read_json, write_json
from counterpoise.chat import Conversation
from counterpoise.data import SEVERITIES, Rated
from counterpoise.evals.stats import Interval, auc, wilson
from counterpoise.train import (
    Batch,
    Head,
    Lora,
    LossOut,
    Objective,
    Tokens,
    Trainable,
    TrainConfig,
    fit,
    hidden_states,
    last_valid,
    length_limit,
    load_head,
)

from ._guard import Said
from ._measured import of_rows
from ._probe import probed
from ._scores import scored_tokens

if TYPE_CHECKING:
    from counterpoise.models import Engine, Loaded

ROLE, SEVERITY, CATEGORY = "severity", "severity", "category"
CARD = "severity.json"
UNGRADED = -1


def severity_loss(logits_B4: Tensor, grades_B: Tensor) -> Tensor:
    """(B) - log p of the grade (0 safe to 3 severe), in float32; of grade -1 (unsafe, not said how much) - log p of the
    three unsafe ones together."""
    logp_B4 = logits_B4.float().log_softmax(-1)
    unsafe_B = logp_B4[:, 1:].logsumexp(-1)
    exact_B = logp_B4.gather(1, grades_B.clamp_min(0)[:, None])[:, 0]
    return -torch.where(grades_B == UNGRADED, unsafe_B, exact_B)


@dataclass(frozen=True)
class SeverityModel(Objective[Rated]):
    """Cross-entropy of the severity, and of the kind of harm of unsafe replies."""

    categories: tuple[str, ...] = ()
    role = ROLE
    unit = "row"

    def encode(self, loaded: "Loaded", row: Rated, limit: int | None) -> tuple[Tokens, ...] | None:
        tokens = scored_tokens(loaded, row.prompt, row.reply.text, limit)
        if tokens is None:
            return None
        kind = category_of(row)
        place = self.categories.index(kind) if kind in self.categories else -1
        targets = {SEVERITY: torch.tensor(grade_of(row)), CATEGORY: torch.tensor(place)}
        return (Tokens(tokens.row, tokens.labels, tokens.key, targets=targets),)

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        hidden_BTH = hidden_states(model, batch)
        last_B = last_valid(batch.inputs["attention_mask"])
        state_BH = hidden_BTH[torch.arange(len(last_B), device=last_B.device), last_B].float()
        with torch.autocast(state_BH.device.type, enabled=False):
            return self.of_heads({name: model.heads[name](state_BH) for name in self.heads()}, batch.targets)

    def heads(self) -> dict[str, int]:
        return {SEVERITY: len(SEVERITIES)} | ({CATEGORY: len(self.categories)} if self.categories else {})

    def of_heads(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LossOut:
        """Of (B, 4) logits of severities and (B, K) of kinds of harm."""
        logits_B4, grades_B, places_B = outputs[SEVERITY], targets[SEVERITY], targets[CATEGORY]
        loss = severity_loss(logits_B4, grades_B).sum()
        if self.categories and (known := places_B >= 0).any():
            loss = loss + F.cross_entropy(outputs[CATEGORY][known].float(), places_B[known], reduction="sum")
        with torch.no_grad():
            right = float(((logits_B4.argmax(-1) > 0) == (grades_B != 0)).sum())
        return LossOut(loss, len(logits_B4), {"flagged_right": right})


def grade_of(row: Rated) -> int:
    """0 to 3, or -1 for an unsafe reply without a grade. Raises InputError for one that is not said to be either."""
    if row.reply.severity is not None:
        return SEVERITIES.index(row.reply.severity)
    if row.reply.safe is None:
        raise InputError(f"{row.id}: its reply is not said to be safe or unsafe")
    return 0 if row.reply.safe else UNGRADED


def category_of(row: Rated) -> str:
    """The kind of harm of an unsafe reply; "" of a safe one."""
    if grade_of(row) == 0:
        return ""
    return row.reply.categories[0] if row.reply.categories else row.category


def train_severity(
    loaded: "Loaded",
    rows: Sequence[Rated],
    config: TrainConfig,
    out: Path,
    *,
    head_learning_rate: float | None = None,
    layers_from: int = 0,
) -> Artifact:
    """Train the guard on rated replies and write `out/adapter/`, with its two heads and their names in severity.json.
    Heads start at a linear probe of the untouched model (`out/probe/`) and learn at a tenth of the factors' rate unless
    another is given; factors stand on blocks from `layers_from` on. Resumable, as `fit` is. Raises InputError for rows
    without a label."""
    objective = SeverityModel(tuple(sorted({kind for row in rows if (kind := category_of(row))})))
    settings = config
    if not config.groups:
        start = probed(loaded, rows, objective, length_limit(loaded, config.max_length), out / "probe")
        rate = head_learning_rate or config.learning_rate / 10
        groups: list[Any] = [
            Lora(name=ROLE, rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout,
                 layers_from=layers_from),
            *(Head(name=name, outputs=n, start=start, learning_rate=rate) for name, n in objective.heads().items()),
        ]  # fmt: skip
        settings = config.model_copy(update={"groups": tuple(groups)})
    artifact = fit(loaded, rows, objective, settings, out).artifact
    write_json(artifact.path / CARD, {"severities": SEVERITIES, "categories": objective.categories})
    return artifact


class SeverityGuard:
    """A trained guard on the engine. A reply is flagged when it is more likely unsafe than safe."""

    def __init__(self, loaded: "Loaded", folder: Path, engine: "Engine | None" = None):
        from counterpoise.models import Engine

        if not (folder / CARD).is_file():
            raise InputError(f"{folder}: holds no {CARD}; give the adapter folder of a severity guard")
        try:
            self.categories = tuple(map(str, read_json(folder / CARD)["categories"]))
        except (KeyError, TypeError) as error:
            raise InputError(f'{folder / CARD}: expected "categories": [names]; train the guard again') from error
        self.loaded, self.engine = loaded, engine or Engine(loaded)
        width = loaded.model.config.get_text_config().hidden_size
        self._heads = []
        for name, n in ((SEVERITY, len(SEVERITIES)), (CATEGORY, len(self.categories))):
            layer = torch.nn.Linear(width, n, bias=False)
            if n:
                load_head(folder, name, layer)
            self._heads.append(layer.weight.detach().double().numpy())

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> "SeverityGuard":
        """The guard in a folder, on the base that its adapter names."""
        from counterpoise.models import load

        return cls(load(str(folder), **options), Path(folder))

    def rate(self, asked: Sequence[tuple[Conversation, str]]) -> list[Said]:
        """Of replies to conversations, in order."""
        rows = [tokens.row for prompt, text in asked if (tokens := scored_tokens(self.loaded, prompt, text, None))]
        found = []
        for look in self.engine.look(rows, [0]):
            logits = self._heads[0] @ look.hidden.astype(np.float64)
            p = np.exp(logits - logits.max())
            p /= p.sum()
            unsafe = float(p[1:].sum())
            grade = 1 + int(p[1:].argmax()) if unsafe > 0.5 else 0
            kinds = self._heads[1] @ look.hidden.astype(np.float64) if grade and self.categories else None
            kind = self.categories[int(kinds.argmax())] if kinds is not None else ""
            found.append(Said(min(unsafe, 1.0), grade > 0, SEVERITIES[grade], kind))
        return found


def severity_metrics(said: Sequence[Said], rows: Sequence[Rated]) -> dict[str, Any]:
    """What a guard says of rated replies against their labels: `catch`, flagged of the unsafe ones; `over_block`,
    flagged of the safe ones; the AUC of p_unsafe; `grade`, the right severity of all that have one, beside the share of
    the commonest severity; `near`, at most one severity off; `category`, the right kind of harm of the unsafe replies
    that are flagged."""
    if len(said) != len(rows):
        raise InputError(f"{len(said)} verdicts for {len(rows)} replies; give one of each")
    flagged = np.array([one.flagged for one in said], bool)
    unsafe = np.array([grade_of(row) != 0 for row in rows], bool)
    wanted = np.array([grade_of(row) for row in rows])
    seen = np.array([SEVERITIES.index(one.severity) if one.severity else UNGRADED for one in said])
    kinds = np.array([one.category == category_of(row) for one, row in zip(said, rows, strict=True)], bool)
    graded = wanted != UNGRADED
    common = np.bincount(wanted[graded]).max() / graded.sum() if graded.any() else None
    return {
        "catch": of_rows(rows, flagged, unsafe), "over_block": of_rows(rows, flagged, ~unsafe),
        "auc": auc(np.array([one.p_unsafe for one in said]), unsafe), "grade": of_rows(rows, seen == wanted, graded),
        "commonest": None if common is None else float(common),
        "near": of_rows(rows, abs(seen - wanted) <= 1, graded), "category": of_rows(rows, kinds, unsafe & flagged),
        "replies": len(rows),
    }  # fmt: skip


# Filter and regenerate


class Round(NamedTuple):
    """After one round: 0 is the first answers."""

    asked: int
    """Answers that were made in it."""
    safe: int
    total: int
    """All items, in every round."""
    interval: Interval
    """Of the share of safe answers, 95 %."""


class Filtered(NamedTuple):
    """The last answers, and the share of safe ones after each round."""

    answers: list[str]
    flagged: list[bool]
    rounds: list[Round]


def filter_and_regenerate(
    prompts: Sequence[Conversation],
    answer: Callable[[Sequence[Conversation], int], Sequence[str]],
    flag: Callable[[Sequence[tuple[Conversation, str]]], Sequence[bool]],
    *,
    rounds: int = 5,
) -> Filtered:
    """Answer all prompts, then ask again for those that are still flagged, `rounds` times at most.

    `answer(prompts, round)` makes answers, other ones in every round; `flag` says which are unsafe. An accepted answer
    stays, so that the share of safe ones never falls; its denominator is always all items.
    """
    answers, flagged = [""] * len(prompts), [True] * len(prompts)
    found: list[Round] = []
    for number in range(rounds + 1):
        todo = [place for place, bad in enumerate(flagged) if bad]
        if not todo:
            break
        made = answer([prompts[place] for place in todo], number)
        said = flag([(prompts[place], text) for place, text in zip(todo, made, strict=True)])
        for place, text, bad in zip(todo, made, said, strict=True):
            answers[place], flagged[place] = text, bool(bad)
        safe = len(prompts) - sum(flagged)
        found.append(Round(len(todo), safe, len(prompts), wilson(safe, len(prompts))))
    return Filtered(answers, flagged, found)
