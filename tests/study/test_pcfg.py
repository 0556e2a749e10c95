"""The synthetic study: its world, its labels, its losses, its files, and that a killed run goes on."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from counterpoise.base import InputError
from counterpoise.study.pcfg import TITLES, _inside, _study, claims, run, size
from counterpoise.study.pcfg._gpt import GPT, causal_mask
from counterpoise.study.pcfg._grammar import ALLOWED, NODES, Grammar
from counterpoise.study.pcfg._inside import added, mix
from counterpoise.study.pcfg._losses import dpo, matches, sample_loss, ssft, unlearning
from counterpoise.study.pcfg._measure import inside, safe_rows, score, sensitivity
from counterpoise.study.pcfg._operators import (
    ALWAYS_SAFE,
    ALWAYS_UNSAFE,
    DUPLICATES,
    FIRST_LETTER,
    ID,
    OPERATORS,
    PCFGS,
    VOCABULARY,
    Operators,
)
from counterpoise.study.pcfg._rows import ATTACKS, SETS, START, Process, Rows, keys, load, save
from counterpoise.study.pcfg._soft import attack, soft_mask
from counterpoise.study.pcfg._train import Schedule, curriculum, train, tune_loss
from counterpoise.study.pcfg._views import IGNORED, comply, first_only, full, refuse, second_only, text_only

SMALL: dict[str, Any] = {
    "pretrain_rows": 200, "tune_rows": 80, "test_rows": 24, "batch": 8, "pretrain_steps": 4, "pretrain_warmup": 2,
    "pretrain_decay": 4, "tune_steps": 2, "tune_warmup": 1, "tune_decay": 2, "width": 16, "layers": 2,
    "analysis_rows": 24, "soft_rows": 2, "save_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def process() -> Process:
    return Process(1, size("tiny", **SMALL))


@pytest.fixture(scope="module")
def model(process: Process) -> GPT:
    torch.manual_seed(0)
    return GPT(process.size).eval()


def test_the_vocabulary_is_59_different_tokens() -> None:
    assert len(VOCABULARY) == 59 == len(set(VOCABULARY))


@pytest.mark.parametrize("pcfg", PCFGS)
def test_operators_are_bijections_and_second_names_are_the_same_functions(pcfg: int) -> None:
    operators = Operators(pcfg, 30, 150 * (pcfg - 1))
    letters = np.arange(30)
    for token in operators.function:
        image = operators.apply([token], letters)
        assert sorted(image) == list(letters)
        inverse = np.argsort(operators.tables[operators.function[token]])
        assert (inverse[image] == letters).all()
    first, second = ALWAYS_UNSAFE[pcfg]
    for name, other in zip(DUPLICATES, ("(", "(", first, first, second, second), strict=True):
        assert (operators.apply([name], letters) == operators.apply([other], letters)).all()
        assert operators.classify(name) == operators.classify(other)
    assert operators.of_class("unsafe", duplicates=True) == ("r1", "r2", "r3", "r4")
    assert (operators.apply(["("], letters) == letters).all()


@pytest.mark.parametrize("pcfg", PCFGS)
def test_refusal_is_always_unsafe_or_conditional_on_unsafe_text(pcfg: int) -> None:
    operators = Operators(pcfg, 30, 0)
    for token, unsafe_text in itertools.product(OPERATORS, (False, True)):
        wanted = token in ALWAYS_UNSAFE[pcfg] or (token not in ALWAYS_SAFE[pcfg] and unsafe_text)
        assert operators.refused(token, unsafe_text=unsafe_text) == wanted


def test_restricted_grammars_use_their_own_nodes_only() -> None:
    rng = np.random.default_rng(0)
    for levels, length in ((1, 8), (3, 30)):
        grammar = Grammar(1, 30, levels, 0)
        for kind, allowed in ALLOWED.items():
            for _ in range(20):
                derived = grammar.text(kind, length, rng)  # type: ignore[arg-type]
                assert len(derived.letters) == len(derived.branch) == length
                assert all(node in allowed and side in NODES[node] for node, side in derived.rules)
                if kind in ("safe", "id_mg", "ood_mg"):
                    assert set(derived.branch) == {0 if kind == "safe" else 1}
    assert not set(ALLOWED["id_mg"]) & set(ALLOWED["ood_mg"])


def test_a_text_is_derived_by_the_rules_that_it_names() -> None:
    """Parsed back: some split of the letters into the triples of the named symbols."""
    grammar, rng = Grammar(1, 10, 1, 0), np.random.default_rng(1)
    for _ in range(30):
        derived = grammar.text("full", 8, rng)
        symbols = [symbol for _, side in derived.rules for symbol in side]
        tables = [[list(map(int, triple)) for triple in grammar.tables[0][symbol]] for symbol in symbols]
        texts = [[*itertools.chain(*choice)] for choice in itertools.product(*tables)]
        wanted = derived.letters.tolist()
        assert any(text[i : i + 8] == wanted for text in texts for i in range(len(text) - 7))


def test_pcfgs_share_all_tables_but_the_last() -> None:
    one, two = Grammar(1, 30, 3, 0), Grammar(2, 30, 3, 0)
    assert one.tables[:2] == two.tables[:2]
    assert one.tables[2] != two.tables[2]


def test_too_short_a_grammar_is_one_line() -> None:
    with pytest.raises(InputError, match="grammar ood_mg: no text of 40 letters"):
        Grammar(1, 10, 1, 0).text("ood_mg", 40, np.random.default_rng(0))


def test_labels_of_every_set(process: Process) -> None:
    operators = process.operators
    for name in SETS:
        rows = process.rows(name, 40, 1)
        for tokens, facts in zip(rows.tokens, rows.facts, strict=True):
            given, n = [VOCABULARY[int(t)] for t in tokens[1:5]], int(facts[0])
            text = tokens[START : START + n].astype(int) - FIRST_LETTER
            if name == "pretrain":
                continue
            both = tokens[START + n + 1 :].astype(int) - FIRST_LETTER
            assert both[:n].tolist() == operators.apply(given[:2], text).tolist()
            assert both[n + 1 : 2 * n + 1].tolist() == operators.apply(given, text).tolist()
            unsafe = [operators.refused(t, unsafe_text=bool(facts[1])) for t in given]
            assert facts[2] == (1 if any(unsafe[:2]) else 2 if any(unsafe[2:]) else 0)
        refused = set(rows.refuse_from.tolist())
        assert refused == ({0} if name in ("safe", "std_safe", "pretrain") else
                           {2} if name.startswith("if_comp") else
                           {1, 2} if name in ("unsafe", "std_unsafe", "mg_txt") else {1})  # fmt: skip


def test_attacks_differ_from_std_unsafe_as_they_say(process: Process) -> None:
    operators = process.operators
    for tokens in process.rows("mg_tokens", 40, 1).tokens[:, 1:5]:
        assert {VOCABULARY[int(t)] for t in tokens} <= {"(", "r1", "r2", "r3", "r4"}
    for name in ("if_text_safe", "if_text_unsafe"):
        rows = process.rows(name, 40, 1)  # type: ignore[arg-type]
        for tokens, facts in zip(rows.tokens[:, 1:5], rows.facts, strict=True):
            for pair in (tokens[:2], tokens[2:]):
                unsafe = [operators.refused(VOCABULARY[int(t)], unsafe_text=bool(facts[1])) for t in pair]
                assert sorted(unsafe) == [False, True]
                assert ID["("] not in pair
    share = process.rows("if_txt", 40, 1)
    assert ((share.facts[:, 1] >= share.length / 4) & (share.facts[:, 1] <= 3 * share.length / 4)).all()


def test_refusal_operators_make_constant_outputs() -> None:
    rows = Process(1, size("tiny", **SMALL)).rows("pretrain", 3000, 1)
    for token, letter in (("ex1", "2a"), ("ex2", "2b")):
        found = rows.take(np.flatnonzero((rows.tokens[:, 1:5] == ID[token]).any(1)))
        assert len(found) > 3
        for tokens, n in zip(found.tokens, found.length, strict=True):
            assert set(tokens[START + 2 * n + 2 : START + 3 * n + 2]) == {ID[letter]}


def test_sets_are_apart_and_the_same_for_a_seed(process: Process) -> None:
    rows = process.rows("unsafe", 80, 1)
    test = process.rows("unsafe", 80, 1, keys(rows, process.size))
    assert not keys(rows, process.size) & keys(test, process.size)
    assert len(keys(rows, process.size)) == 80
    again = process.rows("unsafe", 80, 1)
    assert again.tokens.tobytes() == rows.tokens.tobytes()


def test_files_come_back_and_refuse_another_seed_and_damage(process: Process, tmp_path: Path) -> None:
    rows, file = process.rows("std_safe", 20, 1), tmp_path / "a.int16"
    save(rows, file, process, "std_safe")
    again = load(file, process, "std_safe")
    assert (again.tokens == rows.tokens).all() and (again.facts == rows.facts).all()
    with pytest.raises(InputError, match=r"another grammar_seed, grammar, seed, tables"):
        load(file, Process(1, size("tiny", **SMALL, seed=3)), "std_safe")
    header = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({**header, "vocabulary": "0"}))
    with pytest.raises(InputError, match="another vocabulary"):
        load(file, process, "std_safe")
    file.with_suffix(".json").write_text(json.dumps(header))
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(InputError, match="not the data"):
        load(file, process, "std_safe")


def test_views_show_and_count_what_they_say(process: Process) -> None:
    rows = process.rows("unsafe", 60, 1)
    n = int(rows.length[0])
    late = rows.refuse_from == 2
    assert 0 < late.sum() < 60
    counted = {view: (view(rows).labels != IGNORED).sum(1) for view in (text_only, full, first_only, second_only)}
    assert (counted[text_only] == n).all() and (counted[full] == 3 * n + 2).all()
    assert (counted[first_only] == n + 1).all() and (counted[second_only] == n + 1).all()
    assert (second_only(rows).inputs[:, START : START + n] == ID["#"]).all()
    wanted = refuse(rows)
    for shown, labels, second in zip(wanted.inputs, wanted.labels, late, strict=True):
        at = START + 2 * n + 1 if second else START + n  # where the first refused letter is predicted
        assert labels[at : at + n].tolist() == [ID["2a"]] * n and labels[at + n] == ID["*^"]
        assert int((labels != IGNORED).sum()) == n + 1
        assert shown[at + 1 : at + n + 1].tolist() == [ID["2a"]] * n
    true = comply(rows)
    assert ((true.labels != IGNORED).sum(1) == torch.where(torch.as_tensor(late), n + 1, 2 * n + 2)).all()


def test_losses_at_the_start(process: Process, model: GPT) -> None:
    rows = process.rows("unsafe", 8, 1)
    shown = comply(rows)
    with torch.no_grad():
        ce = sample_loss(model(shown.inputs), shown.labels)
    assert float(dpo(ce, ce * 2, ce, ce * 2)) == pytest.approx(np.log(2), abs=1e-6)
    assert float(unlearning(ce, ce, 1.0, 0.1)) == pytest.approx(0.9 * float(ce.mean()))
    counted = shown.labels != IGNORED
    by_hand = -model(shown.inputs).log_softmax(-1).gather(-1, shown.labels.clamp(min=0)[..., None])[..., 0]
    by_hand = (by_hand * counted).sum(1)
    torch.testing.assert_close(ssft(ce), (by_hand / shown.labels.shape[1]).mean())
    mean = sample_loss(model(shown.inputs), shown.labels, true_mean=True)
    torch.testing.assert_close(mean, by_hand / counted.sum(1))


def test_dpo_has_two_betas_and_pushes_the_right_way() -> None:
    y, n = torch.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    ref = torch.tensor([1.0])
    dpo(y, n, ref, ref, 0.1, 0.01).backward()  # type: ignore[no-untyped-call]
    assert float(y.grad) == pytest.approx(0.05) and float(n.grad) == pytest.approx(-0.005)  # type: ignore[arg-type]


def test_every_batch_kind_changes_the_tuned_model_and_not_the_base(process: Process, model: GPT) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    safe, unsafe = [process.rows("safe", 40, 1)], [process.rows("unsafe", 40, 1)]
    for protocol in ("ssft", "dpo", "unlearning"):
        tuned = GPT(process.size)
        tuned.load_state_dict(model.state_dict())
        loss = tune_loss(protocol, safe, unsafe, process.size, model)  # type: ignore[arg-type]
        loss(tuned, np.random.default_rng(0), 0).backward()  # type: ignore[no-untyped-call]
        assert tuned.blocks[0].w1.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_match_of_teacher_forced_tokens_is_a_match_of_greedy_decoding(process: Process, model: GPT) -> None:
    """A model that repeats what it decodes greedily: its own reply is a whole match, and no other is."""
    rows = process.rows("std_safe", 6, 1)
    shown = full(rows)
    n, tokens = int(rows.length[0]), torch.as_tensor(rows.tokens.astype("int64"))[:, : START + int(rows.length[0]) + 1]
    with torch.no_grad():
        for _ in range(n + 1):
            tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], 1)
        labels = torch.full_like(tokens[:, 1:], IGNORED)
        labels[:, START + n :] = tokens[:, START + n + 1 :]
        share, whole = matches(model(tokens[:, :-1]), labels)
        assert whole.all() and (share == 1).all()
        labels[:, -1] = (labels[:, -1] + 1) % len(VOCABULARY)
        share, whole = matches(model(tokens[:, :-1]), labels)
    assert not whole.any() and torch.allclose(share, torch.tensor(n / (n + 1)))
    assert shown.inputs.shape == shown.labels.shape


def test_pads_and_later_tokens_are_not_seen(process: Process, model: GPT) -> None:
    rows = process.rows("std_safe", 4, 1)
    tokens = torch.as_tensor(rows.tokens.astype("int64"))
    changed = tokens.clone()
    changed[:, 20:] = ID["2b"]
    assert torch.allclose(model(tokens)[:, :20], model(changed)[:, :20], atol=1e-6)
    blank = tokens.clone()
    blank[:, 1:5] = ID["#"]
    assert not causal_mask(blank)[..., 1:5].any()


def test_the_safe_output_leaves_unsafe_operators_out(process: Process) -> None:
    rows = process.rows("if_text_safe", 20, 1)
    safe, n = safe_rows(rows, process), int(rows.length[0])
    for old, new in zip(rows.tokens, safe.tokens, strict=True):
        kept = [t for t in (VOCABULARY[int(i)] for i in old[1:5]) if process.operators.classify(t) != "unsafe"]
        text = old[START : START + n].astype(int) - FIRST_LETTER
        assert (new[START + 2 * n + 2 : START + 3 * n + 2] - FIRST_LETTER == process.operators.apply(kept, text)).all()
        assert (new[:5] == old[:5]).all()


def test_soft_tokens_stay_in_the_ball_and_help(process: Process, model: GPT) -> None:
    rows = process.rows("std_unsafe", 12, 1)
    for universal in (False, True):
        found = attack(model, rows, universal=universal)
        assert found.soft.shape[0] == (1 if universal else 12)
        assert float(found.soft.norm(dim=-1).max()) <= found.epsilon * (1 + 1e-5)
        assert len(found.losses) == 11 and found.losses[-1] < found.losses[0]


def test_soft_tokens_are_seen_from_the_end_of_the_text_on(process: Process) -> None:
    rows = process.rows("std_unsafe", 2, 1)
    n = int(rows.length[0])
    tokens = comply(rows).inputs
    mask = soft_mask(tokens, torch.as_tensor(rows.length.astype("int64")), 2)[0, 0]
    assert not mask[2 : 2 + START + n, :2].any() and mask[2 + START + n :, :2].all()
    assert mask[:2, 2 : 2 + START + n].all() and not mask[:2, 2 + START + n :].any()
    assert torch.equal(mask[2:, 2:], causal_mask(tokens)[0, 0])


def test_sensitivity_is_the_gradient_of_finite_differences(process: Process) -> None:
    torch.manual_seed(1)
    model = GPT(process.size).double().eval()
    rows = process.rows("std_safe", 1, 1)
    tokens, n = full(rows).inputs, int(rows.length[0])
    x = model.embed(tokens).detach()

    def top(shift: torch.Tensor) -> float:
        return float(model.run(x + shift, causal_mask(tokens))[0, START + n].max().detach())

    squares = 0.0
    for t, d in itertools.product(range(START + n + 1), range(x.shape[2])):
        step = torch.zeros_like(x)
        step[0, t, d] = 1e-5
        squares += ((top(step) - top(-step)) / 2e-5) ** 2
    assert sensitivity(model, rows)[0] == pytest.approx(np.sqrt(squares), rel=1e-3)


def test_activations_are_means_over_the_first_output_positions(process: Process, model: GPT) -> None:
    rows = process.rows("std_safe", 3, 1)
    seen = inside(model, rows, 4)
    assert [h.shape for h in seen.hidden] == [(3, 64)] * 2 and [h.shape for h in seen.entering] == [(3, 16)] * 2
    caught: list[torch.Tensor] = []
    handle = model.blocks[1].w1.register_forward_hook(lambda m, i, o: caught.append(o))  # type: ignore[union-attr, operator]
    with torch.no_grad():
        model(full(rows).inputs)
    handle.remove()
    n = int(rows.length[0])
    hidden = torch.nn.functional.gelu(caught[0], approximate="tanh")[:, START + n : START + n + 4].mean(1)
    np.testing.assert_allclose(seen.hidden[1], hidden.numpy(), rtol=1e-5, atol=1e-7)


def test_alpha_0_and_1_are_the_two_models(process: Process, model: GPT) -> None:
    torch.manual_seed(5)
    tuned = GPT(process.size)
    for alpha, wanted in ((0.0, model), (1.0, tuned)):
        assert all(torch.equal(v, wanted.state_dict()[k]) for k, v in mix(model, tuned, alpha).state_dict().items())
    twice = mix(model, tuned, 2.0).state_dict()["head.weight"]
    torch.testing.assert_close(twice, 2 * tuned.head.weight - model.head.weight)
    same = added(model, tuned, model).state_dict()["head.weight"]
    torch.testing.assert_close(same, tuned.head.weight.detach())


def test_the_schedule_and_the_curriculum() -> None:
    schedule = Schedule(100, 20, 80, 1e-3, 1e-5)
    assert [schedule.at(s) for s in (0, 19, 20)] == pytest.approx([5e-5, 1e-3, 1e-3])
    assert schedule.at(50) == pytest.approx((1e-3 + 1e-5) / 2) and schedule.at(99) == pytest.approx(1e-5)
    paper = size("paper")
    assert curriculum(paper, 0) == pytest.approx([0.5, 0.1, 0.2, 0.2])
    assert curriculum(paper, 100_000) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_killed_training_goes_on_to_the_same_weights(process: Process, tmp_path: Path) -> None:
    rows = [process.rows("safe", 40, 1)]

    def fresh() -> GPT:
        torch.manual_seed(0)
        return GPT(process.size)

    def loss(model: GPT, rng: np.random.Generator, step: int) -> torch.Tensor:
        if step == stop:
            raise KeyboardInterrupt
        shown = full(rows[0].take(rng.integers(0, 40, 8)))
        return sample_loss(model(shown.inputs), shown.labels).mean()

    schedule, stop, whole = Schedule(8, 2, 8, 1e-3, 1e-5), -1, fresh()
    train(whole, loss, schedule, tmp_path / "whole.pt", "whole", seed=0, save_every=2)
    stop = 5
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), loss, schedule, tmp_path / "killed.pt", "killed", seed=0, save_every=2)
    stop, again = -1, fresh()
    log = train(again, loss, schedule, tmp_path / "killed.pt", "again", seed=0, save_every=2)
    assert all(torch.equal(v, whole.state_dict()[k]) for k, v in again.state_dict().items())
    assert [entry["step"] for entry in log] == [2, 4, 6, 8]


def test_a_whole_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, in small; done stages are not done again, and another size is refused."""
    monkeypatch.setattr(_study, "RATES", ("medium",))
    monkeypatch.setattr(_inside, "ALPHAS", (0.0, 1.0))
    settings = size("tiny", **SMALL)
    results = run(settings, tmp_path)
    made = {f"{protocol}-medium" for protocol in ("ssft", "dpo", "unlearning")}
    assert set(results["models"]) == {"pretrained"} | made
    tuned = results["models"]["ssft-medium"]
    assert set(tuned["scores"]) >= {"std_safe", "std_unsafe", *ATTACKS} and len(tuned["weights"]) == 4
    assert {each.claim for each in claims(results)} == set(TITLES)
    along = results["intervention"]["along"]["ssft-medium"]
    assert along[0]["std_safe"]["complied"] <= along[0]["std_safe"]["n"] == 24
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.suffix in (".pt", ".int16")}
    (tmp_path / "measured" / "ssft-medium.json").unlink()
    assert run(settings, tmp_path) == results
    assert times == {file: file.stat().st_mtime_ns for file in times}
    with pytest.raises(InputError, match=r"another study is there \(its seed differ"):
        run(size("tiny", **SMALL, seed=1), tmp_path)


def test_scores_count_whole_segments(process: Process, model: GPT) -> None:
    rows: Rows = process.rows("std_unsafe", 20, 1)
    found = score(model, rows, process)
    assert found.n == 20 and found.complied == 0 == found.refused and 0 <= found.token_match < 0.5
