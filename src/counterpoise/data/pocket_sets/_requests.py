"""Benign requests that come through images, and the mix of all benign rows: what rejection-mix keeps its refusals in.

The reply to a request is the model's own answer to the same request as text.
"""

import itertools
import random
from collections.abc import Iterator
from functools import lru_cache

from counterpoise.chat import Image, Sample, user
from counterpoise.data._leakage import normalise
from counterpoise.data.twins import families

from ._texts import benign_requests, expand, phrases, readable, sentences
from ._visual import drawn_in, harmless_instructions, icons, named, printed, train_style

SHARES = (90, 0, 10)
"""Per cent of visual instructions with known answers, requests in images, and text requests. As in the published mix,
nearly nothing asks the model to carry out what an image says: answered prints are a counterweight to the refusals, and
with 30 % of them the refusals hardly reach harmful prints (8 % against 31 % of the validation families)."""
FOLLOW = (
    "Do what the picture says.",
    "Please do what is written in the picture.",
    "Read the picture and do what it asks.",
    "The picture holds a task. Carry it out.",
    "Help me with the task in the picture.",
    "Answer the request that you see in the picture.",
    "What is written in the picture? Tell me how it is done.",
    "Somebody wrote down a plan. Show me how to do it.",
)
JOIN = (
    "Join the first picture and the second picture, then help me with it.",
    "Put both pictures together and tell me how it is done.",
    "The two pictures form one task. Do it.",
)
ABOUT = (
    ("Tell me about the thing in the picture.", "Tell me about {}."),
    ("What is the thing in the picture used for?", "What is {} used for?"),
    ("Write a short story about the thing in the picture.", "Write a short story about {}."),
    ("Where can I find the thing in the picture?", "Where can I find {}?"),
    ("How do I draw the thing in the picture?", "How do I draw {}?"),
    ("Give me three facts about the thing in the picture.", "Give me three facts about {}."),
)
_MORE = """
draw {a bird|a horse|a dragon|a robot|a flower|a castle|a tree in snow|a mountain and a lake}
bake {bread|pasta with cheese|a lemon cake|an apple pie|a pumpkin cake}
cook {rice|beans|tomato soup|fish with lemon|vegetables for children|pasta for ten people}
clean {a carpet|a window|leather shoes|a coffee cup|the kitchen table|my old guitar|wool clothes}
build {a tree house|a paper boat|a wooden shelf|a dog bed|a snow castle|a rabbit house|a sand clock}
plant {a lemon tree|an apple tree|tomatoes|a flower garden}
learn {to swim|the guitar|the violin|chess in a week|a new language|to sing}
write {a poem about rain|a song for my mother|a story about a whale|a letter to a friend|an email to my teacher}
plan {a picnic in the park|a camping trip|a birthday party|a day at the lake|a week of healthy food}
fix {a bike|a garden door|a kitchen light|a wooden chair|an old radio}
paint {a picture of the sea|a wooden door|a wall blue|a sun and a moon|a toy train}
train {a puppy to sit|a dog to listen|for a football game|my brain}
play {a card game|tennis|the piano|a quick game of chess}
make {orange juice|green tea|paper stars|soap at home|a paper hat|a toy boat|a warm blanket}
find {a good book|a quiet beach|a cheap hotel|my way home|mushrooms in a forest}
teach {a child to read|my father to cook|a class about birds|my cat a trick}
store {winter clothes|fresh fruit|old photos|coffee}
choose {a camera|a tent|running shoes|a gift for my sister}
kill {time on a train|a bug in my code|bugs on my roses}
shoot {a short film|a photo at night|a basketball}
attack {a king in chess|a big problem}
fight {a cold|fire with water|for clean air}
hide {a gift for my friend|candy from my kids}
crash {a toy car for fun|a drone without damage}
report {a stolen bike|a scam email|a lost dog|a street crime}
stop {a bully at school|smoking|a computer virus|phone scams}
protect {my passwords|a child from fire|my bank card|bees in my garden}
"""


@lru_cache(maxsize=1)
def benign_phrases() -> tuple[str, ...]:
    """Benign phrases of at most six lexicon words: the train families' and more, none of a held-out family."""
    own = [family.benign.phrase for family in families("train")]
    held_out = {
        normalise(side.phrase)
        for split in ("validation", "test")
        for family in families(split)
        for side in (family.harmful, family.benign)
    }
    more = [phrase for line in _MORE.split("\n") if line for phrase in expand(line)]
    listed = [*more, *phrases("lookalikes"), *phrases("everyday")]
    fits = [p for p in dict.fromkeys(own + listed) if readable(p) and len(p.split()) <= 6 and len(p.split()) > 1]
    return tuple(p for p in fits if not any(f" {h} " in f" {normalise(p)} " for h in held_out))


def image_requests(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign requests in images, without a reply: 60 % prints to be followed, 20 % questions about
    an icon, 20 % requests split over two prints. `meta["text_twin"]` is the same request as text: let the model
    answer that, and use its answer as the reply."""
    for number in itertools.count():
        key = f"pocket-request-{seed}-{number}"
        rng = random.Random(key)
        kind = rng.choices(("print", "picture", "pair"), (60, 20, 20))[0]
        styles: tuple[str, ...] = ()
        if kind == "picture":
            style = train_style(rng)
            concept = rng.choice(drawn_in(style))
            question, twin = rng.choice(ABOUT)
            images: tuple[Image, ...] = (icons([concept], style, key),)
            text, styles = twin.format(named(concept)), (style,)
            shown: tuple[str, ...] = (f"icon:{concept}",)
        else:
            phrase = rng.choice(benign_phrases())
            text = sentences(phrase, 1, rng)[0]
            words = phrase.split()
            cut = rng.randint(1, len(words) - 1)
            shown = (phrase,) if kind == "print" else (" ".join(words[:cut]), " ".join(words[cut:]))
            images = tuple(printed(part, f"{key}-{i}") for i, part in enumerate(shown))
            question = rng.choice(FOLLOW if kind == "print" else JOIN)
        yield Sample(
            id=key,
            messages=(user(*images, question),),
            harmful=False,
            modality="image",
            split="train",
            cluster=" ".join(shown),
            group=kind,
            meta={"shown": shown, "styles": styles, "text_twin": text},
        )


def ordinary_instructions(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign rows. Requests come without a reply: the model that is trained answers them itself
    (for an image, `meta["text_twin"]` is the request as text), so that training keeps what it can do."""
    rng = random.Random(f"ordinary {seed}")
    visual, requests, texts = harmless_instructions(seed), image_requests(seed), list(benign_requests(seed))
    number = 0
    while True:
        kind = rng.choices(("visual", "request", "text"), SHARES)[0]
        if kind == "text":
            yield texts[number % len(texts)]
            number += 1
        else:
            yield next(visual if kind == "visual" else requests)
