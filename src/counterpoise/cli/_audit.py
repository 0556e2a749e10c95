"""`counterpoise audit`."""

from pathlib import Path
from typing import Annotated

import typer

from ._align import DeviceMap


def audit(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model before the fine-tuning.")],
    tuned: Annotated[
        str,
        typer.Argument(
            metavar="TUNED",
            help="The model after it: a model, or the folder or hub id of an adapter, of weights or an edit of BASE.",
        ),
    ],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="RULE",
            help="Fail (exit code 1) on e.g. 'asr_increase>0.02', 'asr_increase[code,print]>5%', "
            "'asr_increase[each]>0.1', 'over_refusal_increase>0.05', 'ability_drop>0.03', 'worst_asr_increase>0.3'; "
            "may be repeated.",
        ),
    ] = None,
    point: Annotated[
        bool,
        typer.Option(
            "--point", help="Hold the estimate against the bound, not the lower end of the paired 95 % interval."
        ),
    ] = False,
    tasks: Annotated[
        str | None, typer.Option(help="Task formats.  [default: plain,summarise,code,translate,classify]")
    ] = None,
    modalities: Annotated[str | None, typer.Option(help="[default: text,print,picture]")] = None,
    templates: Annotated[str | None, typer.Option(help="Prompt formats.  [default: native,alpaca]")] = None,
    system: Annotated[str, typer.Option(help="With a system prompt, without, or both: on, off, both.")] = "both",
    system_prompt: Annotated[str | None, typer.Option(help="The system prompt.  [default: one of our own]")] = None,
    intents: Annotated[
        Path | None,
        typer.Option(help="CSV or JSON Lines with harmful and benign requests.  [default: test families of Twins]"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="At most so many intents.")] = None,
    ability: Annotated[
        list[str] | None,
        typer.Option(
            "--ability",
            help="A benchmark, or a YAML file of your own, that shows whether ability was lost; may be repeated; "
            "'none' for none.  [default: simple-questions, reading]",
        ),
    ] = None,
    ability_limit: Annotated[int | None, typer.Option(min=1, help="At most so many items of each.")] = None,
    stress: Annotated[
        bool, typer.Option("--stress", help="Then attack TUNED by small fine-tunings and report the worst.")
    ] = False,
    attacks: Annotated[
        str | None,
        typer.Option(help="With --stress.  [default: harmful-opening,benign-opening,identity-shift]"),
    ] = None,
    stress_cap: Annotated[
        float, typer.Option(min=0, max=1, help="With --stress: share of ability that an attack may cost.")
    ] = 0.10,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML: a case for each check.")] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Write Markdown for a pull request; appended to a file that is there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the audit.  [default: audits/BASE-TUNED]")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Conversations per batch of generation.")] = 64,
    device_map: DeviceMap = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked, with its cost.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds of another audit.")] = False,
) -> None:
    """Did a fine-tuning erode refusals? The same harmful intents, as several tasks, put to BASE and to TUNED.

    Every intent is asked plainly and as a summary, code, translation and classification task, as text, print and
    picture, with and without a system prompt, in the model's own and in the Alpaca template; beside each stands its
    harmless twin, so that a model that merely stopped answering is seen. Both models get the same prompts and are
    compared in pairs. Exit code 0: every rule holds; 1: one fails, or could not be decided; 2: bad input.

    The folder then holds `audit.json`, `summary.md`, `report.html`, `base/` and `tuned/`. A stopped audit continues
    when the same command is given again.

    Examples:

    - `counterpoise audit pocket runs/mine/adapter --limit 20`

    - `counterpoise audit my/model my/model-tuned --fail-on 'asr_increase>0.02' --junit audit.xml --summary audit.md`

    - `counterpoise audit pocket runs/mine/adapter --stress --fail-on 'worst_asr_increase>0.3'`
    """
    from counterpoise.report import write_report
    from counterpoise.runs import default_folder
    from counterpoise.runs.audit import (
        StressConfig,
        audit_plan,
        headline,
        merged_folder,
        run_audit,
        write_junit,
        write_summary,
    )
    from counterpoise.runs.audit import summary as as_markdown

    from ._print import say_report

    folder = out or default_folder("audits", base, artifact=Path(tuned))
    config = _config(
        base=base, tuned=tuned, out=folder, rules=fail_on or [], point=point, system=system, intents=intents,
        limit=limit, ability_limit=ability_limit, max_new_tokens=max_new_tokens, batch=batch, device_map=device_map,
        ability=None if ability is None else tuple(each for each in ability if each != "none"),
        lists={"tasks": tasks, "modalities": modalities, "templates": templates},
        **({"system_prompt": system_prompt} if system_prompt is not None else {}),
    )  # fmt: skip
    plan = StressConfig(cap=stress_cap) if stress else None
    if plan is not None and attacks is not None:
        plan = plan.model_copy(update={"attacks": _listed(attacks)})
    if dry_run:
        typer.echo(audit_plan(config, plan))
        return
    result = run_audit(config, force=force, stress=plan)
    (folder / "summary.md").unlink(missing_ok=True)
    write_summary(folder / "summary.md", result)
    before, after = merged_folder(config, "base"), merged_folder(config, "tuned")
    write_report(folder / "report.html", before, after, None, {"model": base, "tuned": tuned, "command": "audit"})
    if junit:
        write_junit(junit, result)
    if summary:
        write_summary(summary, result)
    typer.echo(as_markdown(result))
    for each in result.decisions:
        typer.echo(f"{each.status}: {each.gate} ({each.name}): {each.message}", err=each.status != "passed")
    typer.echo(headline(result).replace("**", ""))
    say_report(folder / "report.html")
    if result.failed:
        raise typer.Exit(1)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _config(*, rules: list[str], point: bool, lists: dict[str, str | None], **fields: object):  # type: ignore[no-untyped-def]
    """The checked settings. Raises one InputError for all that is wrong with them."""
    from pydantic import ValidationError

    from counterpoise.base import InputError
    from counterpoise.runs.audit import AuditConfig, parse_gate

    problems, gates = [], []
    for rule in rules:
        try:
            gates.append(parse_gate(rule, "value" if point else "low"))
        except InputError as error:
            problems.append(str(error))
    given = fields | {name: _listed(text) for name, text in lists.items() if text is not None}
    try:
        config = AuditConfig.model_validate({**given, "gates": tuple(gates)})
    except ValidationError as error:
        for each in error.errors():
            name = str(each["loc"][0]).replace("_", "-") if each["loc"] else ""
            problems.append(f"--{name}: {each['msg']}" if name else each["msg"].removeprefix("Value error, "))
        config = None
    if problems or config is None:
        raise InputError("; ".join(problems))
    return config
