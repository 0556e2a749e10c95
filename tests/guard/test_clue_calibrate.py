"""Wordings of the token query, and constants fitted to a model on labelled images."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clue_judge import BIG, SMALL, Boxes, Scripted, image, made

import tiny
from counterpoise.base import InputError
from counterpoise.evals.stats import auc
from counterpoise.guard.clue import (
    PAPER,
    PAPER_WORDING,
    WORDINGS,
    Calibration,
    Clue,
    Constants,
    EngineAsker,
    LabelledImage,
    Query,
    Reading,
    Settings,
    Wording,
    calibrate_judge,
    decide,
    load_calibration,
    load_constitution,
    make_clue,
    parse_constitution,
    save_constitution,
)
from counterpoise.guard.clue._constants import (
    CENTRES,
    SAFE,
    UNKNOWN,
    UNSAFE,
    f1,
    fit_constants,
    signals,
    undecided,
)
from counterpoise.guard.clue._decide import bound
from counterpoise.models import Engine, load

RULE = {"id": "r", "text": "a dog", "preconditions": ["a dog is visible", "the dog sits"]}

# Wordings


def _asked(wording: Wording, content: str) -> str:
    [question] = wording.questions(content)
    return question


def test_a_wording_asks_in_its_own_form_and_keeps_the_content():
    question = WORDINGS["question"]
    assert _asked(question, "a dog and a cake are visible") == "Is there a dog and a cake in the picture?"
    assert _asked(question, "Scissors are visible.") == "Is there Scissors in the picture?"
    assert "the dog sits at the table" in _asked(question, "the dog sits at the table")
    paper = _asked(PAPER_WORDING, "a dog {things} is visible")
    assert paper.endswith("Content: a dog {things} is visible") and 'Answer "Yes" or "No"' in paper
    assert PAPER_WORDING.reasoning("x").endswith("Think step by step. Content: x")
    assert len({wording.version for wording in WORDINGS.values()}) == len(WORDINGS)
    three = WORDINGS["three-questions"].questions("a dog is visible")
    assert len(three) == 3 and all("a dog" in one and "visible" not in one for one in three)
    assert Wording(presence="Is {things} here?").questions("a dog is shown") == ("Is a dog here?",)
    for bad in ({"token": "Is it visible?"}, {"token": "{content} {content}"}, {"presence": "{content}?"}):
        with pytest.raises(ValueError, match="once"):
            Wording(**bad)


def test_the_wording_is_a_setting_of_the_constitution_by_model_type(tmp_path):
    own = {"token": "See {content}?", "prior": "blank"}
    one = parse_constitution({"rules": [RULE], "wording": {"default": "content-first", "llava": own}}, "test")
    assert one.wording_for("llava") == Wording(**own) and one.wording_for("gemma3") == WORDINGS["content-first"]
    plain = made(RULE)
    assert plain.wording_for("llava") == PAPER_WORDING and plain.hash != one.hash
    named = parse_constitution({"rules": [RULE], "wording": "question"}, "test")
    assert named.wording_for("anything") == WORDINGS["question"]
    save_constitution(tmp_path / "c.yaml", one)
    assert load_constitution(tmp_path / "c.yaml") == one
    save_constitution(tmp_path / "p.yaml", plain)
    assert "wording" not in yaml.safe_load((tmp_path / "p.yaml").read_text())
    for bad, message in (("papr", "did you mean 'paper'"), ({"llava": {"token": "no place"}}, "llava, token")):
        with pytest.raises(InputError, match=message):
            parse_constitution({"rules": [RULE], "wording": bad}, "test")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(tiny.build("smolvlm", tmp_path_factory.mktemp("m") / "m")), dtype="float32", device="cpu")


def asker(loaded, **more) -> EngineAsker:
    letters = {"yes": ("Y",), "no": ("N",)}
    return EngineAsker(Engine(loaded), spellings=letters, reasoning_tokens=4, summary_tokens=4, **more)


def test_a_blank_image_stands_for_none_where_the_wording_says_so(loaded):
    """M of the prior is that of the same question beside a white picture; the paper's has no image token."""
    from PIL import Image as Picture

    from counterpoise.chat import Image
    from counterpoise.models import encode_row

    token, bare = loaded.model.config.image_token_id, asker(loaded)
    blank = bare.asking(WORDINGS["paper-blank"])
    query = Query(None, "a dog")
    assert token not in encode_row(loaded, bare._talks(query)[0], add_generation_prompt=True).ids
    assert token in encode_row(loaded, blank._talks(query)[0], add_generation_prompt=True).ids
    white = Image.from_pil(Picture.new("RGB", (64, 64), "white"))
    [none], [seen], [same] = bare.read([query]), blank.read([query]), bare.read([Query(white, "a dog")])
    assert seen.m == pytest.approx(same.m, abs=1e-4) and seen.m != pytest.approx(none.m, abs=1e-4)
    assert bare.read([query]) == [none]  # kept apart, though they share what is kept


