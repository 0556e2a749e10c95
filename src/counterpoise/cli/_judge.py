"""`counterpoise judge`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from counterpoise.evals.judges import Judged

app = typer.Typer(no_args_is_help=True, help="Judges of answers: what there is, how far to trust it, judging again.")

Name = Annotated[str, typer.Argument(metavar="JUDGE", help="NAME, NAME@MODEL or panel:A,B,C; see judge list.")]
Template = Annotated[Path | None, typer.Option(help="Prompt of a classifier judge, with {request} and {answer}.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that an LLM judge may take for one answer.")]
Connections = Annotated[int, typer.Option(min=1, help="Calls to an LLM judge at a time.")]


@app.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of objects, for scripts.")] = False,
) -> None:
    """List judges: what they measure and see, what they are official for, and their known bias.

    Official is a judge for one metric of one benchmark, with the authors' model and in their words. Answers that were
    cut at the token limit are counted as they stand, or unscored, by the judge's own rule.

    Examples:

    - `counterpoise judge list`

    - `counterpoise judge list --json`
    """
    import json

    from counterpoise.evals.judges import known_judges

    entries: list[dict[str, Any]] = [
        {
            "name": name,
            "measures": facts.measures,
            "sees": facts.sees,
            "official": [claim.text() for claim in facts.official],
            "cut": facts.cut,
            "labels": list(facts.labels),
            "model": model,
            "source": facts.source,
            "known bias": facts.known_bias,
        }
        for name, (facts, model) in known_judges().items()
    ]
    if as_json:
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from ._print import show as print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("name", "measures", "sees", "official for", "cut answers", "model", "known bias")
    for name in columns:
        table.add_column(name, overflow="fold")
    for entry in entries:
        cut = "counted" if entry["cut"] == "counts" else "unscored"
        cells = {**entry, "official for": "; ".join(entry["official"]) or "nothing", "cut answers": cut,
                 "model": entry["model"] or "none needed"}  # fmt: skip
        table.add_row(*(Text(str(cells[name])) for name in columns))
    print_table(table)


@app.command("calibrate")
def calibrate(
    judge: Name,
    labels: Annotated[
        Path,
        typer.Option(help="Human labels: XSTest completions, HarmBench's JSON, or your own CSV or JSONL."),
    ],
    out: Annotated[Path | None, typer.Option(help="Result.  [default: calibrations/JUDGE/LABELS.json]")] = None,
    template: Template = None,
    timeout: Timeout = 120.0,
    connections: Connections = 16,
) -> None:
    """Measure a judge on human labels: sensitivity, specificity, and the bias of its rate on each side.

    Own rows have the columns `prompt`, `answer` and either `harmful` or `refused` (0 or 1), and may have `id`, `side`
    (harmful or harmless prompt) and `group`. The result is stored as JSON; give it to `judge score` and rates
    corrected for the judge's errors stand beside the raw ones. Verdicts are kept, so a stopped calibration continues.

    Examples:

    - `counterpoise judge calibrate opening --labels data/xstest/model_completions`

    - `counterpoise judge calibrate xstest-rubric@openai/gpt-4o --labels mine.csv`
    """
    from counterpoise.base import Progress
    from counterpoise.evals.judges import VerdictJournal, make_judge, read_labels, save_calibration, slug, verdicts
    from counterpoise.evals.judges import calibrate as measure

    from ._calibration import print_calibration

    found = read_labels(labels)
    made = make_judge(judge, template=template, timeout=timeout, connections=connections)
    file = out or Path("calibrations") / slug(made.id) / f"{slug(found.name)}.json"
    journal = VerdictJournal(file.with_suffix(".verdicts.jsonl"))
    try:
        with Progress(f"judging, {made.facts.name}", len(found.rows), unit="answers") as progress:
            ids = [f"{found.sha256}\n{row.case.sample.id}" for row in found.rows]
            value = measure(made, found, lambda j, cases: verdicts(j, cases, ids, journal, progress))
    finally:
        journal.close()
    save_calibration(file, value)
    print_calibration(value)
    typer.echo(f"calibration: {file}")


@app.command("score")
def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an evaluation.")],
    judge: Annotated[list[str], typer.Option("--judge", "-j", help="NAME, NAME@MODEL or panel:A,B,C; repeatable.")],
    calibration: Annotated[
        Path | None, typer.Option(help="Result of judge calibrate: prints corrected rates beside the raw ones.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Human labels of some of these answers, taken at random (as for judge calibrate): prints the "
            "rates that they move the judge's to."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.  [default: RUN/judges/JUDGE]")] = None,
    template: Template = None,
    timeout: Timeout = 120.0,
    connections: Connections = 16,
) -> None:
    """Judge the answers of an evaluation again. Nothing is generated, and no row is judged twice.

    The result is an evaluation folder with this judge as its scorer: `counterpoise report` and `counterpoise compare`
    take it. A judging that was stopped continues when the same command is given again.

    Examples:

    - `counterpoise judge score evals/pocket --judge wang-string`

    - `counterpoise judge score evals/pocket --judge strongreject-rubric@openai/gpt-4o --connections 32`

    - `counterpoise judge score evals/pocket --judge panel:opening,wang-string,xstest-prefix`
    """
    from counterpoise.base import InputError
    from counterpoise.evals.judges import items_file, judge_run, load_calibration, make_judge, read_labels

    from ._print import print_rows

    if len(judge) > 1 and (out or calibration or template):
        raise InputError("judge score: --out, --calibration and --template are for one judge; give one --judge")
    items_file(run)  # before a judge's weights are loaded
    measured = load_calibration(calibration) if calibration else None
    people = read_labels(labels) if labels else None
    for name in judge:
        made = make_judge(name, template=template, timeout=timeout, connections=connections)
        found = judge_run(run, made, out=out, calibration=measured, labels=people)
        print_rows(found.rows, all_scorers=True)
        for each in found.corrected:
            _print_corrected(each)
        _print_counts(found, made.facts.cut)
        typer.echo(f"results: {found.folder}")


def _print_counts(found: "Judged", cut: str) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.unscored.items())
    missing = f"; unscored: {reasons}" if reasons else ""
    rule = "counted as they stand" if cut == "counts" else "left unscored"
    ended = f"; {found.cut} cut at the token limit, {rule}" if found.cut else ""
    typer.echo(f"{found.n} answers, {found.judged} new verdicts{missing}{ended}")


def _print_corrected(each: dict[str, Any]) -> None:
    raw, better = each["raw"], each["corrected"]
    place = f"{each['benchmark']} {each['modality']} {each['metric']}"
    if better is None:
        typer.echo(f"{place}: not corrected, {each['reason']}")
        return
    typer.echo(
        f"{place}: raw {raw['value']:.1%} ({raw['low']:.1%} to {raw['high']:.1%}), corrected {better['value']:.1%} "
        f"({better['low']:.1%} to {better['high']:.1%}); {_source(each)}"
    )


def _source(each: dict[str, Any]) -> str:
    if "n_labelled" in each:
        return f"from {each['n_labelled']:,} labelled answers of this run"
    return f"errors from {each['calibrated_on']}, may not transfer"
