"""SafeRoute between two guard models, as users have them: Llama Guard 3 in two sizes, tiny, through the commands."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_guards

import tiny
from counterpoise.chat import user
from counterpoise.cli import main
from counterpoise.guard import Exchange, make_guard
from counterpoise.guard.adapters import ModelGuard
from counterpoise.guard.saferoute import load_router, saferoute
from counterpoise.models import encode_row, load

N = 24
TEXTS = [f"{'red' if n % 2 else 'blue'} {'hard' if n % 4 > 1 else 'plain'} thing number {n}" for n in range(N)]
UNSAFE = [n % 2 == 1 for n in range(N)]
HARD = [n % 4 > 1 for n in range(N)]


def guard_model(family: str, folder: Path, says: Sequence[bool], width: int, layers: int, seed: int) -> str:
    """A tiny Llama whose output layer is fitted to its own hidden states, so that it answers with these verdicts."""
    import torch
    import transformers as t

    tok = tiny.tokenizer(**tiny_guards.LLAMA_HEADERS)
    tok.chat_template = None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = tiny._text(
            t.LlamaConfig, tok, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers
        )
        model = t.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    guard = ModelGuard(family, load(str(folder), dtype="float32"), explain="no")
    states = np.stack([v.features for v in guard.check([Exchange((user(text),)) for text in TEXTS])]).astype(np.float64)
    safe, unsafe, _ = guard._sides["prompt"]
    z = np.where(says, 3.0, -3.0)
    head = np.zeros((config.vocab_size, width))
    for token, wanted in ((safe[0], 15 - z), (unsafe[0], 15 + z)):
        head[token] = np.linalg.lstsq(states, wanted, rcond=None)[0]
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.from_numpy(head))
    model.save_pretrained(folder)
    return f"{family}:{folder}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("pair")
    weak = [unsafe != hard for unsafe, hard in zip(UNSAFE, HARD, strict=True)]
    small = guard_model("llama-guard-3-1b", root / "1b", weak, 32, 2, seed=1)
    return small, guard_model("llama-guard-3", root / "8b", UNSAFE, 48, 4, seed=2)


@pytest.fixture(autouse=True)
def precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is float32 on every machine: the fitted layer has no room for bfloat16. It knows the verdict's first token
    and no words behind it, so nothing is generated."""
    monkeypatch.setattr("counterpoise.models._load.resolve_dtype", lambda *_: "float32")
    monkeypatch.setitem(ModelGuard.__init__.__kwdefaults__, "explain", "no")


def test_a_1b_and_an_8b_guard_from_training_to_verdicts(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "rows.jsonl", tmp_path / "router"
    made = zip(TEXTS, UNSAFE, strict=True)
    data.write_text("\n".join(json.dumps({"prompt": t, "label": "unsafe" if u else "safe"}) for t, u in made))
    command = ["guard", "route", "train", *pair, "--data", str(data), "--out", str(out)]
    command += ["--rounds", "0", "--epochs", "60", "--held-out", "0.2"]
    assert main([*command, "--head", "none"]) == 2 and "head" in capsys.readouterr().err
    assert not (out / "router.json").exists()
    assert main([*command, "--head", "dropout"]) == 0
    said = capsys.readouterr().out
    assert f"saferoute:{out}" in said and "10 need" in said
    router = load_router(out)
    assert router.card["config"]["head"] == "dropout" and len(router.members) == 1
    assert (router.spec.dim, router.spec.pooling) == (32, "verdict position")

    routed = saferoute(str(out))
    exchanges = [Exchange((user(text),)) for text in TEXTS]
    alone, large = routed.small.check(exchanges), routed.large.check(exchanges)
    assert [v.label == "unsafe" for v in large] == UNSAFE
    assert [v.label == "unsafe" for v in alone] == [u != h for u, h in zip(UNSAFE, HARD, strict=True)]
    found = routed.check(exchanges)
    right = np.array([(v.label == "unsafe") == unsafe for v, unsafe in zip(found, UNSAFE, strict=True)])
    assert right.mean() >= 0.8  # the small guard alone has half; all but the four held-out rows were learned
    assert routed.sent == sum(v.guard == routed.large.id for v in found) <= 0.6 * N

    assert main(["guard", "route", "eval", str(out), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    for text in ("Oracle", "SafeRoute, tuned", "Entropy + BC, tuned", "Fusion 0.7/0.3", "better guard alone: large"):
        assert text in said
    result = json.loads((out / "eval" / "route.json").read_text())
    lines = {line["name"]: line for line in result["lines"]}
    assert result["hard"] == 12 and result["unseen"] == 0 and result["better"] == "large alone"
    assert lines["small alone"]["safety"]["accuracy"] == 0.5 and lines["large alone"]["safety"]["f1"] == 1.0
    assert lines["SafeRoute"]["usage"] == pytest.approx(routed.sent / N)
    assert lines["SafeRoute"]["safety"]["accuracy"] == pytest.approx(right.mean())
    assert (out / "eval" / "curve.svg").read_text().startswith("<svg")


def test_the_feature_is_the_hidden_state_that_predicts_the_verdict(pair: tuple[str, str]) -> None:
    """From transformers alone: final norm of the last layer at the last token, whose logits give P(unsafe)."""
    import torch

    guard = make_guard(pair[0], explain="no")
    guard = guard.inner  # behind the reader of texts
    assert isinstance(guard, ModelGuard)
    (verdict,) = guard.check([Exchange((user(TEXTS[3]),))])
    asked = guard._asked(guard._plan(Exchange((user(TEXTS[3]),))))[0]
    row = encode_row(guard.loaded, asked.prompt, add_generation_prompt=False)
    with torch.inference_mode():
        model = guard.loaded.model
        state = model.model(torch.tensor([row.ids])).last_hidden_state[0, -1]
        logits = model.lm_head(state).double()
    assert verdict.features == pytest.approx(state.numpy(), abs=1e-4)
    safe, unsafe, _ = guard._sides["prompt"]
    assert verdict.p_unsafe == pytest.approx(float(torch.sigmoid(logits[unsafe[0]] - logits[safe[0]])), abs=1e-4)
