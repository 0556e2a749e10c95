"""The training answers: phrases with slots, written for this classifier (phrases.txt), filled with a fixed seed.

Topics, warnings and legal words occur on both sides, so that only the wording of the reply can decide.
"""

import random
from pathlib import Path


def _read(path: Path) -> dict[str, list[str]]:
    """{section: phrases}; a section starts with [name]."""
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line[1 : line.index("]")], [])
        elif line:
            current.append(line)
    return sections


PHRASES = _read(Path(__file__).with_name("phrases.txt"))


def corpus(n: int = 16_000, seed: int = 0) -> list[tuple[str, bool]]:
    """(answer, is a refusal) pairs: 50 % refusals, 5 % that decline and then comply (no refusals), 5 % degenerate,
    4 % letters, 3 % code and output, 3 % names, hedges and corrections.

    On both sides one in four begins with what says nothing yet: a heading, a picture described, the names in a list, a
    word before a colon, an ordinary sentence.
    """
    chance = random.Random(seed)
    return [(_lead(chance) + _style(answer, chance), refusal) for answer, refusal in (_one(chance) for _ in range(n))]


def _lead(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.05:
        return _fill(chance.choice(PHRASES["head"]), chance) + "\n\n"
    if kind < 0.13:
        return " ".join(_fill(line, chance) for line in chance.sample(PHRASES["picture"], chance.randint(1, 3))) + " "
    if kind < 0.17:
        names = [_fill(line, chance) for line in chance.sample(PHRASES["list"], 3)]
        return "".join(f"{n}. {name}\n" for n, name in enumerate(names, 1)) + "\n"
    if kind < 0.19:
        return chance.choice(PHRASES["lead"]) + " "
    if kind < 0.24:
        return _fill(chance.choice(PHRASES["ordinary"]), chance) + " "
    return ""


def _letter(chance: random.Random) -> str:
    """A letter that somebody asked for: what its writer can not do is no refusal."""
    body = " ".join(_fill(line, chance) for line in chance.sample(PHRASES["letter"], chance.randint(1, 2)))
    kind = chance.random()
    if kind < 0.1:
        return f"{chance.choice(PHRASES['introduced'])} {_fill(chance.choice(PHRASES['refuse']), chance)}"
    if kind < 0.5:
        body = f"{chance.choice(PHRASES['salutation'])}\n\n{body}"
    if 0.3 < kind < 0.8:
        body += f"\n\n{chance.choice(PHRASES['closing'])}\n{chance.choice(['Anna', 'Tom', '[Your Name]', 'J. Brown'])}"
    return body


def _one(chance: random.Random) -> tuple[str, bool]:
    def pick(lines: list[str], most: int) -> list[str]:
        return [_fill(line, chance) for line in chance.sample(lines, chance.randint(0, most))]

    kind = chance.random()
    if kind < 0.50:
        if chance.random() < 0.02:
            return chance.choice(PHRASES["nothing"]), True
        first = _fill(chance.choice(PHRASES["refuse"] if chance.random() < 0.88 else PHRASES["moral"]), chance)
        polite = ["I understand that you want to know about {n}.", "I'm happy to help! However,", "Hello!", "I see."]
        lead = [_fill(chance.choice(polite), chance)] if chance.random() < 0.12 else []
        return " ".join([*lead, first, *pick(PHRASES["reason"], 2), *pick(PHRASES["redirect"], 2)]), True
    if kind < 0.55:
        first = [
            _fill(chance.choice(PHRASES["refuse"]), chance),
            *pick(PHRASES["reason"], 1),
            _fill(chance.choice(PHRASES["turn"]), chance),
        ]
        return " ".join(
            [*first, *[_fill(line, chance) for line in chance.sample(PHRASES["go_on"], chance.randint(2, 6))]]
        ), False
    if kind < 0.60:
        return _fill(chance.choice(PHRASES["echo"]), chance), False
    if kind < 0.64:
        return _letter(chance), False
    if kind < 0.67:
        return "\n".join(chance.sample(PHRASES["code"], chance.randint(1, 4))), False
    if kind < 0.70:
        return _fill(chance.choice(PHRASES["short"]), chance), False
    first = _fill(chance.choice(PHRASES["start"]), chance)
    warning = pick(PHRASES["reason"], 1) if chance.random() < 0.3 else []
    return " ".join(
        [first, *warning, *pick(PHRASES["go_on"], 5), *(pick(PHRASES["redirect"], 1) if chance.random() < 0.2 else [])]
    ), False


def _fill(line: str, chance: random.Random) -> str:
    thing = chance.choice(PHRASES["things"])
    return (
        line.replace("{v}", chance.choice(PHRASES["topics"])).replace("{n}", thing).replace("{N}", thing.capitalize())
    )


def _style(text: str, chance: random.Random) -> str:
    """Variation that must not matter: contractions, apostrophes, case, line breaks, a cut end."""
    if chance.random() < 0.25:
        for short, long in (("I'm", "I am"), ("can't", "cannot"), ("won't", "will not"), ("It's", "It is")):
            text = text.replace(short, long)
    if chance.random() < 0.2:
        text = text.replace("'", "’")
    if chance.random() < 0.1:
        text = text.lower()
    if chance.random() < 0.1:  # weight on a word
        words = text.split(" ")
        place = chance.randrange(min(6, len(words)))
        words[place] = f"**{words[place]}**"
        text = " ".join(words)
    if chance.random() < 0.15:
        text = text.replace(". ", ".\n\n")
    if chance.random() < 0.25 and len(text) > 80:  # the token limit ends answers anywhere
        text = text[: chance.randint(60, len(text))]
    return text
