"""What a YAML file of published numbers holds."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.base import Direction

FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """Where the numbers were published. `arxiv` gives address and date; otherwise both are needed."""

    title: str = Field(min_length=1)
    arxiv: str = Field(default="", pattern=r"^(\d{4}\.\d{4,5})?$")
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    date: str = Field(default="", pattern=r"^(\d{4}(-\d{2}(-\d{2})?)?|not stated|)$")

    @model_validator(mode="after")
    def _known(self) -> "Source":
        if not self.arxiv and not (self.url and self.date):
            raise ValueError("give arxiv, or url and date")
        return self

    @property
    def address(self) -> str:
        return self.url or f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def day(self) -> str:
        return self.date or f"20{self.arxiv[:2]}-{self.arxiv[2:4]}"


class Column(_Strict):
    """What one value of each row means; what is left out comes from the table."""

    metric: str
    direction: Direction | None = None
    benchmark: str | None = None
    revision: str | None = None
    split: str | None = None
    modality: str | None = None
    scorer: str | None = None
    n: int | None = Field(default=None, ge=1)
    """Items of which the value is a share: gives a Wilson interval."""
    clusters: int | None = Field(default=None, ge=1)
    """Independent units among them; the interval then treats all items of a unit as one."""
    items: int | None = Field(default=None, ge=1)
    """Items behind a value that is no share of them (F1, a mean of rates): no interval."""


class Cell(_Strict):
    """A value with a remark, such as a misprint of its source."""

    value: float
    note: str


class Table(_Strict):
    """One table of a source. A row is [model, method, value, ...] with one value (or null) per column."""

    table: str = Field(min_length=1)
    benchmark: str = ""
    revision: str = "as published"
    split: str = "all"
    modality: str = "all"
    scorer: str = ""
    unit: str = Field(pattern="^(percent|proportion)$")
    decimals: int | None = Field(default=None, ge=0, le=6)
    """Printed digits: a value that no count out of n rounds to has another denominator, and gets no interval."""
    note: str = ""
    columns: list[Column] = Field(min_length=1)
    rows: list[list[str | float | Cell | None]] = Field(min_length=1)


class LiteratureFile(_Strict):
    """The whole file."""

    counterpoise_literature: int = Field(ge=FORMAT, le=FORMAT)
    source: Source
    tables: list[Table] = Field(min_length=1)
