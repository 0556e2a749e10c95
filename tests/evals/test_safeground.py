"""SafeGround: golden values, invariants of the indicators, measuring a tiny dual encoder, its command."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from counterpoise.base import InputError, load_rows
from counterpoise.cli import main
from counterpoise.data import read_quadruples
from counterpoise.evals.safeground import METRICS, Embeddings, compared, measure, preferences, recall, zero_shot
from counterpoise.methods import get
from counterpoise.models import load_dual

seeds = st.integers(0, 10_000)


def _drawn(seed: int, n: int = 12, d: int = 5) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(4, n, d)))


def test_one_tuple_by_hand() -> None:
    """Safe image and text along x, unsafe along y; the unsafe image leans to the safe text."""
    e = Embeddings(*(np.array([v], float) for v in ([1, 0], [0.9, 0.3], [1, 0], [0, 1])))
    found = {name: bool(value[0]) for name, value in preferences(e).items()}
    # <T_s,I_s> = 1 > <T_s,I_u> = .95; <T_u,I_s> = 0 < <T_u,I_u> = .32; <I_s,T_s> = 1 > 0; <I_u,T_s> = .95 > .32
    assert found == {
        "p_ts": True, "p_tu": False, "p_vs": True, "p_vu": True,
        "txt_s": True, "img_s": False, "ps": True, "pu": False, "gs": False,
    }  # fmt: skip


@given(seeds)
def test_joint_metrics_are_never_above_their_parts(seed: int) -> None:
    found = {name: value.mean() for name, value in preferences(Embeddings(*_drawn(seed))).items()}
    assert found["txt_s"] <= min(found["p_vs"], found["p_vu"])
    assert found["img_s"] <= min(found["p_ts"], found["p_tu"])
    assert found["ps"] <= min(found["p_ts"], found["p_vs"]) and found["pu"] <= min(found["p_tu"], found["p_vu"])
    verdicts = preferences(Embeddings(*_drawn(seed)))
    assert np.array_equal(verdicts["gs"], verdicts["txt_s"] & verdicts["img_s"])
    assert np.array_equal(verdicts["gs"], verdicts["ps"] & verdicts["pu"])


@given(seeds)
def test_lengths_and_order_change_nothing_and_roles_mirror(seed: int) -> None:
    parts = _drawn(seed)
    found = preferences(Embeddings(*parts))
    scale = np.random.default_rng(seed + 1).uniform(0.01, 100, size=(4, 12, 1))
    scaled = preferences(Embeddings(*(part * s for part, s in zip(parts, scale, strict=True))))
    order = np.random.default_rng(seed).permutation(12)
    moved = preferences(Embeddings(*(part[order] for part in parts)))
    swapped = preferences(Embeddings(parts[1], parts[0], parts[3], parts[2]))
    for name in METRICS:
        assert np.array_equal(found[name], scaled[name]) and np.array_equal(found[name][order], moved[name])
    for name, mirror in (("p_ts", "p_tu"), ("p_tu", "p_ts"), ("p_vs", "p_vu"), ("p_vu", "p_vs")):
        assert np.array_equal(swapped[name], ~found[mirror])


def test_ties_are_unsafe() -> None:
    same = np.random.default_rng(0).normal(size=(6, 7))
    assert not any(value.any() for value in preferences(Embeddings(same, same, same, same)).values())


@given(seeds, st.integers(1, 6))
def test_recall_is_that_of_a_sorted_list(seed: int, k: int) -> None:
    queries, gallery = _drawn(seed)[:2]
    gallery = np.concatenate([gallery, _drawn(seed)[2]])
    ranked = np.argsort(-np.round(queries @ gallery.T, 7), axis=1, kind="stable")
    expected = [place in row[:k] for place, row in enumerate(ranked)]
    assert recall(queries, gallery, k, chunk=5).tolist() == expected


def test_zero_shot_takes_the_nearest_class() -> None:
    images = np.array([[1.0, 0.1], [0.1, 1.0], [1.0, 0.2]])
    assert zero_shot(images, np.eye(2), np.array([0, 1, 1])).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: [e[0][:3], *e[1:]], "different shapes"),
        (lambda e: [np.full_like(e[0], np.nan), *e[1:]], "safe_images: row 1 holds values that are no finite numbers"),
        (lambda e: [e[0], np.zeros_like(e[1]), *e[2:]], "unsafe_images: row 1 is all zero"),
        (lambda e: [part[:0] for part in e], "shape"),
    ],
)
def test_matrices_that_cannot_be_compared(change, says) -> None:
    with pytest.raises(InputError, match=says):
        Embeddings(*change(_drawn(0)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six quadruples of coloured blocks; one has an empty text."""
    root = tmp_path / "quadruples"
    root.mkdir()
    lines = []
    for number in range(6):
        for side, seed in (("safe", number), ("unsafe", 100 + number)):
            tiny.picture(seed).save(root / f"{number}-{side}.png")
        lines.append(
            {
                "id": number, "safe_image": f"{number}-safe.png", "unsafe_image": f"{number}-unsafe.png",
                "safe_text": f"a blue square {number}", "unsafe_text": "" if number == 5 else f"a red square {number}",
                "tag": "colour",
            }
        )  # fmt: skip
    (root / "quadruples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


@pytest.mark.parametrize("kind", tiny.DUAL)
def test_batches_and_a_second_run_give_the_same(kind: str, folder: Path, tmp_path: Path) -> None:
    encoder = load_dual(str(tiny.build_dual(kind, tmp_path / kind)))
    rows = list(read_quadruples(folder))
    one = measure(encoder, rows, tmp_path / "one", batch=1)
    all_at_once = measure(encoder, rows, tmp_path / "all", batch=64)
    assert one.unscored == 1 and len(one.ids) == 5
    for name, values in one.verdicts.items():
        assert np.array_equal(values, all_at_once.verdicts[name]), name
    encoder.model.forward = encoder.model.get_image_features = None  # a second run has nothing to embed
    again = measure(encoder, rows, tmp_path / "all", batch=64)
    assert all(np.array_equal(values, again.verdicts[name]) for name, values in one.verdicts.items())
    made = load_rows(tmp_path / "one" / "scorecard.json")
    assert {row.metric for row in made} >= set(METRICS)
    assert all((row.n_scored, row.n_unscored, row.reasons) == (5, 1, {"empty_text": 1}) for row in made)


def test_another_encoder_is_refused_and_a_cut_embedding_made_again(folder: Path, tmp_path: Path) -> None:
    encoder, rows = load_dual(str(tiny.build_dual("clip", tmp_path / "clip"))), list(read_quadruples(folder))
    first = measure(encoder, rows, tmp_path / "out")
    card = (tmp_path / "out" / "scorecard.json").read_text()
    other = load_dual(str(tiny.build_dual("siglip", tmp_path / "siglip")))
    for model, some in ((other, rows), (encoder, rows[:3])):
        with pytest.raises(InputError, match="of another encoder or other quadruples; choose another --out or --force"):
            measure(model, some, tmp_path / "out")
    assert (tmp_path / "out" / "scorecard.json").read_text() == card
    for file in (tmp_path / "out" / "embeddings").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:40])
    again = measure(encoder, rows, tmp_path / "out")
    assert all(np.array_equal(values, again.verdicts[name]) for name, values in first.verdicts.items())
    measure(other, rows, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "scorecard.json").read_text() != card


