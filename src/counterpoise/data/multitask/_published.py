"""The published multi-task safety set (MultiTaskBench, Jan et al. 2025): one CSV of queries and refusals.

Its rows say nothing of their format, and a row number would be a guess, so the format is read from the query itself.
No licence is stated for the rows: they are read from the user's folder and never redistributed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from counterpoise.base import InputError, read_csv
from counterpoise.chat import Sample, assistant, user

from ._formats import TaskFormat

_TRANSLATE = re.compile(r"\s*translate (the following|this|into|from)\b", re.IGNORECASE)
_OPTIONS = re.compile(r"choose the best option", re.IGNORECASE)
_CODE = re.compile(
    r"```|^\s*(def |class |import |from \w+ import |#include|public |function |var |const )|[;{}]\s*$|"
    r"\b(complete|write|fix|debug)\b.{0,40}\b(code|function|script|program)\b",
    re.IGNORECASE | re.MULTILINE,
)


def task_of(query: str) -> TaskFormat:
    """The task that a query is dressed as: translation and classification by their fixed words, code by its signs."""
    if _TRANSLATE.match(query):
        return "translate"
    if _OPTIONS.search(query):
        return "classify"
    return "code" if _CODE.search(query) else "plain"


def read_multitaskbench(file: Path) -> Iterator[Sample]:
    """The rows of `multitaskbench.csv` as training samples, in file order; `group` is the task.

    Raises InputError naming the row of an empty query or response.
    """
    for number, row in read_csv(file, ("Query", "Response")):
        for name in ("Query", "Response"):
            if not row[name].strip():
                raise InputError.at(file, "empty", row=number, field=name)
        yield Sample(
            id=str(number),
            messages=(user(row["Query"]), assistant(row["Response"])),
            harmful=True,
            split="train",
            cluster=row["Query"],
            group=task_of(row["Query"]),
            meta={"source": file.name},
        )
