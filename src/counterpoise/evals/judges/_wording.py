"""The authors' own words, read from their published files in the data folder; they are not part of this package.

A text is found by the name it is assigned to in a Python file, which is parsed and never run, or by its key in JSON.
It is proven when `counterpoise data fetch` took the file from the authors' repository and it has not changed since.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, sha256_file
from counterpoise.data import data_root
from counterpoise.data.sources import read_card


class Words(NamedTuple):
    """A text as it was found. `proven`: its file is as its authors published it."""

    text: str
    proven: bool


@dataclass(frozen=True)
class Wording:
    """Where a text is."""

    source: str
    """What `counterpoise data fetch` calls it."""
    file: str
    """Below the data folder."""
    name: str
    """What it is assigned to, such as `PROMPT`, `Class.PROMPT` or `function.prompt`; in JSON, its key."""
    key: str = ""
    """Its key, where the name is that of a dict."""
    nth: int = 0
    """Which of several assignments to the name."""

    @property
    def command(self) -> str:
        """What fetches it."""
        return f"counterpoise data fetch {self.source}"

    def read(self) -> Words | None:
        """The text, or None when its file is not here. Raises InputError for a file that does not hold it."""
        root = data_root()
        file = root / self.file if root is not None else None
        if root is None or file is None or not file.is_file():
            return None
        return Words(self.find(file), self._proven(root, file))

    def find(self, file: Path) -> str:
        """The text in a file. Raises InputError when it is not there."""
        try:
            source = file.read_text(encoding="utf-8")
            value: Any = json.loads(source).get(self.name) if file.suffix == ".json" else self._assigned(source)
        except (OSError, ValueError, SyntaxError, RecursionError, AttributeError, IndexError) as error:
            raise InputError(f"{file}: cannot read {self.name} from it ({error}); {self.command}") from error
        if self.key:
            value = value.get(self.key) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value.strip():
            what = f"{self.name}[{self.key!r}]" if self.key else self.name
            raise InputError(f"{file}: holds no text {what}; get the published file with {self.command}")
        return value

    def _assigned(self, source: str) -> Any:
        *scopes, name = self.name.split(".")
        nodes: list[ast.AST] = [ast.parse(source)]
        for scope in scopes:
            nodes = [inner for node in nodes for inner in ast.walk(node) if getattr(inner, "name", None) == scope]
        found = [value for node in nodes for value in _values(node, name)]
        return ast.literal_eval(found[self.nth])

    def _proven(self, root: Path, file: Path) -> bool:
        card = read_card(root, self.source)
        known = {each.path: each.sha256 for each in card.files} if card is not None else {}
        return known.get(self.file) == sha256_file(file)


def _values(node: ast.AST, name: str) -> Iterator[ast.expr]:
    """What is assigned to a name, in the order of the lines."""
    assigned = [each for each in ast.walk(node) if isinstance(each, ast.Assign | ast.AnnAssign)]
    for each in sorted(assigned, key=lambda one: one.lineno):
        targets = each.targets if isinstance(each, ast.Assign) else [each.target]
        if each.value is not None and any(isinstance(one, ast.Name) and one.id == name for one in targets):
            yield each.value
