"""How the rooms of the house may see each other."""

import ast
import re
from pathlib import Path

import counterpoise

ROOT = Path(counterpoise.__file__).parent


def private_imports(text: str, module: tuple[str, ...]) -> list[str]:
    """Names that `module` (its path below the package) takes from a private part of another room."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            above = ("counterpoise", *module)[: len(module) + 1 - node.level] if node.level else ()
            base = (*above, *(node.module or "").split(".")) if node.module else above
            names = [(*base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            other = name[0] == "counterpoise" and len(name) > 1 and name[1] != module[0]
            if other and any(part.startswith("_") and not part.startswith("__") for part in name[1:]):
                found.append(f"line {node.lineno}: {'.'.join(name)}")
    return found


def test_rooms_take_only_public_names_from_each_other() -> None:
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        module = file.relative_to(ROOT).with_suffix("").parts
        if wrong := private_imports(file.read_text(encoding="utf-8"), module):
            found[str(file.relative_to(ROOT))] = wrong
    assert found == {}


def test_the_check_sees_every_form_of_import() -> None:
    text = """
from counterpoise.data._mix import draw
from counterpoise.data import _mix
import counterpoise.data._mix
from ..data._mix import draw
from .. import _registry
def f():
    from counterpoise.data.twins._families import Side
from counterpoise.data import draw
from counterpoise.methods._mix import draw
from ._mix import draw
from . import _mix
import os
"""
    lines = [line.split(":")[0] for line in private_imports(text, ("methods", "_align"))]
    assert lines == [f"line {number}" for number in (2, 3, 4, 5, 6, 8)]


def test_one_place_opens_images() -> None:
    """Whoever opened an image beside `counterpoise.chat` would see other pixels than the model does."""
    opening = re.compile(r"\bImage\.open\(|exif_transpose|\bPicture\.open\(")
    found = [
        str(file.relative_to(ROOT)) for file in ROOT.rglob("*.py") if opening.search(file.read_text(encoding="utf-8"))
    ]
    assert found == [str(Path("chat", "_pixels.py"))]


def test_every_public_name_is_there() -> None:
    import importlib

    for room in ("base", "chat", "data", "models", "train", "evals", "methods", "guard", "report", "runs"):
        package = importlib.import_module(f"counterpoise.{room}")
        assert sorted(package.__all__) == sorted(set(package.__all__))
        for name in package.__all__:
            assert hasattr(package, name), f"{room}.{name}"
