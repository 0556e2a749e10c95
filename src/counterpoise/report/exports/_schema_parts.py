"""Every Eval Ever 0.3.0 as typed models of ours: who measured, with what, which model, which rows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VERSION: Literal["0.3.0"] = "0.3.0"
Text = Annotated[str, Field(min_length=1)]
Details = dict[str, str]
"""Free data; the schema allows only strings as values."""


class Strict(BaseModel):
    """Unknown fields, NaN and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class SourceMetadata(Strict):
    """Who measured."""

    source_type: Literal["documentation", "evaluation_run"]
    source_organization_name: Text
    evaluator_relationship: Literal["first_party", "third_party", "collaborative", "other"]
    source_name: str | None = None
    source_organization_url: str | None = None
    additional_details: Details = {}


class Library(Strict):
    """Name and version of a piece of software."""

    name: Text
    version: Text
    additional_details: Details = {}


class ModelInfo(Strict):
    """The model that answered; `id` in the hub's form owner/name."""

    name: Text
    id: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    developer: str | None = None
    additional_details: Details

    @model_validator(mode="after")
    def _known(self) -> "ModelInfo":
        allowed = {
            "deployment_type": {"self_deployed", "externally_managed", "unknown"},
            "model_availability": {"open_weights", "closed_weights", "unknown"},
        }
        for name, values in allowed.items():
            if self.additional_details.get(name) not in values:
                raise ValueError(f"additional_details.{name} must be one of {sorted(values)}")
        return self


class SourceData(Strict):
    """Where the rows came from: an address, a dataset of the hub, or neither."""

    dataset_name: Text
    source_type: Literal["url", "hf_dataset", "other"]
    url: list[Text] | None = None
    hf_repo: str | None = None
    hf_split: str | None = None
    samples_number: int | None = None
    additional_details: Details = {}

    @model_validator(mode="after")
    def _complete(self) -> "SourceData":
        if (self.source_type == "url") != (self.url is not None):
            raise ValueError('a list "url" belongs to source_type "url" and to nothing else')
        if self.source_type == "hf_dataset" and not self.hf_repo:
            raise ValueError('source_type "hf_dataset" needs hf_repo')
        return self
