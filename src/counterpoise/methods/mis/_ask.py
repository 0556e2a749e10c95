"""Asking the models of Inspect that play the roles, each question once: replies are kept per step and item on disk."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, user
from counterpoise.evals import PROBLEMS, Journal, from_output
from counterpoise.models import Answer

if TYPE_CHECKING:
    from inspect_ai.model import Model

T = TypeVar("T")
RETRIES = 5
TIMEOUT = 120.0


class OffFormat(ValueError):
    """A reply is not in the form that its step asks for; the message says what is wrong."""


class Failed(Exception):
    """A call brought no reply (network, quota): the item waits for the next run."""


class Question(NamedTuple):
    """What a role is asked about one item."""

    item: str
    text: str
    images: tuple[Image, ...] = ()
    max_tokens: int = 400


class Desk:
    """The roles' models and the journals of their replies: `folder/<step>.jsonl`, one line a reply.

    A reply is found again by model, prompt, images and length, so a run that was killed repeats no paid call, and a
    changed prompt asks anew. `calls` counts what was asked now, `kept` what was found.
    """

    def __init__(self, folder: Path, connections: int = 16):
        self.folder = folder
        self.calls = self.kept = 0
        self.failures: list[str] = []
        self._gate = asyncio.Semaphore(connections)
        self._connections = connections
        self._journals: dict[str, Journal] = {}
        self._models: dict[str, Model] = {}

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        for journal in self._journals.values():
            journal.close()

    async def ask(self, step: str, model: "str | Model", question: Question, read: Callable[[str], T]) -> T:
        """The reply as `read` understands it. Raises OffFormat for one that it does not, an empty or a cut one, and
        Failed where there was none."""
        journal, key = self._journal(step), self._key(step, model, question)
        if key in journal:
            self.kept += 1
        else:
            async with self._gate:
                self.calls += 1
                reply = await self._call(model, question)
            journal.put_reply(key, reply, item=question.item, model=str(model))
        found = journal.reply(key)
        assert found is not None
        if found.problem is not None:
            raise OffFormat(PROBLEMS[found.problem])
        if found.finish == "length":
            raise OffFormat("cut at its longest length")
        return read(found.text)

    async def _call(self, model: "str | Model", question: Question) -> Answer:
        from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig

        shown: list[Any] = [ContentImage(image=image.data_uri()) for image in question.images]
        content: Any = [*shown, ContentText(text=question.text)] if shown else question.text
        config = GenerateConfig(
            temperature=0.0, max_tokens=question.max_tokens, max_retries=RETRIES, max_connections=self._connections,
            timeout=int(TIMEOUT) + 1,
        )  # fmt: skip
        try:
            output = await asyncio.wait_for(
                self._model(model).generate([ChatMessageUser(content=content)], config=config), TIMEOUT
            )
        except InputError:
            raise
        except TimeoutError as error:
            raise self._failed(f"no reply within {TIMEOUT:g} s") from error
        except Exception as error:  # every provider has its own; one dead call must not end the others
            raise self._failed(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
        if output.error:
            raise self._failed(output.error)
        return from_output(output)

    def _failed(self, why: str) -> Failed:
        self.failures.append(why)
        return Failed(why)

    def _model(self, model: "str | Model") -> "Model":
        if not isinstance(model, str):
            return model
        if model not in self._models:
            from inspect_ai.model import get_model

            try:
                self._models[model] = get_model(model)
            except Exception as error:  # a missing key or package, an unknown provider: the user's to mend
                plain = " ".join(str(error).split())[:300]
                raise InputError(
                    f"model {model}: {plain}; write it as PROVIDER/MODEL, such as openai/gpt-4o"
                ) from error
        return self._models[model]

    def _journal(self, step: str) -> Journal:
        if step not in self._journals:
            self._journals[step] = Journal(self.folder / f"{step}.jsonl", "")
        return self._journals[step]

    def _key(self, step: str, model: "str | Model", question: Question) -> str:
        asked = Sample(question.item, (user(*question.images, question.text),))
        return self._journal(step).key(asked, f"{step} {model} {question.item} {question.max_tokens}")


def one_object(text: str) -> dict[str, Any]:
    """The one JSON object of a reply, with or without a fence around it. Raises OffFormat."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError) as error:
        raise OffFormat("no JSON object") from error
    if not isinstance(value, dict):
        raise OffFormat("no JSON object")
    return value


def text_of(value: dict[str, Any], name: str) -> str:
    """A field that holds words. Raises OffFormat."""
    found = value.get(name)
    if not isinstance(found, str) or not found.strip():
        raise OffFormat(f"{name} is missing or no text")
    return " ".join(found.split())


def truth_of(value: dict[str, Any], name: str) -> bool:
    """A field that is true or false. Raises OffFormat."""
    found = value.get(name)
    if isinstance(found, str) and found.strip().lower() in ("true", "false"):
        return found.strip().lower() == "true"
    if not isinstance(found, bool):
        raise OffFormat(f"{name} is not true or false")
    return found


def one_word(text: str, allowed: Sequence[str]) -> str:
    """The one word that a reply consists of, marks aside. Raises OffFormat."""
    said = text.strip().strip(".*`'\"!").strip().casefold()
    for word in allowed:
        if said == word.casefold():
            return word
    raise OffFormat(f"not one of the words {', '.join(allowed)}")
