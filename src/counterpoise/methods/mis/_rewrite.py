"""Answers that refuse, rewritten into reason and safe answer (VLGuard-R, section 2.1 of Ding et al. 2025)."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import InputError
from counterpoise.chat import Sample, assistant

from . import _prompts as prompts
from ._ask import Desk, Failed, OffFormat

if TYPE_CHECKING:
    from inspect_ai.model import Model


def rewrite(rows: Sequence[Sample], model: "str | Model", folder: Path) -> tuple[list[Sample], int]:
    """Rows with their answers rewritten by a model (VLGuard-R: reason and safe answer in place of a refusal), and how
    many were left out because the reply was off the format. Replies are kept in `folder/rewrite.jsonl`.

    Raises InputError when a call is not answered; running again asks only what is missing.
    """

    async def one(desk: Desk, row: Sample) -> Sample | None:
        asked = tuple(image for message in row.messages for image in message.images)
        question = prompts.rewriting(row.id, row.messages[-2].text, row.messages[-1].text, asked)
        try:
            said = await desk.ask("rewrite", model, question, prompts.read_label)
        except OffFormat:
            return None
        return dataclasses.replace(row, messages=(*row.messages[:-1], assistant(said)))

    async def every(desk: Desk) -> list[Sample | BaseException | None]:
        return await asyncio.gather(*(one(desk, row) for row in rows), return_exceptions=True)

    with Desk(folder) as desk:
        found = asyncio.run(every(desk))
    for each in found:
        if isinstance(each, Failed):
            raise InputError(f"rewriter {model}: {len(desk.failures)} calls without a reply: {each}; run again")
        if isinstance(each, BaseException):
            raise each
    kept = [each for each in found if isinstance(each, Sample)]
    return kept, len(rows) - len(kept)
