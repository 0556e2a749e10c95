"""What a command would do, with its cost in rows, tokens and time. Nothing is generated or trained."""

from collections.abc import Sequence
from math import ceil, isnan, log2

from counterpoise.evals import Suite, suite
from counterpoise.evals.stats import StopRule, clopper_pearson, detectable_paired, expected_rows, wilson

from ._config import RunConfig
from ._cost import Plan, Stage, parameters
from ._steps import RealSteps
from ._target import parse_target

PROMPT_TOKENS = 110  # a short question with one image of 49 tokens and the chat template
ANSWER_TOKENS = 64
EPOCHS = 3  # the paper's; only for the estimate


def plan(config: RunConfig) -> Plan:
    """The plan of `counterpoise run`. Raises InputError for whatever the run itself would refuse at its start."""
    chosen = suite(config.suite)
    measured, notes = _measure(chosen.benchmarks, config.limit, config.max_new_tokens, chosen)
    amount = config.amount or (config.amounts[-1] if config.amounts else RealSteps().amount(config))
    align = Stage(f"align ({config.method})", amount, 0, trained=amount * (PROMPT_TOKENS + ANSWER_TOKENS) * EPOCHS)
    once = _sum("measure before", measured)
    if config.target:
        parse_target(config.target)
        most = ceil(log2(len(config.fractions) + 1))
        note = f"usually {most} doses; at worst {len(config.fractions) + len(config.amounts)}"
        dose = Stage("dose: trainings", most * amount, 0, trained=most * align.trained, note=note)
        again = Stage("dose: measurements", most * once.rows, most * once.read, most * once.written)
        stages = [once, dose, again, _sum("measure after", measured)]
    else:
        stages = [once, align, _sum("measure after", measured)]
    title = f"counterpoise run {config.model}: suite {config.suite}, into {config.out}"
    return Plan(title, tuple(stages), parameters(config.model), tuple(notes))


def eval_plan(
    model: str,
    names: Sequence[str],
    *,
    limit: int | None,
    max_new_tokens: int | None,
    stop: StopRule | None = None,
    batch: int = 64,
    suite: Suite | None = None,
) -> Plan:
    """The plan of `counterpoise eval`, one stage per benchmark, with what its number of items can show."""
    stages, notes = _measure(names, limit, max_new_tokens, suite)
    if stop is not None:
        notes += [f"{stage.name}: {savings(stop, stage.rows, batch)}" for stage in stages]
    table = power_table(stages) if stages else ()
    return Plan(f"counterpoise eval {model}", tuple(stages), parameters(model), tuple(notes), table)


def power_table(stages: Sequence[Stage]) -> tuple[str, ...]:
    """What so many items can show, a line for each benchmark (Wilson, Clopper-Pearson, Connor 1987)."""
    head = ("what so many items can show", "items", "50 % within", "0 events mean", "smallest paired change")
    return (
        "",
        "{:<34}{:>8}{:>16}{:>18}{:>26}".format(*head),
        *("{:<34}{:>8}{:>16}{:>18}{:>26}".format(stage.name, *power(stage.rows)) for stage in stages),
        "95 % two-sided, power 80 %; paired changes when 10 % / 20 % of the items change; clustered items show less",
    )


def power(n: int) -> tuple[str, str, str, str]:
    """Number of items, half width at 50 %, what zero events mean, and the smallest paired change that shows."""
    low, high = wilson(n / 2, n)
    changes = [detectable_paired(n, share) for share in (0.1, 0.2)]
    shown = " / ".join("none" if isnan(change) else f"{100 * change:.1f}" for change in changes)
    most = f"at most {100 * clopper_pearson(0, n).high:.1f} %"
    return f"{n:,}", f"{50 * (high - low):.1f} points", most, f"{shown} points"


def savings(rule: StopRule, n: int, batch: int) -> str:
    """How many items a stop rule is expected to use, by the true rate."""
    clear = 0.0 if rule.at_most else 1.0
    rates = (clear, rule.bound, (rule.bound + 1 - clear) / 2)
    used = [expected_rows(rule, rate, n, block=batch)[0] for rate in rates]
    parts = ", ".join(f"{mean:,.0f} if {rule.metric} is {rate:.0%}" for rate, mean in zip(rates, used, strict=True))
    return f"{rule} uses about {parts} (of {n:,} items)"


def _measure(
    names: Sequence[str], limit: int | None, longest: int | None, suite: Suite | None = None
) -> tuple[list[Stage], list[str]]:
    from counterpoise.evals import benchmark as find

    stages, notes = [], []
    for name in names:
        benchmark = find(name)
        if reason := benchmark.available():
            notes.append(f"{name} is skipped: {reason}")
            continue
        tries = benchmark.sampling.n if benchmark.sampling else 1
        cap = suite.caps.get(name) if suite else None
        rows = min(n for n in (benchmark.rows * tries, limit, cap) if n is not None)
        note = f"of {benchmark.rows:,}, evenly spread" if cap == rows else ""
        written = rows * (longest or benchmark.max_new_tokens)
        stages.append(Stage(name, rows, rows * PROMPT_TOKENS, written, note=note))
    return stages, notes


def _sum(name: str, stages: Sequence[Stage]) -> Stage:
    return Stage(name, sum(s.rows for s in stages), sum(s.read for s in stages), sum(s.written for s in stages))
