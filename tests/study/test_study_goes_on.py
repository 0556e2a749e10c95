"""A study that was stopped reads no prompt twice and ends with the same numbers; nothing is replaced silently."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_chat_models import adapter, folder  # noqa: F401 # fixtures

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.models import load
from counterpoise.runs import StudyConfig, study_directions, study_weights
from counterpoise.study import Kept, _states, look, prompts


@pytest.fixture
def passes(monkeypatch):
    """Counts passes, and ends the study after `limit` of them."""
    state = {"n": 0, "limit": None}
    real = _states._pass

    def counting(*args, **more):
        if state["n"] == state["limit"]:
            raise KeyboardInterrupt
        state["n"] += 1
        return real(*args, **more)

    monkeypatch.setattr(_states, "_pass", counting)
    return state


def test_kept_batches_are_those_of_the_same_model_prompts_and_change(folder, adapter, tmp_path, passes):  # noqa: F811
    loaded, rows = load(str(folder), dtype="float32"), prompts("validation", "print", 4).conversations
    kept, how = Kept(tmp_path), {"layers": True, "gradients": True, "batch": 3}
    first = look(loaded, rows, kept=kept, **how)
    again = look(loaded, rows, kept=kept, **how)
    assert passes["n"] == 3
    np.testing.assert_array_equal(first.states, again.states)
    np.testing.assert_array_equal(first.sensitivity, again.sensitivity)
    assert all((first.entering[path] == again.entering[path]).all() for path in first.entering) and first.entering

    cut = sorted(tmp_path.glob("*.npz"))[0]
    cut.write_bytes(cut.read_bytes()[:200])
    np.testing.assert_array_equal(look(loaded, rows, kept=kept, **how).states, first.states)
    assert passes["n"] == 4
    look(load(str(folder), dtype="float32", artifact=adapter), rows, kept=kept, **how)
    look(loaded, rows, kept=kept.under("ablated", np.ones(3)), **how)
    look(loaded, rows, kept=kept.under("ablated", np.zeros(3)), **how)
    look(loaded, rows, kept=kept, layers=True, batch=3)
    assert passes["n"] == 4 + 4 * 3


@pytest.mark.parametrize("what", ["weights", "directions"])
def test_a_stopped_study_goes_on(folder, adapter, tmp_path, passes, what):  # noqa: F811
    def study(out: Path, *, force: bool = False, **more):
        config = StudyConfig(str(folder), adapter, out, limit=4, batch=8, **more)
        return (study_weights if what == "weights" else study_directions)(config, force=force)

    study(tmp_path / "whole")
    whole = passes["n"]
    passes["limit"] = whole + 3
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "stopped")
    passes["limit"] = None
    report = study(tmp_path / "stopped")[1]
    assert passes["n"] == 2 * whole and report.is_file()
    assert not (tmp_path / "stopped" / "states").exists()
    first, second = (json.loads((tmp_path / name / f"{what}.json").read_text()) for name in ("whole", "stopped"))
    assert first == second

    study(tmp_path / "stopped")
    assert passes["n"] == 2 * whole
    with pytest.raises(InputError, match="of other models, modalities or limit; choose another --out or --force"):
        study(tmp_path / "stopped", modalities=("text",))
    assert json.loads((tmp_path / "stopped" / f"{what}.json").read_text()) == first
    study(tmp_path / "stopped", modalities=("text",), force=True)
    assert passes["n"] > 2 * whole


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["study", "directions", "MODEL", "--limit", "4"], ("states: train, print", "ablated and added", "8 passes")),
        (["study", "weights", "MODEL", "ADAPTER", "--limit", "4", "--alpha", "2"], ("with gradients", "alpha 2")),
        (["audit", "MODEL", "ADAPTER", "--limit", "2", "--stress"], ("tuned: audit-alpaca-system", "6 trials")),
        (["safeground", "MODEL", "--limit", "5"], ("quadruples: 5, so 10 images and 10 texts",)),
    ],
)
def test_a_dry_run_counts_and_does_nothing(folder, adapter, tmp_path, monkeypatch, capsys, command, said):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    names = {"MODEL": str(folder), "ADAPTER": str(adapter)}
    assert main([names.get(word, word) for word in command] + ["--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in said), shown
    assert not list(tmp_path.iterdir())
