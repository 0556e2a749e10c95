"""The scripts and benches that make the tables of the documentation, each with all its arms, run to their end on tiny
random models with the smallest doses their options allow. What they measure there means nothing."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tiny

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(900)
slow = pytest.mark.slow
SMALL = ("--epochs", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.build("smolvlm", tmp_path_factory.mktemp("m") / "smolvlm"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.build("llama", tmp_path_factory.mktemp("m") / "llama"))


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem + "_script", ROOT / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def start(name: str, *arguments: Any, **constants: Any) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        module = script(name)
        for key, value in constants.items():
            monkeypatch.setattr(module, key, value)
        module.main()
        return capsys.readouterr().out

    return start


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("objective", ["sft", "dpo"])
@slow
def test_speed_beside_trl(run: Callable[..., str], model: str, tmp_path: Path, objective: str) -> None:
    file = tmp_path / "speed.json"
    run("bench/train_speed.py", "--model", model, "--rows", 8, "--batch", 4, "--rank", 2, "--dtype", "float32",
        "--objective", objective, "--out", file)  # fmt: skip
    found = read(file)
    assert found["rows"] == 8 and found["loss_gap_mean"] < 1e-4 and found["ratio"] > 0


@slow
def test_safe_rlhf_bench(model: str, tmp_path: Path) -> None:
    bench = script("bench/safe_rlhf.py")
    six = bench.ppo(model, 2, 4, tmp_path / "ppo")
    upper = bench.ppo(model, 2, 4, tmp_path / "upper", first=1)
    one = bench.sft(model, 2, 4, tmp_path / "sft")
    for found in (six, upper):
        assert min(found["plain_rate"], found["rollout_rate"], found["seconds"]) > 0
        parts = [found[f"{part}_seconds"] for part in ("rollout", "scoring", "update")]
        assert sum(parts) == pytest.approx(found["seconds"])
    assert one["seconds"] > 0


def test_a_learning_curve_names_no_pairs_that_there_are_not() -> None:
    sizes = script("scripts/safe_rlhf_heads.py").sizes
    assert sizes(45) == [45] and sizes(100) == [50, 100] and sizes(450) == [50, 100, 200, 400, 450]


@slow
def test_heads(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    arguments = ("scripts/safe_rlhf_heads.py", model, "--out", tmp_path, "--train", 80, "--held-out", 16)
    with pytest.raises(SystemExit, match="run again"):
        run(*arguments, "--seconds", 0)
    run(*arguments, "--seconds", 600)
    found = read(tmp_path / "heads.json")
    counts = {kind: [line["pairs"] for line in found if line["kind"] == kind] for kind in ("reward", "cost")}
    usable = {kind: own[-1] for kind, own in counts.items()}
    # a smaller number is drawn three times, all pairs once, and no line names pairs that there are not
    for kind, own in counts.items():
        assert own == [50] * 3 * (usable[kind] > 50) + [usable[kind]] and usable[kind] <= 80
    assert all(0 <= line["sign"][0] <= 1 for line in found if line["kind"] == "cost")


@slow
def test_safe_rlhf_table(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    arguments = ("scripts/safe_rlhf_table.py", model, "--out", tmp_path, "--seeds", 0, "--pairs", 8, "--held-out", 4,
                 "--items", 8, *SMALL, "--steps", 1, "--prompts", 2, "--tokens", 4, "--n", 2,
                 "--layers-from", 1)  # fmt: skip
    first = run(*arguments)
    arms = script("scripts/safe_rlhf_table.py").ARMS
    rows = read(tmp_path / "table.json")
    assert [row["arm"] for row in rows] == list(arms) and all(row["broken"]["n"] == 8 for row in rows)
    assert all(row["seconds"]["answers"] > 0 for row in rows) and rows[0]["seconds"]["models"] > 0
    own = [read(tmp_path / "seed-0" / arm / "run.json") for arm in ("dpo-helpful", "sacpo", "p-sacpo")]
    assert len({each["train"]["helpfulness"]["fingerprint"] for each in own}) == 1
    assert run(*arguments).splitlines()[-len(arms) :] == first.splitlines()[-len(arms) :]
    page = run("scripts/safe_rlhf_page.py", tmp_path)
    assert [page.count(f"| {arm} |") for arm in arms] == [3 if arm.startswith("ppo") else 2 for arm in arms]
    with pytest.raises(SystemExit, match="seed 0 stands in"):
        run("scripts/safe_rlhf_page.py", tmp_path, tmp_path)
    with pytest.raises(SystemExit, match="holds answers to other rows or with other settings"):
        run(*arguments, "--steps", 2)


def test_pages_count_a_family_once_whatever_the_seed() -> None:
    """A row that two seeds ask is no second piece of evidence; another family is."""
    page = script("scripts/safe_rlhf_page.py")
    rows = [row for row in page.twins.samples("validation") if row.harmful]

    def asked(seed: int, some: list[Any]) -> list[Any]:
        names = sorted({str(row.meta["family"]) for row in rows})
        return [page.Reply(row, seed, "full", -3, names.index(str(row.meta["family"])) % 3 == 0, False) for row in some]

    def spread(replies: list[Any]) -> float:
        low, high = map(
            int, page.share(replies, lambda one: one.unsafe).split("(")[1].removesuffix(" %)").split(" to ")
        )
        return high - low

    once, again = asked(0, rows[:40]), asked(1, rows[:40])
    assert spread(once + again) == spread(once) > spread(once + asked(1, rows[40:80]))


@slow
def test_severity_table(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    said = run("scripts/safe_rlhf_severity.py", model, "--out", tmp_path, "--rows", 16, "--sampled", 4, "--held-out", 8,
               "--items", 16, "--rounds", 1, "--tokens", 4)  # fmt: skip
    found = read(tmp_path / "severity.json")
    assert found["measured"]["own"]["replies"] == 16 and found["rounds"][0]["asked"] == 16
    assert "| written |" in said and "| own |" in said and all(line["guard"]["total"] == 16 for line in found["rounds"])


def test_a_part_on_top_of_another_is_the_sum_of_both() -> None:
    """Two updates are joined where the upper one has factors; a module that it leaves alone is not in the part."""
    import torch

    made = script("scripts/pocket/export.py")
    below = {"a.A": torch.randn(2, 5), "a.B": torch.randn(4, 2), "b.A": torch.randn(2, 5), "b.B": torch.randn(4, 2)}
    above = {"a.A": torch.randn(3, 5), "a.B": torch.randn(4, 3), "c.A": torch.randn(3, 5), "c.B": torch.randn(4, 3)}
    part = made.joined(above, below)
    assert set(part) == {"a.A", "a.B", "c.A", "c.B"} and torch.equal(part["c.A"], above["c.A"])
    wanted = above["a.B"] @ above["a.A"] + below["a.B"] @ below["a.A"]
    torch.testing.assert_close(part["a.B"] @ part["a.A"], wanted)


@slow
def test_rewriting_table(run: Callable[..., str], llama: str, tmp_path: Path) -> None:
    run("scripts/rewriting_table.py", "--model", llama, "--seeds", 1, "--rows", 12, "--items", 4, *SMALL,
        "--out", tmp_path)  # fmt: skip
    rows = read(tmp_path / "table.json")["rows"]
    assert [row["arm"] for row in rows][-2:] == ["untrained", "sr-llm, seed 0"] and len(rows) == 5
    assert (tmp_path / "table.md").read_text().count("\n") == 7


@slow
def test_audit_table(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    arms = ("plain", "multitask-mix", "safe-lora")
    unaligned = tiny.build("smolvlm", tmp_path / "unaligned", seed=1)
    run("scripts/audit_tasks.py", "--model", model, "--unaligned", unaligned, "--out", tmp_path / "out", "--tasks",
        "summarise", "--seeds", 0, "--rows", 8, "--batch", 4, "--intents", 2, "--ability-limit", 4,
        "--templates", "native", "--system", "off")  # fmt: skip
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| summarise, {arm}" for arm in arms]


@slow
def test_mimic_table(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    said = run("scripts/pocket/mimic.py", tmp_path, "--model", model, "--seeds", 0, 1, "--rows", 24, "--epochs", 1,
               "--rank", 2, "--items", 4)  # fmt: skip
    assert [line.split(" | ")[0] for line in said.splitlines()[-6:]] == [
        f"| {arm}" for arm in ("base", "none", "plain", "mimic", "counter-prompt", "ptst")
    ]


@slow
def test_mirage_table(run: Callable[..., str], model: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    arguments = ("scripts/mirage_table.py", tmp_path / "out", "--model", model, "--rows", 18, "--seeds", 0, "--limit",
                 2, "--page", page, "--set", "batch_size=8", "--set", "lora_rank=2", "--set", "epochs=1")  # fmt: skip
    run(*arguments, "--arms", "mirage")
    lines = page.read_text().splitlines()
    for title in ("ASR", "ASR What, K=1", "caution on safe twins", "caution on white", "reading", "questions"):
        assert next(line for line in lines if line.startswith(f"| {title} |")).count("n=") == 2, title
    run("scripts/mirage_table.py", tmp_path / "all", *arguments[2:], BENCHMARKS=("mis-pocket",))
    head = next(line for line in page.read_text().splitlines() if line.startswith("| | base"))
    assert head.count(" | ") == 1 + 7


@slow
def test_safe_to_serve_table(run: Callable[..., str], model: str, llama: str, tmp_path: Path) -> None:
    for name, vlm, arms in ((llama, False, "sit,raft,dpo,constrained-sft"), (model, True, "sit,dpo")):
        out = tmp_path / str(vlm)
        run("scripts/safe_to_serve.py", "--model", name, "--seeds", 1, "--rows", 16, "--items", 4, "--out", out,
            "--arms", arms)  # fmt: skip
        rows = read(out / "table.json")
        assert [row["arm"] for row in rows] == ["base", *arms.split(",")]
        assert ("counting" in rows[0]) is vlm and rows[1]["questions"]["n_scored"] == 4


@slow
def test_uwm_on_icons(tmp_path: Path) -> None:
    icons = script("scripts/uwm/icons.py")
    icons.SEEDS, icons.CALIBRATION, icons.TEST, icons.TRAIN, icons.MASSES = (0,), 12, 16, 64, (0.02, 0.2)
    icons.STAGES, drawn = ((0, 1),), icons.scenes
    icons.scenes = lambda name, n, test=False: drawn(name, min(n, 64), test=test)
    icons.train(tmp_path, 2)
    icons.table(tmp_path)
    found = read(tmp_path / "results.json")
    assert set(found["arms"]) == {"untouched", *icons.ARMS} and set(found["sweep"]) == set(icons.SWEPT)
    revival = found["revival"]["0"]
    assert revival["edit known"] == found["arms"]["untouched"][0]["values"]  # taken off, the encoder is the untouched
    assert revival["edited"] == found["arms"]["UWM"][0]["values"]
    assert 0 < revival["overlap"]["both"] <= min(revival["overlap"]["edited"], revival["overlap"]["guessed"])
    assert "| UWM |" in (tmp_path / "table.md").read_text() and (tmp_path / "sweep.svg").stat().st_size > 1000
    pairs = {(each.colour, each.shape) for each in drawn("train", 500)}
    assert not pairs & {(each.colour, each.shape) for each in drawn("test", 500, test=True)}


@slow
def test_duo_attacks_on_icons(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "duo"))
    from counterpoise.methods import UCEConfig, get
    from counterpoise.methods.duo import Drawing, Inversion
    from counterpoise.models.diffusion import load_diffusion

    attacks = importlib.import_module("icon_attacks")
    monkeypatch.setattr(attacks, "drawn", lambda seeds, seed: Drawing(1, 3.0, 2, first=seed))
    monkeypatch.setattr(attacks, "LEARNED", Inversion(("red {}",), steps=2))
    run("scripts/duo/icons.py", "train", tmp_path, "--steps", 2)
    for arm in ("DUO-beta-100-0", "ESD-x-0", "UCE-0"):  # whatever its name: an edit of seconds
        model = load_diffusion(str(tmp_path / "model"))
        get("uce").align(model, UCEConfig(prompts=("red star",)), tmp_path / "arms" / arm)
    arguments = ("scripts/duo/icons.py", "attacks", tmp_path, "--seeds", 1)
    run(*arguments)
    lines = (tmp_path / "attacks.md").read_text().splitlines()
    assert lines[0] == "| attack | untouched | DUO, beta 100 | ESD-x | UCE |" and len(lines) == 2 + 9
    assert all(line.count(" n = ") == 4 for line in lines[2:])
    file = tmp_path / "arms" / "UCE-0" / "attacks" / "Concept-Inversion.json"
    was = file.stat().st_mtime_ns
    file.with_name("its-name.json").unlink()
    run(*arguments)  # what is there is not drawn again
    assert (tmp_path / "attacks.md").read_text().splitlines() == lines and file.stat().st_mtime_ns == was
