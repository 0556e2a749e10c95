"""What a tournament would do, with its cost."""

from functools import partial

from counterpoise.evals import suite
from counterpoise.methods import get

from .._plan import Plan, measured, parameters, training
from .._stages import RealStages, model_folder, refuse_adapter
from ._budget import PILOT, dose, rows_of
from ._config import TournamentConfig


def _pilot_pace(config: TournamentConfig) -> float:
    """Seconds a row at which the budget is as large as the trial: the true pace is not known yet."""
    return 60 * (config.budget.minutes or 0) / PILOT


def tournament_plan(config: TournamentConfig, *, jobs: int = 1) -> Plan:
    """The plan of `counterpoise tournament`. Raises InputError for whatever it would refuse at its start."""
    refuse_adapter(config.model, model_folder(config.model))
    work = RealStages()
    once, notes = measured(suite(config.suite), config.limit, config.max_new_tokens)
    n = len(config.seeds)
    stages = [once.named("untouched: measure")]
    for arm in config.arms:
        method = get(arm.method)
        run = config.run(arm, config.seeds[0], config.out)
        chosen = dict(
            dose(method, arm, config.budget, partial(_pilot_pace, config), partial(rows_of, work, run, method))
        )
        stages.append(training(f"{arm.name}: train", method, work.settings(run, chosen)).times(n, f"{n} seeds"))
        stages.append(once.times(n, f"{n} seeds").named(f"{arm.name}: measure"))
    if config.budget.minutes is not None:
        notes.append(f"rows within {config.budget}: known after a trial of {PILOT} rows of each arm; {PILOT} shown")
    if jobs > 1:
        notes.append(f"{jobs} arms at once, each on its share of the machine; the time is of one after the other")
    title = f"counterpoise tournament {config.model}: {len(config.arms)} arms, suite {config.suite}, into {config.out}"
    return Plan(title, tuple(stages), parameters(config.model), tuple(notes))