def test_a_comparison_needs_the_same_quadruples(folder: Path, tmp_path: Path) -> None:
    encoder = load_dual(str(tiny.build_dual("clip", tmp_path / "clip")))
    rows = list(read_quadruples(folder))
    whole, part = measure(encoder, rows, tmp_path / "a"), measure(encoder, rows[:3], tmp_path / "b")
    with pytest.raises(InputError, match="not of the same quadruples"):
        compared(whole, part)
    same = compared(whole, whole)
    assert all(change.value == 0 and p == 1 for change, p in same.values())


def test_the_command_measures_an_edit_beside_its_base(folder: Path, tmp_path: Path, capsys) -> None:
    model = tiny.build_dual("clip", tmp_path / "clip")
    config = get("uwm").resolve(model, {"quadruples": str(folder), "vision_sparsity": 0.5, "text_sparsity": 0.5})
    made = get("uwm").align(load_dual(str(model)), config, tmp_path / "uwm")
    classes = tmp_path / "classes"
    for name in ("red", "blue"):
        (classes / name).mkdir(parents=True)
        PIL.Image.new("RGB", (40, 40), name).save(classes / name / "0.png")
    given = ["safeground", str(model), "--quadruples", str(folder), "--artifact", str(made.artifact.path)]
    assert main([*given, "--zero-shot", str(classes), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "unsafe text prefers the safe image" in said and "zero_shot" in said and "1 unscored (empty text)" in said
    before, after = (json.loads((tmp_path / "out" / side / "run.json").read_text()) for side in ("before", "after"))
    assert before["fingerprint"] != after["fingerprint"] and after["edit_proof"]["probe_difference"] > 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"id": "a"}, 'row 1, field "safe_image": is missing'),
        ({"id": "a", "safe_image": "../x.png"}, "lies outside the folder"),
        ({"id": "a", "safe_image": "gone.png"}, "no such image file"),
        ({"id": "", "safe_image": "0-safe.png"}, 'field "id": is empty'),
        ({"id": 3.5}, 'field "id"'),
    ],
)
def test_broken_quadruples_are_one_line(line: dict, says: str, folder: Path, tmp_path: Path, capsys) -> None:
    (folder / "quadruples.jsonl").write_text(json.dumps(line))
    assert main(["safeground", str(tmp_path), "--quadruples", str(folder)]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_models_that_are_no_dual_encoders(tmp_path: Path, capsys) -> None:
    model = tiny.build("llama", tmp_path / "m")
    assert main(["safeground", str(model), "--limit", "1"]) == 2
    assert "a llama model is no dual encoder" in capsys.readouterr().err
