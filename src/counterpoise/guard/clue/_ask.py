"""Putting CLUE's queries to a model: yes/no from the logits of the first answer token, reasoning in two turns."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import PIL.Image

from counterpoise.base import InputError, read_json, write_json
from counterpoise.chat import Conversation, Image, assistant, user
from counterpoise.evals import PROBLEMS, generated
from counterpoise.models import Decoding, Engine, encode_row

from ._decide import yes_share
from ._prompts import SPELLINGS, SUMMARISE, Rated, read_rating
from ._values import Reading
from ._wording import PAPER_WORDING, Wording

BLANK_SIDE = 224  # pixels of the white image that stands for none


class Query(NamedTuple):
    """Whether some content is visible in an image; without one, what the model is inclined to say."""

    image: Image | None
    content: str


class Asker(Protocol):
    """Answers queries, in order."""

    @property
    def id(self) -> str: ...

    @property
    def tokens(self) -> str:
        """The spellings of yes and no that are counted, for the record."""
        ...

    @property
    def prompts(self) -> str:
        """Version of what is asked, for the record."""
        ...

    def read(self, queries: Sequence[Query]) -> list[Reading]: ...

    def reason(self, queries: Sequence[Query]) -> list[Rated]: ...


class EngineAsker:
    """The queries put to a local vision-language model.

    `shared`: all queries about one image in one batch, the image encoded once. Otherwise one forward pass for each, the
    naive order that it is compared with. Answers to queries without an image are kept (in the file `priors` too, if
    given): they depend on the model, the question and what stands for no image. Probabilities of yes and no come from
    logits in float32, whatever the model computes in.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        shared: bool = True,
        priors: Path | None = None,
        reasoning_tokens: int = 256,
        summary_tokens: int = 128,
        spellings: Mapping[str, Sequence[str]] = SPELLINGS,
        wording: Wording = PAPER_WORDING,
    ):
        self.wording = wording
        self._blank = Image.from_pil(PIL.Image.new("RGB", (BLANK_SIDE, BLANK_SIDE), "white"), "a blank image")
        self.engine, self.shared, self._file = engine, shared, priors
        self.id = f"{engine.loaded.name}@{engine.loaded.fingerprint}"
        self._long, self._short = Decoding(reasoning_tokens), Decoding(summary_tokens)
        self.yes, self.no = (spelled(engine, side, spellings[side]) for side in ("yes", "no"))
        tokenizer = engine.loaded.tokenizer
        self.tokens = " / ".join(
            " ".join(f"{id_}={tokenizer.decode([id_])!r}" for id_ in ids) for ids in (self.yes, self.no)
        )
        self._priors: dict[str, Reading] = _read_priors(priors) if priors is not None else {}

    @property
    def prompts(self) -> str:
        return self.wording.version

    def asking(self, wording: Wording) -> "EngineAsker":
        """The same model asked in other words; what is kept of queries without an image is shared."""
        other = copy.copy(self)
        other.wording = wording
        return other

    def read(self, queries: Sequence[Query]) -> list[Reading]:
        """M and mass of each query. Equal queries without an image are asked once."""
        blind = [query.content for query in queries if query.image is None]
        contents = [one for one in dict.fromkeys(blind) if self._key(one) not in self._priors]
        new = [Query(None, content) for content in contents]
        shown = [query for query in queries if query.image is not None]
        found = self._means([self._talks(query) for query in (*shown, *new)])
        for query, reading in zip(new, found[len(shown) :], strict=True):
            self._priors[self._key(query.content)] = reading
        if new and self._file is not None:
            write_json(self._file, {key: list(value) for key, value in self._priors.items()})
        seen = iter(found)
        return [self._priors[self._key(q.content)] if q.image is None else next(seen) for q in queries]

    def _means(self, forms: Sequence[Sequence[Conversation]]) -> list[Reading]:
        """The mean reading over the forms in which each query is asked."""
        found = iter(self.ask([talk for own in forms for talk in own]))
        each = [[next(found) for _ in own] for own in forms]
        return [Reading(*(sum(values) / len(own) for values in zip(*own, strict=True))) for own in each]

    def ask(self, conversations: Sequence[Conversation]) -> list[Reading]:
        """P(yes) against P(no) as the first token of the reply to each conversation."""
        tokens = [*self.yes, *self.no]
        if self.shared:
            looks = self.engine.look_shared(conversations, tokens)
        else:
            looks = [look for one in conversations for look in self.engine.look([one], tokens)]
        return [Reading(*yes_share(look.logprobs[: len(self.yes)], look.logprobs[len(self.yes) :])) for look in looks]

    def reason(self, queries: Sequence[Query]) -> list[Rated]:
        """Two turns: think step by step, then summarise into a rating; see `think`."""
        talks = [_open(query.image, self.wording.reasoning(query.content)) for query in queries]
        return self.think(talks, [self.wording.questions(query.content)[0] for query in queries])

    def think(self, conversations: Sequence[Conversation], again: Sequence[str]) -> list[Rated]:
        """The rating that follows from a first, free reply to each conversation.

        Where the summary cannot be parsed, the chat with its reasoning is asked `again` for one word, and the logits of
        yes and no are read. A first turn that stayed in its own thought has no reasoning to go by: no answer.
        """
        if not self.shared:
            pairs = zip(conversations, again, strict=True)
            return [rated for talk, more in pairs for rated in self._think([talk], [more])]
        return self._think(conversations, again)

    def _think(self, conversations: Sequence[Conversation], again: Sequence[str]) -> list[Rated]:
        first = [generated(reply) for reply in self.engine.generate(conversations, self._long)]
        # an empty reply is no turn of a chat; the summary is then asked for without one
        reasoned = {
            place: (*conversations[place], assistant(said.text or "...", trusted=bool(said.text)))
            for place, said in enumerate(first)
            if said.problem in (None, "empty")
        }
        found = [Rated(None, PROBLEMS.get(said.problem or "", "")) for said in first]
        second = [(*talk, user(SUMMARISE)) for talk in reasoned.values()]
        for place, reply in zip(reasoned, self.engine.generate(second, self._short), strict=True):
            found[place] = read_rating(generated(reply))
        unread = [place for place in reasoned if found[place].yes is None and first[place].text]
        readings = self.ask([(*reasoned[place], user(again[place])) for place in unread])
        for place, reading in zip(unread, readings, strict=True):
            found[place] = found[place]._replace(again=reading)
        return found

    def _talks(self, query: Query) -> list[Conversation]:
        blank = query.image is None and self.wording.prior == "blank"
        shown = self._blank if blank else query.image
        talks = [_open(shown, question) for question in self.wording.questions(query.content)]
        if shown is None and self.engine.loaded.is_vlm:
            self._check_no_image(talks)
        return talks

    def _check_no_image(self, talks: Sequence[Conversation]) -> None:
        """Some processors write image tokens by themselves; the prior must have none."""
        token = getattr(self.engine.loaded.model.config, "image_token_id", None)
        if any(token in encode_row(self.engine.loaded, talk, add_generation_prompt=True).ids for talk in talks):
            raise InputError(f"{self.engine.loaded.name}: writes image tokens into a prompt that has no image")

    def _key(self, content: str) -> str:
        return f"{self.engine.loaded.fingerprint} {self.wording.prior} {' / '.join(self.wording.questions(content))}"


def _open(image: Image | None, text: str) -> Conversation:
    return (user(image, text),) if image is not None else (user(text),)


def spelled(engine: Engine, side: str, spellings: Sequence[str]) -> tuple[int, ...]:
    """Ids of those spellings of a side that are single tokens, each once. Raises InputError when there is none."""
    tokenizer = engine.loaded.tokenizer
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in spellings]
    single = tuple(dict.fromkeys(one[0] for one in ids if len(one) == 1))
    if not single:
        raise InputError(
            f"{engine.loaded.name}: its tokenizer has no single token for {side!r}, so it cannot be scored"
        )
    return single


def _read_priors(file: Path) -> dict[str, Reading]:
    if not file.is_file():
        return {}
    value = read_json(file)
    try:
        return {str(key): Reading(*map(float, pair)) for key, pair in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a file of priors; remove it") from error
