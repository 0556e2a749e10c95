"""The settings of a benchmark of your own, and what is wrong with them."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from counterpoise.base import InputError

from .._benchmark import REFUSAL_SCORERS
from ..scorers import METRICS, all_scorers, get

Name = Annotated[str, Field(min_length=1, max_length=200)]


class OwnBenchmark(BaseModel):
    """The settings of one YAML file. Names of columns are those of the table; paths are below the YAML's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Small letters, digits and hyphens.")
    file: Name = Field(description="The table: .csv, .tsv, .jsonl, .json or .parquet.")
    prompt: Name = Field(description="Column of the text that is put to the model.")
    licence: Name = Field(description="Under which terms the rows may be used.")
    source: Name = Field(description="Where the rows come from.")
    images: tuple[Name, ...] = Field(
        (), description="Columns of image paths (or Parquet images); shown before the text."
    )
    image_folder: Name = Field(".", description="Where image paths begin.")
    id: Name | None = Field(None, description="Column of ids; without it, the number of the row.")
    harmful: bool | Name | None = Field(None, description="true, false, or a column of true/false, unsafe/safe, ...")
    target: Name | None = Field(None, description="Column of right answers; with choices, a letter or an option.")
    choices: Name | tuple[Name, ...] | None = Field(None, description="Columns of options, or one that lists them.")
    group: Name | None = Field(None, description="Column of categories that get rows of their own.")
    cluster: Name | None = Field(None, description="Column that rows of one cause share, for the intervals.")
    scorers: tuple[Name, ...] = Field((), description="Scorers by name; see the pages of the benchmarks.")
    metrics: tuple[Name, ...] = Field((), description="Metrics that the scorers make; by default those that fit.")
    title: Name | None = None
    description: str = "A benchmark of your own."
    citation: str = ""
    max_new_tokens: int = Field(64, ge=1, le=32_768)

    @field_validator("file", "image_folder")
    @classmethod
    def _below(cls, value: str, info: ValidationInfo) -> str:
        folder: Path = (info.context or {})["folder"].resolve()
        place = (folder / value).resolve()
        if not place.is_relative_to(folder):
            raise ValueError(f"{value!r} leaves the folder of the YAML file; use a path below it")
        if not (place.is_file() if info.field_name == "file" else place.is_dir()):
            raise ValueError(f"{place}: no such {info.field_name}")
        return value

    @field_validator("scorers")
    @classmethod
    def _known_scorers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(get(name).id for name in value))

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in METRICS:
                raise InputError.unknown("metric", name, METRICS)
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.choices is not None and self.target is None:
            raise ValueError("choices need a column of right answers: set target")
        if self.choices is not None and self.harmful is not None:
            raise ValueError("choices ask for a letter, which is never a refusal: leave out harmful")
        if self.target is not None and self.choices is None and not self.scorers:
            raise ValueError("with a target, say how answers are compared: scorers, e.g. exact-match, numeric-match")
        for name in self.chosen_scorers if self.metrics else ():
            if not any(METRICS[metric].fits(get(name)) for metric in self.metrics):
                raise ValueError(f"the scorer {name} makes none of the metrics {', '.join(self.metrics)}")
        for metric in self.metrics:
            if not any(METRICS[metric].fits(get(name)) for name in self.chosen_scorers):
                raise ValueError(f"no scorer here makes the metric {metric}")
            if metric in ("asr", "over_refusal") and self.harmful is None:
                raise ValueError(f"the metric {metric} needs to know which rows are harmful: set harmful")
        return self

    @property
    def chosen_scorers(self) -> tuple[str, ...]:
        """Those asked for; else the letter for choices, and the refusal scorers for everything else."""
        return self.scorers or (("letter:v3",) if self.choices is not None else REFUSAL_SCORERS)

    def chosen_metrics(self, sides: set[bool | None]) -> tuple[str, ...]:
        """Those asked for; else accuracy for answers, and for refusals what the labels of the rows allow."""
        if self.metrics:
            return self.metrics
        kinds = {all_scorers()[name].kind for name in self.chosen_scorers}
        refusals = [name for name, side in (("asr", True), ("over_refusal", False)) if side in sides]
        found = (refusals or ["refusal_rate"]) if "refusal" in kinds else []
        return (*found, "accuracy") if "answer" in kinds else tuple(found)
