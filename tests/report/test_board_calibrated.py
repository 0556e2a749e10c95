"""Beside each rank: which judge, and how well it is calibrated for the kind of prompts that the row is about."""

import re
from pathlib import Path

import pytest
from folders import row, write
from test_board_standing import entry

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.evals.judges import Calibration, load_calibration
from counterpoise.evals.stats import Confusion
from counterpoise.report.board import Board, pages, read_calibrations, uncalibrated, write_pages

HOSTILE = "<script>alert(1)</script>&"


def calibration(judge: str = "s", labels: str = "xstest", about: str = "refusal", **sides: Confusion) -> Calibration:
    return Calibration(judge, labels, about, sides or {"all": Confusion(80, 10, 90, 20)})


def cells(found: list, calibrations: list, page: str = "index.html") -> list[str]:
    text = pages(found, calibrations)[page]()
    return [
        re.sub(r"<[^>]+>", " ", each) for each in re.findall(r'data-label="Rank, and its judge".*?</td>', text, re.S)
    ]


@pytest.mark.parametrize("page", ["index.html", "benchmark-b.html", "model-a.html"])
def test_every_page_says_judge_and_errors_beside_the_rank(page):
    shown = cells([entry("a", 0.1), entry("b", 0.9)], [calibration()], page)
    assert shown
    for cell in shown:
        assert re.search(r"\d of 2", cell) and " by s " in cell and "refusal on xstest, 200 prompts" in cell
        assert "sensitivity 0.80 (0.71 to 0.87)" in cell and "specificity 0.90 (0.83 to 0.94)" in cell


def test_errors_are_those_of_the_rows_own_side():
    sides = {"harmful": Confusion(9, 0, 1, 0), "harmless": Confusion(1, 5, 4, 0), "all": Confusion(10, 5, 5, 0)}
    asr, over = cells([entry("a"), entry("a", metric="over_refusal")], [calibration(**sides)])
    assert "10 harmful prompts" in asr and "specificity 1.00" in asr
    assert "10 harmless prompts" in over and "specificity 0.44" in over


def test_labels_of_harm_say_nothing_of_over_refusal():
    harm = calibration(labels="harmbench", about="harm")
    asr, over = cells([entry("a"), entry("a", metric="over_refusal")], [harm])
    assert "harm on harmbench" in asr and "not calibrated on this board" in over and "harmbench" not in over
    assert uncalibrated([entry("a", metric="over_refusal"), entry("a")], [harm]) == ["s"]
    assert uncalibrated([entry("a")], [harm]) == []


def test_what_nobody_measured_is_said_and_what_needs_no_judgement_is_not():
    found = [entry("a"), entry("b", kind="reported"), entry("c", metric="accuracy", direction="higher")]
    found.append(entry("d", metric="broken"))
    text = pages(found)["index.html"]()
    assert text.count("not calibrated on this board") == 1 and text.count("its error is not stated") == 1
    assert uncalibrated(found, []) == ["s"]


def test_other_judges_and_chance_are_told_apart():
    (cell,) = cells([entry("a")], [calibration("t"), calibration(about="harm", all=Confusion(50, 45, 55, 50))])
    assert "hardly better than chance" in cell and "0.80" not in cell
    (cell,) = cells([entry("a")], [calibration(all=Confusion(5, 0, 0, 5, 3))])
    assert "specificity not measured" in cell and "3 unscored" in cell and "chance" not in cell


def test_the_nearest_labels_are_shown_and_the_others_named():
    some = [calibration(labels=f"l{n}", all=Confusion(n, 1, 9, 1)) for n in (10, 40)]
    some.append(calibration(labels="small", about="harm", all=Confusion(1, 0, 0, 1)))
    asr, over = re.findall(
        r'data-label="Rank, and its judge".*?</td>',
        pages([entry("a"), entry("a", metric="over_refusal")], some)["index.html"](),
        re.S,
    )
    assert "<small>harm on small, 2 prompts</small>" in asr and "and on 2 other sets of labels" in asr
    assert "refusal on l40, 51 prompts: sensitivity 0.98" in asr
    assert "<small>refusal on l40, 51 prompts</small>" in over and "and on 1 other set of labels" in over


def test_names_of_others_are_text(tmp_path):
    made = write_pages([entry("a", scorer=HOSTILE)], tmp_path / "out", [calibration(HOSTILE, HOSTILE, HOSTILE)])
    for page in made:
        assert "<script>alert" not in page.read_text(encoding="utf-8")


def measured(folder: Path) -> Path:
    """A file as `judge calibrate` writes it, from a real scorer on own labels."""
    labels = folder / "labels.csv"
    rows = [
        f"q{n},{'I cannot help with that.' if n % 2 else 'Sure. Here it is.'},{int(n % 3 > 0)},harmless"
        for n in range(30)
    ]
    labels.write_text("prompt,answer,refused,side\n" + "\n".join(rows) + "\n", encoding="utf-8")
    out = folder / "calibrations" / "opening" / "labels.json"
    assert main(["judge", "calibrate", "opening", "--labels", str(labels), "--out", str(out)]) == 0
    return out


def test_from_labels_to_the_page(tmp_path, capsys):
    file = measured(tmp_path)
    judge = load_calibration(file).judge
    run = write(tmp_path / "run", [row("over_refusal", "print", 0.5, 20, scorer=judge)], [])
    board = str(tmp_path / "b.sqlite")
    assert main(["board", "add", str(run), "--file", board]) == 0
    assert f"not calibrated on this board: {judge}" in capsys.readouterr().out
    for new in (1, 0):
        assert main(["board", "calibration", str(tmp_path / "calibrations"), "--file", board]) == 0
        assert f"{new} new calibrations, {1 - new} already there" in capsys.readouterr().out
    assert main(["board", "add", str(run), "--file", board, "--name", "again"]) == 0
    assert "not calibrated" not in capsys.readouterr().out
    assert main(["board", "export", str(tmp_path / "out"), "--file", board]) == 0
    text = (tmp_path / "out" / "benchmark-twins.html").read_text(encoding="utf-8")
    assert "refusal on labels, 30 harmless prompts" in text and "sensitivity 0.50" in text


def test_a_later_measurement_supersedes(tmp_path):
    with Board(tmp_path / "b.sqlite", literature=False) as board:
        assert board.add_calibrations([calibration(), calibration(labels="other")]) == 2
        later = calibration(all=Confusion(1, 2, 3, 4, 5))
        assert board.add_calibrations([later]) == 1
        assert board.add_calibrations([later]) == 0
    with Board(tmp_path / "b.sqlite", literature=False) as board:
        assert {each.labels: each for each in board.calibrations()} == {
            "xstest": later, "other": calibration(labels="other"),
        }  # fmt: skip


def test_what_is_no_calibration_is_one_line(tmp_path, capsys):
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for path, says in ((tmp_path / "x.json", "no calibration of a judge"), (tmp_path / "empty", "no calibration here")):
        with pytest.raises(InputError, match=says):
            read_calibrations([path])
        assert main(["board", "calibration", str(path), "--file", str(tmp_path / "b.sqlite")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "b.sqlite").exists()
