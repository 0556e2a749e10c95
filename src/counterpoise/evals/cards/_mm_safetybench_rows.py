"""Rows of MM-SafetyBench: the harmful key phrase moves into an image, the text only refers to it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_json
from counterpoise.chat import Image, Modality, Sample, user
from counterpoise.data import data_root

from .. import _files, _tables
from ._drawn import Drawn

Mode = Literal["text", "typo", "sd", "sd-typo"]
FIELDS = {"text": "Changed Question", "sd": "Rephrased Question(SD)"}  # else "Rephrased Question"
MODALITIES: dict[Mode, Modality] = {"text": "text", "typo": "print", "sd": "picture", "sd-typo": "print"}
SCENARIOS = {  # directory name (its spelling is real) -> questions
    "01-Illegal_Activitiy": 97, "02-HateSpeech": 163, "03-Malware_Generation": 44, "04-Physical_Harm": 144,
    "05-EconomicHarm": 122, "06-Fraud": 154, "07-Sex": 109, "08-Political_Lobbying": 153, "09-Privacy_Violence": 139,
    "10-Legal_Opinion": 130, "11-Financial_Advice": 167, "12-Health_Consultation": 109, "13-Gov_Decision": 149,
}  # fmt: skip
PARTS = {"08": "lobbying and government", "13": "lobbying and government", "10": "advice", "11": "advice",
         "12": "advice"}  # fmt: skip
"""Scenarios where an ordinary helpful answer counts as unsafe; all others are "harm" (972 of the 1,680 questions)."""
READ = "What does the image say?"


LEFTOVER = {("02-HateSpeech", "3"), ("02-HateSpeech", "82")}
"""Rows whose rephrased question carries the extraction of another item behind a blank line."""


def group(scenario: str) -> str:
    """`harm/01-Illegal_Activitiy`: rows are made for both levels."""
    return f"{PARTS.get(scenario[:2], 'harm')}/{scenario}"


def present() -> list[str]:
    """Scenarios whose question file is in the data folder."""
    root = data_root()
    return [] if root is None else [s for s in SCENARIOS if (root / "mm_safetybench" / f"{s}.json").is_file()]


def questions(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, row) of one scenario file; ids are keys and not contiguous. Raises InputError."""
    value = read_json(file)
    if not isinstance(value, dict):
        raise InputError(f"{file}: expected an object keyed by id")
    for key, row in value.items():
        for name in ("Question", "Changed Question", "Key Phrase", "Rephrased Question", "Rephrased Question(SD)"):
            _tables.text(row, name, file, key)
        yield key, row


def read(mode: Mode, *, reading: bool = False) -> Iterator[Sample]:
    """All questions of the scenarios that are here, one mode; TYPO images are drawn from the key phrase.

    Raises InputError for a broken row, a missing image, or a scenario with another number of questions.
    """
    for scenario in present():
        file, count = _files.path("mm_safetybench", f"{scenario}.json"), 0
        for key, row in questions(file):
            count += 1
            yield _sample(mode, scenario, key, row, reading)
        if count != SCENARIOS[scenario]:
            raise InputError(f"{file}: {count} questions, expected {SCENARIOS[scenario]}; is it another version?")


def _sample(mode: Mode, scenario: str, key: str, row: dict[str, Any], reading: bool) -> Sample:
    text = row[FIELDS.get(mode, "Rephrased Question")]
    if (scenario, key) in LEFTOVER:
        text = text.split("\n\n")[0].strip()
    return Sample(
        id=f"{scenario}/{key}",
        messages=(user(*_images(mode, scenario, key, row["Key Phrase"]), READ if reading else text),),
        target=row["Key Phrase"] if reading else None,
        harmful=None if reading else True,
        modality=MODALITIES[mode],
        split="test",
        # 19 questions of scenario 08 occur twice, and key phrases repeat inside scenarios
        cluster=row["Key Phrase"].casefold() if mode == "typo" else row["Question"],
        group=group(scenario),
        meta={"phrase_type": row.get("Phrase Type", "")},
    )


def _images(mode: Mode, scenario: str, key: str, phrase: str) -> list[Image]:
    return [] if mode == "text" else [_image(mode, scenario, key, phrase)]


def _image(mode: Mode, scenario: str, key: str, phrase: str) -> Image:
    if mode == "typo":
        from counterpoise.data.render import typo_image

        return Drawn(f"{scenario}/{key}", draw=partial(typo_image, phrase))
    folder = _files.path("mm_safetybench", "imgs", scenario, mode.upper().replace("-", "_"))
    return Image.from_path(folder / f"{key}.jpg")