def test_of_several_forms_of_a_question_the_mean_counts(loaded):
    forms = ["Is there {things} in the picture?", "See {things}?"]
    apart = [asker(loaded, wording=Wording(presence=form)) for form in forms]
    both = asker(loaded, wording=Wording(presence=tuple(forms), prior="blank"))
    query = Query(image(1), "a dog is visible")
    one, other = (each.read([query])[0] for each in apart)
    [found], [prior] = both.read([query]), both.read([Query(None, query.content)])
    assert found == pytest.approx(((one.m + other.m) / 2, (one.mass + other.mass) / 2), abs=1e-5)
    assert one.m != pytest.approx(other.m, abs=1e-4) and prior != found


def test_a_reply_without_a_rating_is_asked_again_for_one_word(loaded):
    """With the reasoning in view, by the logits of yes and no; nothing is guessed from little mass or no reasoning."""
    from counterpoise.chat import user

    one, seen = asker(loaded), []
    plain = one.ask
    one.ask = lambda talks: seen.extend(talks) or plain(talks)  # type: ignore[method-assign]
    rated = one.reason([Query(image(1), "a dog"), Query(image(2), "a cat")])
    assert [r.yes for r in rated] == [None, None] and all(r.again is not None for r in rated)
    assert [talk[-1] for talk in seen] == [user(_asked(PAPER_WORDING, c)) for c in ("a dog", "a cat")]
    assert all([m.role for m in talk] == ["user", "assistant", "user"] and talk[1].text for talk in seen)
    for r in rated:
        assert r.answer(0.0) == (r.again.m > 0.5) and r.answer(0.99) is None
    naive = asker(loaded, shared=False).reason([Query(image(1), "a dog")])
    assert naive[0].again.m == pytest.approx(rated[0].again.m, abs=1e-4)


# What the constants mean


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 0.999), st.floats(-1, 1), st.floats(-1, 1))
def test_bounds_move_from_the_prior_into_the_room_on_either_side(m, prior, low, high):
    low, high = min(low, high), max(low, high)
    constants = Constants(absent=1 + low, shown=high)
    edges = [prior + t * (1 - prior) if t > 0 else prior + t * prior for t in (low, high)]
    if min(abs(m - edge) for edge in edges) > 1e-9:
        expected = "no" if m < edges[0] else "yes" if m > edges[1] else "reason"
        assert decide(m, prior, constants=constants).decision == expected
    assert bound(prior, -1) == 0 and bound(prior, 1) == pytest.approx(1)


def test_constants_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="yes and no at once"):
        Constants(absent=1.5, shown=0.3)
    with pytest.raises(InputError, match="shown 1.2: must lie between -1 and 1"):
        Constants(shown=1.2)


# Fitting


TEXTS = [f"c{n}" for n in range(6)]


def random_case(rng: random.Random, number: int):
    """Rules, tables of M, boxes: everything that a judge asks for, drawn at random."""
    rules = []
    for n in range(rng.randint(1, 3)):
        parts = [
            rng.choice(TEXTS) if rng.random() < 0.6 else {"any": rng.sample(TEXTS, rng.randint(1, 3))}
            for _ in range(rng.randint(1, 3))
        ]
        flat = [t for part in parts for t in (part["any"] if isinstance(part, dict) else [part])]
        rules.append({"id": f"r{n}", "text": "x", "preconditions": parts, "central": [f"[{t}]" for t in flat]})

    def value():
        return Reading(rng.random(), 0.2 if rng.random() < 0.1 else 1.0)

    tables = [{t: value() for t in TEXTS} for _ in range(3)]
    boxes = Boxes(**{t: rng.choice([BIG, SMALL]) for t in TEXTS if rng.random() < 0.6})
    scripted = Scripted(tables[0], prior=rng.random(), removed=tables[1], crop=tables[2])
    return Clue(scripted, made(*rules), boxes), [image(number)]


