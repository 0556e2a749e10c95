"""What an audit would ask, with its cost."""

from counterpoise.evals import benchmark
from counterpoise.methods import PROMPT_TOKENS

from .._plan import Plan, Stage, parameters
from ._config import AuditConfig, cards, chosen_intents, modalities_of
from ._measure import ability_cards, capped
from ._stress import StressConfig


def audit_plan(config: AuditConfig, stress: StressConfig | None = None) -> Plan:
    """The plan of `counterpoise audit`. No model is loaded, so that one without eyes is counted as one that sees.
    Raises InputError for whatever the audit would refuse before it loads a model."""
    found = chosen_intents(config)
    modalities = modalities_of(config, found, sees=True)
    stages = []
    for name in ("base", "tuned"):
        for place, template in enumerate(config.templates):
            own = cards(config, template, found, modalities)
            if place == 0:
                ability = [benchmark(each) for each in ability_cards(config, sees=True)]
                own += [capped(each, config.ability_limit) for each in ability]
            stages += [
                Stage(f"{name}: {each.name}", each.rows, each.rows * PROMPT_TOKENS, each.rows * each.max_new_tokens)
                for each in own
            ]
    notes = []
    if stress is not None:
        n = len(stress.attacks)
        tokens = n * stress.rows * PROMPT_TOKENS * sum(each.epochs for each in stress.attempts)
        trials = n * len(stress.attempts)
        stages.append(Stage("stress: trainings", trials * stress.rows, 0, 0, tokens, f"{trials} trials"))
        notes.append(f"each of the {trials} trials is measured on up to {stress.intents} intents and on ability; that "
                     "is not counted")  # fmt: skip
    title = f"counterpoise audit {config.base} {config.tuned}: {len(found)} intents, into {config.out}"
    return Plan(title, tuple(stages), parameters(config.base), tuple(notes))
