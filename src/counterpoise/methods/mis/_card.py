"""The data card of a set that was built: what was asked of whom, what was left out, and why."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import atomic_write, environment, sha256_file, write_json

if TYPE_CHECKING:
    from ._values import Built, MISBuild


def write_card(folder: Path, built: "Built", config: "MISBuild", painter: str, files: Sequence[Path]) -> dict[str, Any]:
    """Write `card.json`, and the same to read as `README.md`; returns what `card.json` holds."""
    rows = built.rows
    value = {
        "name": folder.name,
        "made_by": "counterpoise data mis (the pipeline of Ding et al. 2025, arXiv 2501.18533; prompts of our own)",
        "seeds": {file.name: sha256_file(file) for file in files if file.is_file()},
        "requests": len(built.items),
        "rows": {place: len(found) for place, found in rows.items()},
        "categories": {
            place: dict(sorted(Counter(item.row().group for item in found).items())) for place, found in rows.items()
        },
        "drops": built.drops,
        "waiting": len(built.waiting),
        "empty_labels": sum(not item.answer.strip() for item in rows["train"]),
        "label_words": _quartiles([len(item.answer.split()) for item in rows["train"]]),
        "roles": {role: list(models) for role, models in built.models.items()},
        "painter": painter,
        "rounds": config.rounds,
        "files": {name: sha256_file(folder / name) for name in ("mis_train.json", "mis_easy.json", "mis_hard.json")},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
    }
    write_json(folder / "card.json", value)
    with atomic_write(folder / "README.md") as file:
        file.write(_text(value))
    return value


def _quartiles(numbers: list[int]) -> list[int]:
    """Smallest, quartiles and largest; empty for none."""
    ranked = sorted(numbers)
    return [ranked[round((len(ranked) - 1) * part / 4)] for part in range(5)] if ranked else []


def _text(value: dict[str, Any]) -> str:
    rows, drops = value["rows"], value["drops"]
    lines = [
        f"# {value['name']}",
        "",
        f"Made by {value['made_by']}.",
        "",
        f"- Requests: {value['requests']:,}; rows: train {rows['train']:,}, easy {rows['easy']:,}, "
        f"hard {rows['hard']:,}; waiting for a reply: {value['waiting']:,}",
        f"- Words of a training answer (smallest, quartiles, largest): {value['label_words'] or 'none'}; "
        f"empty answers: {value['empty_labels']}",
        f"- Pictures: {value['painter']}, at most {value['rounds']} rounds",
        *(f"- Role {role}: {', '.join(models)}" for role, models in value["roles"].items()),
        "",
        "| left out at | why | items |",
        "|---|---|---|",
        *(f"| {step} | {why} | {n:,} |" for step, reasons in drops.items() for why, n in reasons.items()),
        "",
        "The items are harmful requests, for training and testing of refusals. The licence is that of the requests and "
        "of what the models' providers allow.",
        "",
    ]
    return "\n".join(lines)
