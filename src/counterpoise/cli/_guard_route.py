"""`counterpoise guard route`: SafeRoute between any two guards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._guard_options import Force, absent, not_replacing

app = typer.Typer(no_args_is_help=True, help="A small guard for most requests, a large one where a router asks for it.")

Data = Annotated[Path, typer.Option(help="JSONL or CSV: prompt, label (safe or unsafe), answer, images, id, group.")]
Root = Annotated[Path | None, typer.Option(help="Where image paths start.  [default: DATA's folder]")]
Cache = Annotated[Path | None, typer.Option(help="Folder that keeps both guards' outputs.  [default: OUT/observed]")]


@app.command("train")
def train(
    small: Annotated[str, typer.Argument(metavar="SMALL", help="Guard that looks at everything; see guard list.")],
    large: Annotated[str, typer.Argument(metavar="LARGE", help="Guard that looks where it is needed.")],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for the router.  [default: routers/SMALL-LARGE]")] = None,
    image_root: Root = None,
    head: Annotated[str, typer.Option(help="bayes (the paper's), dropout or ensemble.")] = "bayes",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the rows.")] = 1000,
    rounds: Annotated[int, typer.Option(min=0, help="Paraphrases of each training row.")] = 7,
    paraphraser: Annotated[str, typer.Option(help="rules (offline), or a model of Inspect: PROVIDER/MODEL.")] = "rules",
    held_out: Annotated[
        float, typer.Option(help="Share of the groups for the threshold and for honest numbers.")
    ] = 0.1,
    max_miss: Annotated[
        float | None, typer.Option(help="At most this expected share of requests needs LARGE and is kept.")
    ] = None,
    keep_f1: Annotated[
        float | None, typer.Option(help="Least usage that keeps this share of the better guard's safety F1.")
    ] = None,
    cache: Cache = None,
    seed: Annotated[int, typer.Option(help="Of split, sampler, weights and paraphrases.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a router; what both guards said is kept.")] = False,
) -> None:
    """Train a router between two guards on labelled rows.

    Both guards look at every row and every paraphrase once; their outputs are kept, so a stopped training continues.
    Use the result as `saferoute:FOLDER` wherever a guard is named.

    Examples:

    - `counterpoise guard route train tiny small --data rows.jsonl --max-miss 0.01`

    - `counterpoise guard route train llama-guard-3-1b llama-guard-3 --data rows.jsonl --paraphraser openai/gpt-4o-mini`
    """
    from counterpoise.base import check_writable
    from counterpoise.guard import make_guard, read_labelled
    from counterpoise.guard.saferoute import by_model, by_rules, router_config, train_route

    config = router_config(head=head, epochs=epochs, rounds=rounds, held_out=held_out, seed=seed)
    folder = out or Path("routers") / _name(small, large)
    absent(folder / "router.json", force=force)
    for place in (folder, cache or folder):
        check_writable(place)
    rows = read_labelled(data, image_root)
    trained = train_route(
        make_guard(small),
        make_guard(large),
        rows,
        config,
        paraphrase=by_rules if paraphraser == "rules" else by_model(paraphraser),
        cache=cache or folder / "observed",
        max_miss=max_miss,
        keep_f1=keep_f1,
    )
    trained.router.card.update(small_spec=small, large_spec=large, data=data.name)
    trained.router.save(folder)
    card = trained.router.card
    held, rows_of = card["held_out"], card["rows"]
    typer.echo(
        f"{rows_of['train']} rows trained on ({rows_of['hard']} need {large}), {rows_of['held_out']} held out: "
        f"routing F1 {held['routing']['f1']:.3f}, safety F1 {held['safety']['f1']:.3f}, "
        f"{held['usage']:.1%} sent to {large}"
    )
    typer.echo(f"threshold {trained.router.threshold:.4g} ({card['threshold_from']['rule']})")
    typer.echo(f"guard: saferoute:{folder}")


@app.command("eval")
def evaluate(
    router: Annotated[Path, typer.Argument(metavar="ROUTER", help="Folder of route train.")],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.  [default: ROUTER/eval]")] = None,
    image_root: Root = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Instead of the router's own.")] = None,
    cache: Cache = None,
    force: Force = False,
) -> None:
    """The router, both guards alone and all baselines on labelled rows: a table, `route.json` and the usage-F1 curve.

    Examples:

    - `counterpoise guard route eval routers/tiny-small --data test.jsonl`
    """
    from counterpoise.base import check_writable, sha256_file
    from counterpoise.guard import read_labelled
    from counterpoise.guard.saferoute import evaluate_folder

    folder = out or router / "eval"
    for place in (folder, cache or folder):
        check_writable(place)
    rows = read_labelled(data, image_root)
    card = router / "router.json"
    about = {
        "data": f"{data.name} {sha256_file(data)[:12]}",
        "router": f"{router} {sha256_file(card)[:12] if card.is_file() else ''}",
        "threshold_given": threshold,
    }
    not_replacing(folder / "route.json", about, force=force)
    found = evaluate_folder(router, rows, cache=cache or folder / "observed", threshold=threshold)
    write_evaluation(folder, found, about)
    from counterpoise.guard.saferoute import against_better, markdown

    typer.echo(markdown([found]))
    typer.echo(against_better([found]))
    typer.echo(f"{found.n} rows, {found.hard} need the large guard, {found.unseen} the small guard could not look at")
    typer.echo(f"results: {folder}")


def write_evaluation(folder: Path, found: Any, about: dict[str, Any]) -> None:
    """`route.json`, which says what it is about, and `curve.svg`."""
    from counterpoise.base import atomic_write, write_json
    from counterpoise.report import routing_picture

    write_json(folder / "route.json", {**about, **found.to_json()})
    line = found.line("SafeRoute")
    picture = routing_picture(
        "Usage and safety F1", [(p.usage, p.f1) for p in found.points], found.marks, (line.usage, line.safety.f1)
    )
    with atomic_write(folder / "curve.svg") as file:
        file.write(picture)


def _name(small: str, large: str) -> str:
    return "-".join(part.replace("/", "_").replace(":", "_") for part in (small, large))
