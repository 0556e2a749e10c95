"""The study from data to numbers, stage by stage: what is done is in the folder, and is not done again.

OUT/study.json            the size, and what made it
OUT/data/*.int16, *.json  rows and their headers
OUT/models/*.pt           checkpoints: pretrained, and one for each protocol and rate
OUT/measured/*.json       what each model does, and what is seen inside it
OUT/results.json          everything the report shows
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoise.base import InputError, environment, notice, only_process, read_json, write_json

from .. import _analyses as analyses
from ._gpt import GPT
from ._inside import inside_of, intervene, probe_soft
from ._measure import Scored, score
from ._rows import ATTACKS, Process, Rows, SetName, keys, load, save
from ._sizes import Size
from ._train import Protocol, pretrain_loss, pretraining, train, tune_loss, tuning

__all__ = ["PROTOCOLS", "RATES", "plan", "run"]

PROTOCOLS: tuple[Protocol, ...] = ("ssft", "dpo", "unlearning")
RATES = ("medium", "small")
TESTS: tuple[SetName, ...] = ("std_safe", "std_unsafe", *ATTACKS)


def plan(size: Size) -> list[tuple[str, str]]:
    """(stage, what it does), for `--dry-run`."""
    n, tuned = len(size.pcfgs), len(PROTOCOLS) * len(RATES)
    return [
        ("data", f"{n} x ({size.pretrain_rows:,} rows of pre-training, 2 x {size.tune_rows:,} of tuning, "
                 f"{2 + len(TESTS)} test sets of {size.test_rows:,})"),
        ("pre-training", f"{size.pretrain_steps:,} steps of {size.batch}: {size.layers} layers, width {size.width}"),
        ("safety tuning", f"{tuned} models ({', '.join(PROTOCOLS)}; rate {' and '.join(RATES)}), "
                          f"{size.tune_steps:,} steps each"),
        ("measuring", f"{1 + tuned} models: {len(TESTS)} sets, soft tokens, the five analyses"),
        ("report", "results.json"),
    ]  # fmt: skip


def run(size: Size, out: Path) -> dict[str, Any]:
    """All stages that are missing in `out`; returns what `results.json` holds.

    Raises InputError when the folder is that of another size or is in use.
    """
    with only_process(out):
        _claim(size, out)
        processes = [Process(pcfg, size) for pcfg in size.pcfgs]
        data = _data(size, processes, out / "data")
        base = _pretrained(size, processes, data, out / "models")
        models: dict[str, GPT] = {"pretrained": base}
        for protocol in PROTOCOLS:
            for rate in RATES:
                models[f"{protocol}-{rate}"] = _tuned(protocol, rate, base, size, data, out / "models")
        measured = {name: _measured(name, model, base, size, processes, data, out) for name, model in models.items()}
        mixed = _kept(out / "measured" / "intervention.json",
                      lambda: intervene(models, data, size.analysis_rows))  # fmt: skip
        results = {"size": size.model_dump(mode="json"), "models": measured, "intervention": mixed,
                   "training": {name: _log(out / "models" / f"{name}.pt") for name in models}}  # fmt: skip
        write_json(out / "results.json", results)
    return results


Data = Mapping[str, list[Rows]]


def _claim(size: Size, out: Path) -> None:
    file, wanted = out / "study.json", size.model_dump(mode="json")
    if file.is_file():
        found = read_json(file).get("size")
        if found != wanted:
            other = [key for key, value in wanted.items() if (found or {}).get(key) != value]
            raise InputError(f"{file}: another study is there (its {', '.join(other)} differ); give another --out")
        return
    write_json(file, {"size": wanted, "environment": environment()})


def _data(size: Size, processes: list[Process], folder: Path) -> Data:
    """Rows by set, one `Rows` per PCFG. Test rows are apart from what is trained on, by operators and text."""
    found: dict[str, list[Rows]] = {}
    for process in processes:
        k = process.operators.pcfg
        trained: dict[str, Rows] = {}
        wanted: tuple[tuple[SetName, int], ...] = (
            ("pretrain", size.pretrain_rows),
            ("safe", size.tune_rows),
            ("unsafe", size.tune_rows),
        )
        for name, n in wanted:
            trained[name] = _set(folder / f"{name}-{k}.int16", process, name, n, None)
        known: dict[str, set[bytes]] = {}

        def apart(kind: str, trained: dict[str, Rows] = trained, known: dict[str, set[bytes]] = known) -> set[bytes]:
            if kind not in known:
                sets = ("pretrain",) if kind == "pretrain" else ("safe", "unsafe")
                known[kind] = set().union(*(keys(trained[name], size) for name in sets))
            return known[kind]

        tests = {name: _set(folder / f"{name}-{k}.int16", process, name, size.test_rows, lambda: apart("tuned"))
                 for name in TESTS}  # fmt: skip
        held = _set(folder / f"pretrain-test-{k}.int16", process, "pretrain", size.test_rows, lambda: apart("pretrain"))
        made: dict[str, Rows] = {"pretrain-test": held, **trained}
        for test, rows in tests.items():
            made[test] = rows
        for test in TESTS[:2]:
            file, others = folder / f"{test}-validation-{k}.int16", keys(tests[test], size)
            made[f"{test}-validation"] = _set(
                file, process, test, size.test_rows, partial(_union, apart, others), seed=3
            )
        for key, rows in made.items():
            found.setdefault(key, []).append(rows)
    return found


def _union(apart: Callable[[str], set[bytes]], others: set[bytes]) -> set[bytes]:
    return apart("tuned") | others


def _set(
    file: Path, process: Process, name: SetName, n: int, apart: Callable[[], set[bytes]] | None, seed: int = 1
) -> Rows:
    if not file.with_suffix(".json").is_file():
        others = apart() if apart else set()
        save(process.rows(name, n, seed if apart is None else seed + 1, others, bar=n > 5000), file, process, name)
    return load(file, process, name)


def _pretrained(size: Size, processes: list[Process], data: Data, folder: Path) -> GPT:
    torch.manual_seed(size.seed)
    model = GPT(size)
    held = [rows.take(slice(0, 200)) for rows in data["pretrain-test"]]

    def check(model: GPT) -> dict[str, float]:
        found = [score(model, rows, process) for rows, process in zip(held, processes, strict=True)]
        return {"held_out_exact": sum(one.both for one in found) / sum(one.n for one in found)}

    loss = pretrain_loss(list(data["pretrain"]), size)
    train(model, loss, pretraining(size), folder / "pretrained.pt", "pre-training", seed=size.seed,
          save_every=size.save_every, check=check)  # fmt: skip
    return model.eval()


def _tuned(protocol: Protocol, rate: str, base: GPT, size: Size, data: Data, folder: Path) -> GPT:
    model = GPT(size)
    model.load_state_dict(base.state_dict())
    schedule = tuning(size, size.medium_rate if rate == "medium" else size.small_rate)
    name = f"{protocol}-{rate}"
    loss = tune_loss(protocol, list(data["safe"]), list(data["unsafe"]), size, base)
    train(model, loss, schedule, folder / f"{name}.pt", name, seed=size.seed + 1, save_every=size.save_every)
    return model.eval()


def _log(file: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = torch.load(file, map_location="cpu", weights_only=True)["log"]
    return found


def _measured(name: str, model: GPT, base: GPT, size: Size, processes: list[Process], data: Data,
              out: Path) -> dict[str, Any]:  # fmt: skip
    def measure() -> dict[str, Any]:
        notice(f"measuring {name}")
        sets = (*TESTS, "std_safe-validation", "std_unsafe-validation")
        scores = {each: scored(model, data[each], processes)._asdict() for each in sets}
        return {
            "scores": scores,
            "soft": probe_soft(model, data["std_unsafe"], size),
            "weights": None if model is base else weight_changes(base, model),
            **inside_of(model, base, data, size),
        }

    kept: dict[str, Any] = _kept(out / "measured" / f"{name}.json", measure)
    return kept


def scored(model: GPT, rows: list[Rows], processes: list[Process]) -> Scored:
    """Summed over the PCFGs."""
    each = [score(model, part, process) for part, process in zip(rows, processes, strict=True)]
    safe = [one.safe_output for one in each if one.safe_output is not None]
    return Scored(
        sum(one.n for one in each), sum(one.complied for one in each), sum(one.refused for one in each),
        sum(safe) if safe else None, sum(one.both for one in each), float(np.mean([one.token_match for one in each])),
    )  # fmt: skip


def weight_changes(base: GPT, tuned: GPT, top: int = 10) -> list[dict[str, Any]]:
    """Analysis 2 for W1 and W2 of every block; the mean column is subtracted from weight and change alike."""
    found = []
    for block, (before, after) in enumerate(zip(base.blocks, tuned.blocks, strict=True)):
        for name in ("w1", "w2"):
            old = before.get_submodule(name).weight.detach().double().numpy()  # type: ignore[operator]
            delta = after.get_submodule(name).weight.detach().double().numpy() - old  # type: ignore[operator]
            change = analyses.change_of(delta - delta.mean(1, keepdims=True))
            space = analyses.column_space(old)
            found.append({
                "block": block, "weight": name, "relative_norm": float(np.linalg.norm(delta) / np.linalg.norm(old)),
                "rank_90": change.rank_of(), "effective_rank": change.effective_rank, "full_rank": min(delta.shape),
                "kept_columns": space.shape[1], "rows": space.shape[0],
                "outside": analyses.outside(change.left[:, :top], space).tolist(),
                "outside_by_chance": analyses.by_chance(space),
            })  # fmt: skip
    return found


def _kept(file: Path, make: Callable[[], Any]) -> Any:
    if not file.is_file():
        write_json(file, make())
    return read_json(file)
