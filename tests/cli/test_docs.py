"""Every command has a generated page, and every guide's commands exist."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gen():
    pytest.importorskip("mkdocs", reason="needs pip install 'counterpoise[docs]'")
    spec = importlib.util.spec_from_file_location("gen", ROOT / "docs" / "gen.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_methods_page_names_where_it_was_measured(gen):
    pages = dict(gen.method_pages())
    for name, page in (("mirage", "tournament-pocket"), ("sr-llm", "rewriting-pocket")):
        assert f"(../results/{page}.md)" in pages[f"methods/{name}.md"], name
        assert (ROOT / "docs" / "results" / f"{page}.md").is_file()
    assert "Measured" not in pages["methods/uce.md"]


def test_every_command_has_a_page_with_its_options(gen):
    pages = dict(gen.command_pages())
    assert {"commands/judge.md", "commands/index.md"} <= set(pages) and len(pages) >= 10
    assert "`--target`" in pages["commands/run.md"] and "## counterpoise pocket build" in pages["commands/pocket.md"]


def test_commands_in_the_guides_exist():
    from typer.main import get_command

    from counterpoise.cli._app import app

    known = get_command(app).commands
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    used = [line for file in files for line in re.findall(r"counterpoise ([a-z]+ [^`#\n]*)", file.read_text())]
    lines = [line for line in used if line.split()[0] in known]
    assert len(lines) > 10
    for line in lines:
        words = line.split()
        command = known[words[0]]
        for word in words[1:]:  # groups, also within groups: options belong to their commands
            command = getattr(command, "commands", {}).get(word, command)
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= options | {"--help"}, line


def test_files_named_in_the_walk_exist():
    """Below `src/counterpoise/`: a file that is renamed or merged is renamed in the walk too."""
    text = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text)) - {"src/counterpoise"}
    assert len(named) > 50
    house = ROOT / "src" / "counterpoise"
    assert sorted(name for name in named if not (house / name).exists()) == []
    rooms = re.findall(r"`([a-z]+)`", text.split("only downward:")[1].split("\n\n")[0])
    assert set(rooms) == {path.name for path in house.iterdir() if (path / "__init__.py").is_file()}