def test_the_grid_computes_what_the_judge_decides():
    """Random chains and constants: labels from what was read once are those of the judge itself, without reasoning."""
    rng, names, seen = random.Random(1), {SAFE: "safe", UNKNOWN: "unknown", UNSAFE: "unsafe"}, set()
    for number in range(150):
        clue, images = random_case(rng, number)
        found = signals(undecided(clue).judge(images))
        for _ in range(4):
            low, high = sorted(rng.uniform(-1, 1) for _ in range(2))
            constants = Constants(absent=1 + low, shown=high, centre=rng.choice(CENTRES))
            judge = replace(clue, settings=Settings(constants, reasoning=False))
            label = names[int(found.labels(constants)[0])]
            assert label == judge.judge(images)[0].label
            seen.add(label)
    assert seen == {"safe", "unknown", "unsafe"}


def test_step_c_asks_nothing_where_m_cannot_fall_far_enough_and_no_verdict_differs():
    """Against an evaluation that reads the removed region of every member that steps a and b leave open."""
    rng, skipped, fired = random.Random(2), 0, 0
    for number in range(200):
        clue, images = random_case(rng, number)
        judge = replace(clue, settings=Settings(reasoning=False), batched=rng.random() < 0.5)
        [verdict] = judge.judge(images)
        asker = clue.asker
        for group in (group for finding in verdict.findings for group in finding.chain):
            open_ = not any(evidence.path == "b" for evidence in group)
            for evidence in group:
                known = [
                    reading.m if reading.mass >= PAPER.least_mass else None
                    for reading in (asker.shown[evidence.text], asker.removed[evidence.text])
                ]
                can = open_ and evidence.found is not None and evidence.path != "a"
                drops = can and None not in known and known[0] - known[1] > PAPER.centre
                assert (evidence.path == "c") == drops
                fired += drops
                skipped += can and evidence.removed is None
    assert fired > 8 and skipped > 50
    clue = Clue(Scripted({"a": 0.6}, prior=0.5, removed={"a": 0.0}), made({**RULE, "preconditions": ["a"],
                "central": ["[x]"]}), Boxes(x=BIG), settings=Settings(reasoning=False))  # fmt: skip
    clue.judge([image()])
    assert len(clue.asker.read_queries) == 2  # M = beta exactly: with the image and without it, and nothing removed


def separable(n: int = 24) -> tuple:
    """A judge whose M is high and biased: 0.55 where a content is not there, 0.75 where it is, 0.5 without an image."""

    class Biased(Scripted):
        def _one(self, query: Query) -> Reading:
            if query.image is None:
                return Reading(0.5, 1.0)
            number = int(query.image.source.split()[-1])
            return Reading((0.75 if number % 2 else 0.55) + 0.001 * (number % 5), 1.0)

    rows = [LabelledImage(image(k), frozenset({"r"} if k % 2 else ()), f"g{k}") for k in range(n)]
    return Clue(Biased({}), made({"id": "r", "text": "x", "preconditions": ["a", "b"]})), rows


def test_fitted_constants_separate_what_the_papers_leave_open():
    clue, rows = separable()
    violating = np.array([bool(row.violated) for row in rows])
    found = signals(undecided(clue).judge([row.image for row in rows]))
    assert auc(found.scores(), violating) == 1.0
    assert f1(found.labels(PAPER), violating) == 0.0
    constants = fit_constants(found, violating)
    assert f1(found.labels(constants), violating) == 1.0 and not (found.labels(constants) == UNKNOWN).any()
    edge = bound(0.5, constants.shown)
    assert 0.58 < edge < 0.72 and constants.least_mass == PAPER.least_mass  # in the middle, not at an end
    with pytest.raises(InputError, match="both needed"):
        fit_constants(found, np.ones(len(rows), bool))
    with pytest.raises(InputError, match="too little probability"):
        fit_constants(found._replace(shift=np.full_like(found.shift, np.nan)), violating)


def test_auc_and_f1_are_those_of_a_plain_count():
    rng = np.random.default_rng(0)
    truth, scores = rng.random(40) < 0.4, rng.integers(0, 6, 40) / 5
    pairs = [(a > b) + (a == b) / 2 for a in scores[truth] for b in scores[~truth]]
    assert auc(scores, truth) == pytest.approx(np.mean(pairs))
    label = rng.integers(0, 3, 40).astype(np.int8)
    tp = sum(t and v == UNSAFE for t, v in zip(truth, label, strict=True))
    wrong = sum(v == UNKNOWN or (v == UNSAFE) != t for t, v in zip(truth, label, strict=True))
    assert f1(label, truth) == pytest.approx(2 * tp / (2 * tp + wrong))
    assert f1(np.zeros(40, np.int8), truth) == 0.0


