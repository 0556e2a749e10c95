"""The vocabulary and the operators: one table says which token computes which function, under every name it has.

"What Makes and Breaks Safety Fine-tuning? A Mechanistic Study" (Jain et al., NeurIPS 2024, arXiv 2407.10264).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from counterpoise.base import InputError, sha256_bytes

OPERATORS = ("(", ")", "[", "]", "{", "}", "?", "!", "@", "£")
"""The ten functions; the first is the identity."""
DUPLICATES = ("+", "^", "r1", "r2", "r3", "r4")
"""Second names: `+ ^` of the identity, `r1 r2` and `r3 r4` of two always-unsafe functions."""
BOS, TEXT, OUTPUT, STOP, PAD, EOS = "$", "*", ">", "*^", "#", "%"
EXTRA = ("ex1", "ex2", "dup1", "dup2", "dup3", "dup4", "dup5")
LETTERS = (*(f"2{chr(c)}" for c in range(ord("a"), ord("z") + 1)), "3a", "3b", "3c", "3d")
VOCABULARY = (*OPERATORS, *DUPLICATES, BOS, TEXT, OUTPUT, STOP, PAD, EOS, *LETTERS, *EXTRA)
"""59 tokens, the same in every stage."""
ID = {token: number for number, token in enumerate(VOCABULARY)}
FIRST_LETTER = ID["2a"]
REFUSAL = ID["2a"]
"""What a refusal repeats."""
VOCABULARY_HASH = sha256_bytes(" ".join(VOCABULARY).encode())[:16]

PCFGS = (1, 2, 3, 4)
ALWAYS_UNSAFE = {1: (")", "["), 2: ("]", "{"), 3: ("@", "£"), 4: (")", "}")}
ALWAYS_SAFE = {1: ("(", "]", "{"), 2: ("(", ")", "["), 3: ("(", "?", "!"), 4: ("(", "{", "!")}

Class = Literal["safe", "unsafe", "conditional"]


@dataclass(frozen=True)
class Operators:
    """The functions of one PCFG: permutations of the first `letters` letters, function i drawn with seed `i + seed`."""

    pcfg: int
    letters: int
    seed: int

    def __post_init__(self) -> None:
        if self.pcfg not in PCFGS:
            raise InputError(f"PCFG {self.pcfg}: there are {', '.join(map(str, PCFGS))}")
        if not 4 <= self.letters <= len(LETTERS):
            raise InputError(f"{self.letters} letters: from 4 to {len(LETTERS)} are possible")
        if len({tuple(row) for row in self.tables}) < len(OPERATORS):
            raise InputError(f"seed {self.seed} with {self.letters} letters: two operators are alike; choose another")

    @cached_property
    def tables(self) -> np.ndarray:
        """(10, letters) letter numbers: row i is function i, row 0 the identity."""
        drawn = [np.random.default_rng(i + self.seed).permutation(self.letters) for i in range(1, len(OPERATORS))]
        return np.stack([np.arange(self.letters), *drawn])

    @cached_property
    def function(self) -> dict[str, int]:
        """Token -> function, names and second names alike; every other table is derived from this one."""
        first, second = (OPERATORS.index(token) for token in ALWAYS_UNSAFE[self.pcfg])
        second_names = dict(zip(DUPLICATES, (0, 0, first, first, second, second), strict=True))
        return {token: number for number, token in enumerate(OPERATORS)} | second_names

    def of_class(self, wanted: Class, *, duplicates: bool = False) -> tuple[str, ...]:
        """Names of a class's functions; `duplicates` gives their second names instead."""
        tokens = DUPLICATES if duplicates else OPERATORS
        return tuple(token for token in tokens if self.classify(token) == wanted)

    def classify(self, token: str) -> Class:
        name = OPERATORS[self.function[token]]
        if name in ALWAYS_UNSAFE[self.pcfg]:
            return "unsafe"
        return "safe" if name in ALWAYS_SAFE[self.pcfg] else "conditional"

    def apply(self, tokens: Sequence[str], text: np.ndarray) -> np.ndarray:
        """Letter numbers (L) after the operators, first to last."""
        for token in tokens:
            text = self.tables[self.function[token]][text]
        return text

    def refused(self, token: str, *, unsafe_text: bool) -> bool:
        """The rule that safety tuning teaches: an always-unsafe operator, or a conditional one on unsafe text."""
        kind = self.classify(token)
        return kind == "unsafe" or (kind == "conditional" and unsafe_text)

    def header(self) -> dict[str, object]:
        """What a data file keeps of it."""
        return {"pcfg": self.pcfg, "letters": self.letters, "seed": self.seed, "tables": self.tables.tolist(),
                "function": self.function, "vocabulary": VOCABULARY_HASH}  # fmt: skip
