"""`counterpoise guard clue`: judging images by a written constitution."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._guard_constitution import icons, prepare
from ._guard_options import Force, absent, not_replacing

if TYPE_CHECKING:
    from counterpoise.chat import Image
    from counterpoise.guard.clue import Clue, Constitution, ImageVerdict, LabelledImage

app = typer.Typer(no_args_is_help=True, help="CLUE: judge images by a written constitution, without labels.")

File = Annotated[Path | None, typer.Option(help="YAML file of rules.  [default: the icon constitution]")]
ModelName = Annotated[str, typer.Option(help="pocket, a Hugging Face id, or a folder: a vision-language model.")]
Encoder = Annotated[str, typer.Option(help="Of the relevance scan: a CLIP-like model, pocket, none, or auto.")]
Threshold = Annotated[
    float | None, typer.Option(min=-1, max=1, help="Of the relevance scan, a cosine; it belongs to the encoder.")
]
Finder = Annotated[str, typer.Option(help="Of central words: an OWLv2 model, pocket, none, or auto.")]
Fill = Annotated[str, typer.Option(help="What a removed region becomes: mean, blur or black.")]
Reasoning = Annotated[bool, typer.Option(help="Reason step by step where probabilities do not decide.")]
Seconds = Annotated[float | None, typer.Option(min=0, help="Time limit for a batch of images; the rest is unknown.")]
Naive = Annotated[bool, typer.Option("--naive", help="One query at a time, for comparison: the same verdicts, slower.")]
Fitted = Annotated[
    Path | None, typer.Option(help="File of guard clue calibrate: constants and wording.  [default: the paper's]")
]
Out = Annotated[Path, typer.Option(help="Folder for verdicts.json, pictures and index.html.")]


def _rules(file: Path | None, *, ready: bool = True) -> "Constitution":
    """Read before a model is loaded. The relevance scan alone needs no preconditions."""
    from counterpoise.guard.clue import icon_constitution, load_constitution

    if file is None:
        return icon_constitution()
    rules = load_constitution(file)
    if ready:
        rules.check_ready(str(file))
    return rules


def _made(model: str, constitution: "Constitution", **options: Any) -> "Clue":
    from counterpoise.guard.clue import FILLS, Settings, make_clue

    fill, reasoning = options.pop("fill"), options.pop("reasoning")
    if fill not in FILLS:
        from counterpoise.base import InputError

        raise InputError.unknown("fill", fill, FILLS)
    return make_clue(model, constitution, settings=Settings(fill=fill, reasoning=reasoning), **options)


@app.command("judge")
def judge(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files.")],
    constitution: File = None,
    model: ModelName = "pocket",
    encoder: Encoder = "auto",
    threshold: Threshold = None,
    detector: Finder = "auto",
    fill: Fill = "mean",
    constants: Fitted = None,
    reasoning: Reasoning = True,
    seconds: Seconds = None,
    naive: Naive = False,
    out: Out = Path("clue"),
    force: Force = False,
) -> None:
    """Judge images: safe, unsafe or unknown, with the rule, the precondition and the probabilities that decided.

    A rule is violated when all its preconditions are satisfied. Exit code 0 whatever the verdicts are.

    Examples:

    - `counterpoise guard clue judge page.png`

    - `counterpoise guard clue judge *.jpg --constitution rules.yaml --model OpenGVLab/InternVL3-8B-hf --out verdicts`
    """
    from counterpoise.base import check_writable
    from counterpoise.chat import Image

    check_writable(out)
    shown = [Image.from_path(path) for path in images]
    clue = _made(
        model,
        _rules(constitution),
        encoder=encoder,
        threshold=threshold,
        detector=detector,
        fill=fill,
        constants=constants,
        reasoning=reasoning,
        seconds=seconds,
        batched=not naive,
    )
    _run(clue, shown, out, force)


@app.command("eval")
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images with labels.jsonl.")],
    constitution: File = None,
    model: ModelName = "pocket",
    encoder: Encoder = "auto",
    threshold: Threshold = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Choose the scan's threshold on this folder (95 % recall) and stop.")
    ] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="Prior knowledge and whole constitution too.")] = False,
    detector: Finder = "auto",
    fill: Fill = "mean",
    constants: Fitted = None,
    reasoning: Reasoning = True,
    seconds: Seconds = None,
    naive: Naive = False,
    out: Out = Path("clue-eval"),
    force: Force = False,
) -> None:
    """Judge labelled images: precision, recall, accuracy and F1 with unsafe positive, and recall per rule.

    Rows of `labels.jsonl`: `{"image": "a.png", "rules_violated": ["rule-id"]}`. What is unknown counts as an error.

    Examples:

    - `counterpoise guard clue eval icons`

    - `counterpoise guard clue eval photos --constitution rules.yaml --model OpenGVLab/InternVL3-8B-hf --baselines`
    """
    from counterpoise.base import check_writable
    from counterpoise.guard.clue import BASELINES, baseline, per_rule, read_folder

    rules = _rules(constitution, ready=not calibrate)
    ids = [rule.id for rule in rules.rules]
    rows = read_folder(folder, ids)
    images = [row.image for row in rows]
    if calibrate:
        _calibrate(rows, rules, encoder, model)
        return
    check_writable(out)
    clue = _made(
        model,
        rules,
        encoder=encoder,
        threshold=threshold,
        detector=detector,
        fill=fill,
        constants=constants,
        reasoning=reasoning,
        seconds=seconds,
        batched=not naive,
    )
    found = {"clue": _run(clue, images, out, force)}
    if baselines:
        found |= {kind: baseline(kind, clue.asker, clue.constitution, images) for kind in BASELINES}  # type: ignore[arg-type]
    _table(found, rows)
    for rule, (k, n) in per_rule(found["clue"], rows, ids).items():
        typer.echo(f"{rule}: found in {k} of {n} images that violate it")


@app.command("calibrate")
def calibrate_constants(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images with labels.jsonl, kept apart from a test.")],
    constitution: File = None,
    model: ModelName = "pocket",
    wording: Annotated[
        list[str] | None,
        typer.Option(help="Wordings to try; repeat.  [default: all known, and the constitution's for the model]"),
    ] = None,
    encoder: Encoder = "auto",
    threshold: Threshold = None,
    detector: Finder = "auto",
    fill: Fill = "mean",
    out: Annotated[Path, typer.Option(help="File for the constants.")] = Path("constants.json"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Fit the constants of steps a, b and c to a model on a small labelled set, and choose how it is asked.

    Every wording is tried with the constants that are best for it; the one of the highest F1 (then AUC) is written, for
    `judge --constants` and `eval --constants`. About 30 images, half of which violate a rule, are enough.

    Examples:

    - `counterpoise guard clue icons apart --seed 100 --pairs 2`

    - `counterpoise guard clue calibrate apart --out pocket.json`
    """
    from counterpoise.base import InputError, check_writable
    from counterpoise.guard.clue import WORDINGS, calibrate_judge, read_folder

    absent(out, force=force)
    check_writable(out, folder=False)
    rules = _rules(constitution)
    rows = read_folder(folder, [rule.id for rule in rules.rules])
    clue = _made(model, rules, encoder=encoder, threshold=threshold, detector=detector, fill=fill, reasoning=False)
    known = {"constitution": clue.asker.wording} if clue.constitution.wording else {}  # type: ignore[attr-defined]
    known |= WORDINGS
    for name in wording or ():
        if name not in known:
            raise InputError.unknown("wording", name, known)
    found, tried = calibrate_judge(clue, rows, {name: known[name] for name in wording or known})
    found.save(out)
    for name, one in tried.items():
        typer.echo(
            f"{name}: AUC {one.auc:.3f}, F1 {one.f1:.3f} with its constants ({one.unknown} of {one.n} undecided), "
            f"{one.f1_paper:.3f} with the paper's"
        )
    c = found.constants
    typer.echo(f"{found.record['wording']}: absent {c.absent:.4g}, shown {c.shown:.4g}, centre {c.centre:.4g}")
    typer.echo(f"constants: {out}")