def test_a_calibration_is_kept_and_belongs_to_its_model(loaded, tmp_path):
    file = tmp_path / "constants.json"
    base = Clue(asker(loaded), made(RULE), settings=Settings(Constants(least_mass=0.0)))
    rows = [LabelledImage(image(n), frozenset({"r"} if n % 2 else ()), str(n)) for n in range(8)]
    some = {name: WORDINGS[name] for name in ("paper", "question-blank")}
    found, tried = calibrate_judge(base, rows, some)
    assert set(tried) == set(some) and tried[found.record["wording"]].f1 == max(one.f1 for one in tried.values())
    found.save(file)
    again = load_calibration(file)
    assert (again.constants, again.wording, again.model) == (found.constants, found.wording, found.model)
    with pytest.raises(InputError, match="'s' in|unknown rule"):
        calibrate_judge(base, [*rows, LabelledImage(image(9), frozenset({"s"}), "9")], some)
    kept = json.loads(file.read_text())
    for value, problem in (
        ({"model": "x"}, 'has no "constants"'),
        ({}, 'has no "model"'),
        ([], 'has no "model"'),
        (kept | {"constants": {}}, 'has no "constants"'),
        (kept | {"constants": {"absent": 0.5}}, "does not say shown, centre"),  # the paper's must not stand in
        (kept | {"constants": kept["constants"] | {"shown": "much"}}, "no file of guard clue calibrate"),
        (kept | {"wording": {"token": 1}}, "no file of guard clue calibrate"),
    ):
        file.write_text(json.dumps(value))
        with pytest.raises(InputError, match=problem):
            load_calibration(file)
    with pytest.raises(InputError, match=r"--constants \{\}: no such file; make one with: counterpoise guard clue"):
        load_calibration(Path("{}"))
    nothing = signals([])
    with pytest.raises(InputError, match="relevance scan drops all rules"):
        fit_constants(nothing, np.array([True, False]))


def test_constants_of_another_model_are_refused(loaded, tmp_path, monkeypatch):
    from counterpoise.guard.clue import _ask

    monkeypatch.setitem(_ask.EngineAsker.__init__.__kwdefaults__, "spellings", {"yes": ("Y",), "no": ("N",)})
    file, none = tmp_path / "c.json", {"encoder": "none", "detector": "none"}
    constants = Constants(absent=1.1, shown=0.3)
    Calibration(f"elsewhere@{loaded.fingerprint}", constants, WORDINGS["question"]).save(file)
    clue = make_clue(loaded.path, made(RULE), engine=Engine(loaded), constants=file, **none)
    assert clue.settings.constants == constants and clue.asker.wording == WORDINGS["question"]
    assert clue.record()["prompts"] == WORDINGS["question"].version
    Calibration("other@0123", constants, WORDINGS["question"]).save(file)
    with pytest.raises(InputError, match="made for other@0123"):
        make_clue(loaded.path, made(RULE), engine=Engine(loaded), constants=file, **none)


def test_the_command(tmp_path: Path, loaded, monkeypatch):
    from typer.testing import CliRunner

    from counterpoise.cli._guard_clue import app
    from counterpoise.guard.clue import _ask, write_icons

    monkeypatch.setitem(_ask.EngineAsker.__init__.__kwdefaults__, "spellings", {"yes": ("Y",), "no": ("N",)})
    # a random model gives little to yes and no: constants without a least mass
    monkeypatch.setattr(Settings.__init__, "__defaults__", (Constants(least_mass=0.0), "mean", True, True))
    icons, file = tmp_path / "icons", tmp_path / "c.json"
    write_icons(icons, "apart", 1)
    fast = ["--model", loaded.path, "--encoder", "none", "--detector", "none"]
    command = ["calibrate", str(icons), *fast, "--wording", "paper", "--wording", "question", "--out", str(file)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, (done.output, done.exception)
    for text in ("paper: AUC ", "question: AUC ", "of 16 undecided", "with the paper's", f"constants: {file}"):
        assert text in done.output
    more = ["judge", str(icons / "0000.png"), *fast, "--no-reasoning", "--constants", str(file)]
    done = CliRunner().invoke(app, [*more, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, (done.output, done.exception)
    found = load_calibration(file)
    assert str(found.constants.shown) in (tmp_path / "out" / "verdicts.json").read_text()
    wrong = CliRunner().invoke(app, ["calibrate", str(icons), *fast, "--wording", "papr"])
    assert isinstance(wrong.exception, InputError) and "did you mean" in str(wrong.exception)
