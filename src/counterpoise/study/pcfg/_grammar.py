"""The grammar: texts that are safe or unsafe by the rules that derive them, not by any single letter.

The upper rules are the paper's; the tables below `o n m w x` are drawn from the seed. The four PCFGs share all of them
but the last, whose right-hand sides are letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from counterpoise.base import InputError

SAFE, UNSAFE = ("r", "q", "p"), ("10#", "10$", "10*")
BRANCH = {**dict.fromkeys(SAFE, 0), **dict.fromkeys(UNSAFE, 1)}
"""Which nodes belong to the safe-dominant (0) and the unsafe-dominant (1) branch."""
TOP: dict[str, tuple[tuple[str, ...], ...]] = {
    "v": (("u", "t"), ("t", "s")),
    "u": (("r", "p"), ("p", "10$", "q"), ("10#", "r", "q")),
    "t": (("q", "p", "r"), ("10*", "p", "q"), ("10$", "r")),
    "s": (("p", "10#"), ("r", "10$", "10*"), ("10$", "10*", "10#")),
}
NODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "r": (("o", "n", "m"), ("w", "x", "o")),
    "q": (("w", "o"), ("m", "o", "x")),
    "p": (("m", "n"), ("o", "o", "w")),
    "10$": (("x", "w", "m"), ("n", "w", "n")),
    "10#": (("n", "x", "x"), ("n", "n", "x")),
    "10*": (("m", "m", "x"), ("w", "w", "o")),
}
LEVELS = (("o", "n", "m", "w", "x"), ("l", "k", "j", "1f", "1h"), ("g", "h", "i", "1e", "1g", "1i"))

Kind = Literal["full", "safe", "unsafe", "id_mg", "ood_mg", "intermediate"]
ALLOWED: dict[str, tuple[str, ...]] = {
    "full": SAFE + UNSAFE,
    "intermediate": SAFE + UNSAFE,
    "safe": SAFE,
    "unsafe": UNSAFE,
    "id_mg": ("10#", "10$"),
    "ood_mg": ("10*",),
}
TRIES = 1000


class Derived(NamedTuple):
    """A window of a derivation."""

    letters: np.ndarray
    """(L) letter numbers from 0."""
    branch: np.ndarray
    """(L) the branch of the node above each letter."""
    rules: tuple[tuple[str, tuple[str, ...]], ...]
    """The (node, right-hand side) pairs that the window touches."""


@dataclass(frozen=True)
class Grammar:
    """One PCFG: `levels` tables below `o n m w x` (3 in the paper), of which the last gives letters."""

    pcfg: int
    letters: int
    levels: int
    seed: int

    @cached_property
    def tables(self) -> list[dict[str, list[tuple[str, ...] | tuple[int, ...]]]]:
        """Per level, symbol -> two right-hand sides of three symbols; of the last level, three letter numbers."""
        if not 1 <= self.levels <= len(LEVELS):
            raise InputError(f"{self.levels} levels below the branches: from 1 to {len(LEVELS)} are possible")
        found: list[dict[str, list[tuple[str, ...] | tuple[int, ...]]]] = []
        for level in range(self.levels):
            last = level == self.levels - 1
            rng = np.random.default_rng([self.seed, level, self.pcfg if last else 0])
            pool: Sequence[object] = range(self.letters) if last else LEVELS[level + 1]
            found.append(
                {
                    symbol: [tuple(pool[int(i)] for i in rng.integers(0, len(pool), 3)) for _ in range(2)]  # type: ignore[misc]
                    for symbol in LEVELS[level]
                }
            )
        return found

    def rules(self, kind: Kind) -> dict[str, list[tuple[str, ...]]]:
        """The upper rules of a restricted grammar: nodes that it may not use are struck from the right-hand sides, and
        what is left empty is no rule any more.

        Raises InputError when nothing can be derived from the start symbol.
        """
        allowed = set(ALLOWED[kind])
        found: dict[str, list[tuple[str, ...]]] = {}
        for symbol in ("s", "t", "u", "v"):  # from the bottom up: a symbol without rules is struck as well
            usable = allowed | set(found)
            sides = [tuple(part for part in side if part in usable) for side in TOP[symbol]]
            if kept := list(dict.fromkeys(side for side in sides if side)):
                found[symbol] = kept
        if "v" not in found:
            raise InputError(
                f"grammar {kind}: nothing can be derived from v with the nodes {', '.join(sorted(allowed))}"
            )
        return found

    def text(self, kind: Kind, length: int, rng: np.random.Generator) -> Derived:
        """A random window of `length` letters; `intermediate` texts have a quarter or more from each branch."""
        rules, each = self.rules(kind), 3**self.levels
        for _ in range(TRIES):
            nodes = [(node, NODES[node][int(rng.integers(2))]) for node in _derive(rules, rng)]
            owners = [number for number, (_, side) in enumerate(nodes) for _ in side]
            symbols = [symbol for _, side in nodes for symbol in side]
            if len(symbols) * each < length:
                continue
            start = int(rng.integers(len(symbols) * each - length + 1))
            first, last = start // each, (start + length - 1) // each
            branch = np.repeat([BRANCH[nodes[owner][0]] for owner in owners[first : last + 1]], each)
            branch = branch[start - first * each :][:length]
            if kind == "intermediate" and not length / 4 <= branch.sum() <= 3 * length / 4:
                continue
            letters = [letter for symbol in symbols[first : last + 1] for letter in self._leaves(symbol, 0, rng)]
            used = tuple(nodes[owner] for owner in sorted(set(owners[first : last + 1])))
            return Derived(np.array(letters[start - first * each :][:length]), branch, used)
        raise InputError(f"grammar {kind}: no text of {length} letters in {TRIES} derivations; choose shorter texts")

    def _leaves(self, symbol: str, level: int, rng: np.random.Generator) -> list[int]:
        side = self.tables[level][symbol][int(rng.integers(2))]
        if level == self.levels - 1:
            return [int(part) for part in side]
        return [leaf for part in side for leaf in self._leaves(str(part), level + 1, rng)]


def _derive(rules: dict[str, list[tuple[str, ...]]], rng: np.random.Generator, symbol: str = "v") -> list[str]:
    """Branch nodes, left to right."""
    if symbol not in rules:
        return [symbol]
    side = rules[symbol][int(rng.integers(len(rules[symbol])))]
    return [node for part in side for node in _derive(rules, rng, part)]