app.command("prepare")(prepare)
app.command("icons")(icons)


def _run(clue: "Clue", images: "list[Image]", out: Path, force: bool) -> "list[ImageVerdict]":
    """Judge, print one line for each image, and write the folder."""
    from counterpoise.base import Progress
    from counterpoise.guard.clue import VERDICTS, about, explain, save_run

    not_replacing(out / VERDICTS, about(images, clue.record()), force=force)
    with Progress("judging", len(images), unit="images") as progress:
        verdicts = clue.judge(images, progress)
    for verdict in verdicts:
        typer.echo(f"{verdict.image}: {verdict.label}" + (f"; {why}" if (why := explain(verdict)) else ""))
    typer.echo(f"page: {save_run(out, images, verdicts, clue.record())}")
    return verdicts


def _table(found: "dict[str, list[ImageVerdict]]", rows: "list[LabelledImage]") -> None:
    from rich.table import Table

    from counterpoise.guard.clue import f1_interval, rates

    from ._print import show

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("method", "precision", "recall", "accuracy", "F1", "unknown", "images"):
        table.add_column(name)
    for name, verdicts in found.items():
        r, interval = rates(verdicts, rows), f1_interval(verdicts, rows)
        f1 = "–" if r.f1 is None else f"{r.f1:.3f} ({interval.low:.3f} to {interval.high:.3f})"
        shares = ["–" if v is None else f"{v:.1%}" for v in (r.precision, r.recall, r.accuracy)]
        table.add_row(name, *shares, f1, str(r.unknown), str(r.n))
    show(table)


def _calibrate(rows: "list[LabelledImage]", constitution: "Constitution", encoder: str, model: str) -> None:
    import numpy as np

    from counterpoise.base import InputError
    from counterpoise.guard.clue import calibrate, make_encoder

    rules = constitution.rules
    made = make_encoder(encoder, model)
    if made is None:
        raise InputError("--encoder none has no threshold; name an encoder")
    similarities = made.similarity([row.image for row in rows], [rule.text for rule in rules])
    found = calibrate(similarities, np.array([[rule.id in row.violated for rule in rules] for row in rows]))
    typer.echo(f"{made.id}: --threshold {found.threshold:.6g}")
    typer.echo(f"keeps {found.recall:.1%} of {found.n_violated} violated rules and {found.kept:.1%} of {found.n} pairs")
