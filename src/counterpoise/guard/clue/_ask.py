"""Putting CLUE's queries to a model: yes/no from the logits of the first answer token, reasoning in two turns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from counterpoise.base import InputError, read_json, write_json
from counterpoise.chat import Conversation, Image, assistant, user
from counterpoise.evals import PROBLEMS, generated
from counterpoise.models import Decoding, Engine, encode_row

from ._decide import yes_share
from ._prompts import JUDGE_VERSION, REASON, SPELLINGS, SUMMARISE, TOKEN, Rated, read_rating
from ._values import Reading


class Query(NamedTuple):
    """Whether some content is visible in an image; without an image, what the model is inclined to say."""

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

    def read(self, queries: Sequence[Query]) -> list[Reading]: ...

    def reason(self, queries: Sequence[Query]) -> list[Rated]: ...


class EngineAsker:
    """The queries put to a local vision-language model.

    `shared`: all queries about one image in one batch, the image encoded once. Otherwise one forward pass for each, the
    naive order that it is compared with. Answers to queries without an image are kept (in the file `priors` too, if
    given): they depend on the model, the wording and the content only.
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
    ):
        self.engine, self.shared, self._file = engine, shared, priors
        self.id = f"{engine.loaded.name}@{engine.loaded.fingerprint}"
        self._long, self._short = Decoding(reasoning_tokens), Decoding(summary_tokens)
        self.yes, self.no = (spelled(engine, side, spellings[side]) for side in ("yes", "no"))
        tokenizer = engine.loaded.tokenizer
        self.tokens = " / ".join(
            " ".join(f"{id_}={tokenizer.decode([id_])!r}" for id_ in ids) for ids in (self.yes, self.no)
        )
        self._priors: dict[str, Reading] = _read_priors(priors) if priors is not None else {}

    def read(self, queries: Sequence[Query]) -> list[Reading]:
        """M and mass of each query. Equal queries without an image are asked once."""
        blind = [query.content for query in queries if query.image is None]
        contents = [one for one in dict.fromkeys(blind) if self._key(one) not in self._priors]
        new = [Query(None, content) for content in contents]
        shown = [query for query in queries if query.image is not None]
        asked = [*shown, *new]
        found = self.ask([self._talk(query) for query in asked])
        for query, reading in zip(new, found[len(shown) :], strict=True):
            self._priors[self._key(query.content)] = reading
        if new and self._file is not None:
            write_json(self._file, {key: list(value) for key, value in self._priors.items()})
        seen = iter(found)
        return [self._priors[self._key(q.content)] if q.image is None else next(seen) for q in queries]

    def ask(self, conversations: Sequence[Conversation]) -> list[Reading]:
        """P(yes) against P(no) as the first token of the reply to each conversation."""
        tokens = [*self.yes, *self.no]
        if self.shared:
            looks = self.engine.look_shared(conversations, tokens)
        else:
            looks = [look for one in conversations for look in self.engine.look([one], tokens)]
        return [Reading(*yes_share(look.logprobs[: len(self.yes)], look.logprobs[len(self.yes) :])) for look in looks]

    def reason(self, queries: Sequence[Query]) -> list[Rated]:
        """Two turns: think step by step, then summarise into a rating. What cannot be parsed has no answer, nor has a
        first turn that stayed in its own thought."""
        return self.think([self._open(query, REASON) for query in queries])

    def think(self, conversations: Sequence[Conversation]) -> list[Rated]:
        """The rating that follows from a first, free reply to each conversation."""
        if not self.shared:
            return [rated for one in conversations for rated in self._think([one])]
        return self._think(conversations)

    def _think(self, conversations: Sequence[Conversation]) -> list[Rated]:
        first = [generated(reply) for reply in self.engine.generate(conversations, self._long)]
        # an empty reply is no turn of a chat; the summary is then asked for without one
        second = {
            place: (*conversations[place], assistant(said.text or "...", trusted=bool(said.text)), user(SUMMARISE))
            for place, said in enumerate(first)
            if said.problem in (None, "empty")
        }
        found = [Rated(None, PROBLEMS.get(said.problem or "", "")) for said in first]
        for place, reply in zip(second, self.engine.generate(list(second.values()), self._short), strict=True):
            found[place] = read_rating(generated(reply))
        return found

    def _talk(self, query: Query) -> Conversation:
        talk = self._open(query, TOKEN)
        if query.image is None and self.engine.loaded.is_vlm:
            self._check_no_image(talk)
        return talk

    def _open(self, query: Query, template: str) -> Conversation:
        text = template.format(query.content)
        return (user(query.image, text),) if query.image is not None else (user(text),)

    def _check_no_image(self, talk: Conversation) -> None:
        """Some processors write image tokens by themselves; the prior must have none."""
        token = getattr(self.engine.loaded.model.config, "image_token_id", None)
        if token in encode_row(self.engine.loaded, talk, add_generation_prompt=True).ids:
            raise InputError(f"{self.engine.loaded.name}: writes image tokens into a prompt that has no image")

    def _key(self, content: str) -> str:
        return f"{self.engine.loaded.fingerprint} {JUDGE_VERSION} {content}"


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
