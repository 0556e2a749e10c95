"""What `make test-newest` installs, and the page that says how the tests went.

python scripts/newest.py requirements            our dependencies without upper bounds
python scripts/newest.py installable NAME       NAME==VERSION: its newest release whose dependencies can all be had
python scripts/newest.py report TESTS.xml PAGE [PART]   the page docs/newest.md; run in the environment that was tested
"""

import datetime
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
UPPER = ("<", "<=", "==", "~=")
COUNTED = ("failure", "error", "skipped")


def direct(*extras: str) -> list[Requirement]:
    """The requirements of pyproject.toml itself and of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines]


def without_upper_bound(requirement: Requirement) -> Requirement:
    """`peft>=0.21,<0.22` becomes `peft>=0.21`."""
    kept = Requirement(str(requirement))
    kept.specifier = SpecifierSet(",".join(str(each) for each in requirement.specifier if each.operator not in UPPER))
    return kept


def locked() -> dict[str, str]:
    """Version by name in constraints.txt; names as they are compared, `huggingface-hub`."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split()[0].split("==") for line in lines if line and not line.startswith("#"))


def installable(name: str) -> str:
    """`name==version` of the newest release that pip can install with its dependencies; the newest release itself may
    ask for a package that no index has. Where pip cannot say, the bare name."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--upgrade", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = {
            plain(each["metadata"]["name"]): each["metadata"]["version"] for each in json.loads(done.stdout)["install"]
        }
    except (ValueError, KeyError):
        return name
    return f"{name}=={found[plain(name)]}" if plain(name) in found else name


def report(tests: Path, part: str) -> str:
    """The page: counts, what failed with the first line of its error, versions beside those of the lock. `part` names
    the tests that were run when it was not all of them."""
    cases = list(ElementTree.parse(tests).getroot().iter("testcase")) if tests.is_file() else []
    failed, counts = [], dict.fromkeys(COUNTED, 0)
    for case in cases:
        for outcome in case:
            if outcome.tag in COUNTED:
                counts[outcome.tag] += 1
            if outcome.tag in ("failure", "error"):
                first = (outcome.get("message") or "").strip().splitlines() or [""]
                failed.append(f"- `{case.get('classname')}::{case.get('name')}`: {first[0][:200].replace('`', '')}")
    bad = counts["failure"] + counts["error"]
    passed = len(cases) - bad - counts["skipped"]
    result = f"{passed:,} passed, {bad:,} failed, {counts['skipped']:,} skipped" if cases else "the tests did not start"
    if part:
        result += f" (only {part})"
    day = datetime.datetime.now(tz=datetime.UTC)
    return f"""# Newest releases

What `make test-newest` found: the tests with the newest release of every library on that day, above our upper bounds.
What is supported is what `constraints.txt` lists; this page says what is coming. It is written by the command.

{day:%Y-%m-%d}, Python {platform.python_version()}, {platform.system()} {platform.machine()}: **{result}**.

| library | locked | tried |
|---|---|---|
{chr(10).join(versions())}
""" + (f"\n## Failed\n\n{chr(10).join(failed)}\n" if failed else "")


def versions() -> list[str]:
    """A line for each library that we name ourselves, and for each other one whose version is not the lock's."""
    lock = locked()
    ours = {plain(requirement.name) for requirement in direct("dev")}
    here = {plain(each.name): each.version for each in importlib.metadata.distributions()}
    other = {name for name in here if name in lock and here[name].split("+")[0] != lock[name]}
    return [f"| {name} | {lock.get(name, '')} | {here[name]} |" for name in sorted(ours | other) if name in here]


def plain(name: str) -> str:
    """The form in which names are compared: `PyYAML` is `pyyaml`, `inspect_ai` is `inspect-ai`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(command: str, *rest: str) -> None:
    if command == "requirements":
        print("\n".join(str(without_upper_bound(each)) for each in direct("dev") if each.name != "torch"))
        return
    if command == "installable":
        print(installable(rest[0]))
        return
    tests, page = Path(rest[0]), Path(rest[1])
    text = report(tests, " ".join(rest[2:]))
    page.write_text(text, encoding="utf-8")
    print(f"{page}: " + (re.search(r"\*\*(.+)\*\*", text) or ["", ""])[1])
    if "## Failed" in text or "did not start" in text:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
