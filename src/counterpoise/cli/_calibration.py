"""A calibration as a table: how a judge differs from people, on each side and in each group."""

from typing import Any

import typer


def print_calibration(value: dict[str, Any]) -> None:
    """`value` as `calibrate` of the judges made it; groups without intervals, which are in the file."""
    from rich.table import Table
    from rich.text import Text

    from ._print import show as print_table

    typer.echo(f"{value['judge']} against {value['labels']['name']} (positive: {value['positive']})\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("group", "side"):
        table.add_column(name, overflow="fold")
    for name in ("n", "unscored", "sensitivity", "specificity", "accuracy", "reported", "people", "bias in points"):
        table.add_column(name, justify="right")
    parts = {"": value["sides"]} | {name: group["sides"] for name, group in value["groups"].items()}
    for group, sides in parts.items():
        for name in ("all",) if sides.get("all") in (sides.get("harmful"), sides.get("harmless")) else tuple(sides):
            table.add_row(*map(Text, (group or "all", name, *_cells(sides[name], interval=not group))))
    print_table(table)
    human = value["human"]
    if human:
        typer.echo(f"\npeople agree with each other in {human['agreement']:.1%} ({human['people']} people)")
    if value["unscored"]:
        typer.echo(f"unscored: {', '.join(f'{count} {reason}' for reason, count in value['unscored'].items())}")


def _cells(side: dict[str, Any], *, interval: bool) -> list[str]:
    shares = [side[name] for name in ("sensitivity", "specificity", "accuracy", "reported")]
    bias, true = side["bias"], side["true_rate"]["value"]
    points = "none" if bias["value"] is None else f"{100 * bias['value']:+.1f}"
    if interval and bias.get("low") is not None:
        points += f" ({100 * bias['low']:+.1f} to {100 * bias['high']:+.1f})"
    counts = [f"{side['n']:,}", f"{side['n_unscored']:,}"]
    return [*counts, *(_share(share, interval) for share in shares), "none" if true is None else f"{true:.3f}", points]


def _share(part: dict[str, Any], interval: bool) -> str:
    if part["value"] is None:
        return "none"
    return f"{part['value']:.3f}" + (f" ({part['low']:.2f}-{part['high']:.2f})" if interval else "")
