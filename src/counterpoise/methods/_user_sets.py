"""The set that a user fine-tunes on, for methods that protect a model against it: files, or a built-in task."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.data import draw

from ._sources import Files, Rows, Source, rows_from

BUILT_IN_ROWS = 400


class UserSet(BaseModel):
    """Where the user's rows come from; a method's config adds its own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    user_files: Files = ()
    """The user's rows: chat, Alpaca, prompt/completion or LLaVA/ShareGPT files. None: the built-in word tasks."""
    user_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each source's files that are left out, counted and listed; one more stops the run."""
    n_user: int | None = Field(default=None, ge=1)
    """Rows of the user's set that are used. Default: all of the files, 400 of the built-in ones."""
    task: Literal["all", "sort", "count", "choose"] = "all"
    """Which of the built-in word tasks."""
    strategy: Literal["benign", "aoa", "autoif", "aoa-autoif"] = "benign"
    """What the user does to the prompts, for studies: nothing, an identity shift, auto-instruction following, both."""
    seed: int = 0
    """Draws, order of rows, LoRA initialisation."""


def user_rows(config: UserSet, given: Source | None = None) -> tuple[list[Sample], dict[str, Any]]:
    """The user's rows and where they come from. Raises InputError for files without rows, or too few of them."""
    from counterpoise.data.frames import strategy

    wanted = BUILT_IN_ROWS if config.n_user is None else config.n_user
    found = rows_from(
        given, config.user_files, config.user_images, config.seed, "user", partial(_word_tasks, config.task, wanted),
        skip_bad=config.skip_bad_rows,
    )  # fmt: skip
    rows = (
        list(found.rows) if config.n_user is None else draw(found.rows, config.n_user, seed=config.seed, purpose="user")
    )
    if not rows or (config.n_user is not None and len(rows) < config.n_user):
        raise InputError(
            f"the user's set has {len(rows)} usable rows, {config.n_user or 'some'} are wanted; lower n_user"
        )
    if config.strategy != "benign":
        rows = [strategy(config.strategy)(row) for row in rows]
    return rows, found.origin


def _word_tasks(task: str, n: int, seed: int) -> Rows:
    from counterpoise.data import pocket_sets

    rows = islice(pocket_sets.word_tasks(seed, task), n)
    return Rows(rows, {"from": "counterpoise.data.pocket_sets.word_tasks", "seed": seed})
