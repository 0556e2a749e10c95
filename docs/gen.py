"""MkDocs hook: one page per command, method and benchmark family, made from the code, never written by hand.

Commands come from their `--help` text, methods from their docstring and config, benchmarks from their registry
entry. Nothing is written into docs/: the pages exist only in the built site.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDERS = ("commands", "methods", "benchmarks")
DOCS = Path(__file__).parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the three folders of the navigation, and list the results in the notebook's section."""
    made = dict(pages())
    for entry in config.nav:
        for title, target in list(entry.items()):
            folder = target.rstrip("/") if isinstance(target, str) else ""
            if folder in FOLDERS:
                entry[title] = [name for name in made if name.startswith(f"{folder}/")]
            elif target == "notebook.md":
                found = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "results").glob("**/*.md"))
                entry[title] = ["notebook.md", *found]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    for name, text in pages():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """`<!-- results -->` in the notebook becomes the list of pages under docs/results."""
    if "<!-- results -->" not in markdown:
        return markdown
    links = [f"- [{title}]({name})" for title, name, _ in _results()]
    return markdown.replace("<!-- results -->", "\n".join(links))


@cache
def _results() -> list[tuple[str, str, str]]:
    """(title, path below docs, text) of every page of results."""
    found = []
    for path in sorted((DOCS / "results").glob("**/*.md")):
        text = path.read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, re.M)
        found.append((title[1] if title else path.stem, path.relative_to(DOCS).as_posix(), text))
    return found


def pages() -> Iterator[tuple[str, str]]:
    """(path, Markdown) of every generated page."""
    yield from command_pages()
    yield from method_pages()
    yield from benchmark_pages()


def command_pages() -> Iterator[tuple[str, str]]:
    """From the command objects themselves: description, examples, arguments, options."""
    from typer.main import get_command

    from counterpoise.cli._app import app

    group: Any = get_command(app)
    yield "commands/index.md", f"# Commands\n\n{group.help}\n\n" + _links(group.commands)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            parts = [f"# counterpoise {name}\n\n{command.help}"]
            parts += [_command(f"{name} {sub}", each, level="##") for sub, each in command.commands.items()]
            yield f"commands/{name}.md", "\n\n".join(parts)
        else:
            yield f"commands/{name}.md", _command(name, command, level="#")


def _command(name: str, command: Any, *, level: str) -> str:
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        names = ", ".join(f"`{option}`" for option in parameter.opts)
        if parameter.param_type_name == "argument":
            names = f"`{(parameter.metavar or parameter.name).upper()}`"
        default = "" if parameter.default in (None, False, ...) or parameter.required else f"`{parameter.default}`"
        rows.append(f"| {names} | {_cell(parameter.help or '')} | {default} |")
    table = "\n".join(["| Option | Meaning | Default |", "|---|---|---|", *rows]) if rows else ""
    return f"{level} counterpoise {name}\n\n{_unwrap(command.help)}\n\n{table}\n"


def method_pages() -> Iterator[tuple[str, str]]:
    """From the registry: docstring, paper, and the config's fields with their defaults."""
    from counterpoise.methods import all_methods

    methods = all_methods()
    yield "methods/index.md", "# Methods\n\nHow a model is corrected.\n\n" + _links(methods)
    for name, method in methods.items():
        facts = f"| | |\n|---|---|\n| Paper | {method.paper} |\n| Reference code | {method.source} |\n"
        facts += f"| Its licence | {method.licence} |\n"
        rows = []
        for field, info in method.config_class.model_fields.items():
            default = _cell(str(info.get_default(call_default_factory=True)))
            rows.append(f"| `{field}` | {_cell(info.description or '')} | `{default}` |")
        table = "\n".join(["| Setting | Meaning | Default |", "|---|---|---|", *rows])
        for knob in method.knobs:
            facts += f"| Dose knob `{knob.name}` | {knob.label}, {knob.direction} |\n"
        head = f"# {method.title}\n\n{_unwrap(method.description)}\n\n{facts}"
        yield f"methods/{name}.md", f"{head}\n{_measured(name)}## Settings\n\n{table}\n"


def _measured(name: str) -> str:
    """Links to the pages of results that name a method."""
    named = re.compile(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])")
    links = [f"- [{title}](../{path})" for title, path, text in _results() if named.search(text)]
    return "## Measured\n\n" + "\n".join(links) + "\n\n" if links else ""


def benchmark_pages() -> Iterator[tuple[str, str]]:
    """One page per family: the part of the name before a separator, so that variants share a page."""
    from counterpoise.evals import benchmarks

    families: dict[str, list[Any]] = {}
    for name, benchmark in benchmarks().items():
        families.setdefault(re.split(r"[:/@]|_(?:typo|sd|tiny)", name)[0], []).append(benchmark)
    yield "benchmarks/index.md", "# Benchmarks\n\nWhat a model is measured with.\n\n" + _links(families)
    for family, members in families.items():
        parts = [f"# {members[0].title}"]
        for each in members:
            parts.append(f"## {each.name}\n\n{_unwrap(getattr(each, 'description', '') or '')}")
            facts = {
                "Modality": each.modality,
                "Rows": each.rows,
                "Source": each.source,
                "Revision": each.revision,
                "Commit of the source": "" if each.source.startswith("counterpoise") else each.commit,
                "Licence": each.licence,
                "Gated": "yes" if each.gated else "no",
                "Scorers": ", ".join(f"`{scorer}`" for scorer in each.scorers),
                "Metrics": ", ".join(f"`{name}` ({way} is better)" for name, way in each.directions.items()),
                "Official scoring": each.official,
                "Judge of that kind": f"`{each.judge}`" if each.judge else "",
                "Paper": each.citation,
            }
            facts = {name: value for name, value in facts.items() if value != ""}
            parts.append("| | |\n|---|---|\n" + "\n".join(f"| {k} | {_cell(str(v))} |" for k, v in facts.items()))
            parts.append(f"```\ncounterpoise eval MODEL --benchmark {each.name}\n```")
        yield f"benchmarks/{family}.md", "\n\n".join(parts) + "\n"


def _links(names: Any) -> str:
    return "\n".join(f"- [{name}]({name}.md)" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _unwrap(text: str) -> str:
    return "\n".join(line.strip() for line in (text or "").splitlines())
