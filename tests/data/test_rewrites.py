"""Rewriting rows: the schema and the paper's columns, what is left out, what is wrong; and our own set."""

import json
from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.data import RewriteRecord, read_rewrites
from counterpoise.data.pocket_sets import counterfactuals, group_terms, rewrites, unsafe_words

HEADER = "biased_text,dimension,biased_words,aspect,label,debiased_text\n"


def test_the_papers_columns_and_what_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        HEADER
        + '"You fool, go.",toxicity,"fool",manner,Highly biased,"Please go."\n'
        + "Old men dream.,ageism,\"['Old', 'men']\",age,slightly,People dream.\n"
        + "A fine day.,none,,weather,Neutral,A fine day.\n"
        + "Bad text.,toxicity,,x,highly,TOREMOVE\n"
        + ",toxicity,,x,highly,Nothing.\n"
        + "Same text.,toxicity,,x,highly,Same text.\n"
    )
    record = RewriteRecord()
    rows = list(read_rewrites(file, record))
    assert [(row.severity, row.safe_text) for row in rows] == [
        ("highly", "Please go."), ("slightly", "People dream."), ("neutral", "A fine day."),
    ]  # fmt: skip
    assert rows[0].words == ("fool",) and rows[1].words == ("Old", "men") and rows[2].words == ()
    assert (record.rows, record.removed, record.empty, record.unchanged) == (3, 1, 1, 1)
    assert record.fields["unsafe_text"] == "biased_text" and rows[0].dimension == "toxicity"


def test_our_own_schema_as_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"id": "a", "unsafe_text": "Go, fool.", "safe_text": "Please go.", "severity": "highly", "words": ["fool"]}
    file.write_text(json.dumps(row) + "\n")
    (found,) = read_rewrites(file)
    assert (found.id, found.words, found.source) == ("a", ("fool",), "rows.jsonl")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = {"unsafe_text": "a b", "safe_text": "c", "severity": "highly"}
    for change, message in (
        ({"severity": "very"}, r'row 2, field "severity": .very.; expected neutral, slightly or highly'),
        ({"safe_text": 1.5}, r'row 2, field "safe_text": expected text, got float'),
    ):
        file.write_text(json.dumps(good) + "\n" + json.dumps(good | change) + "\n")
        with pytest.raises(InputError, match=message):
            list(read_rewrites(file))
    file.write_text(json.dumps({"unsafe_text": "a", "severity": "highly", "other": ""}))
    with pytest.raises(InputError, match="no column safe_text or debiased_text; the file has unsafe_text, severity"):
        list(read_rewrites(file))


def test_our_set_holds_what_it_says_and_its_halves_share_nothing() -> None:
    train, test = rewrites("train"), rewrites("test")
    assert (len(train), len(test)) == (336, 84) and train != rewrites("train", 1)
    assert sorted(row.id for row in train) == sorted(row.id for row in rewrites("train", 1))
    for rows in (train, test):
        for row in rows:
            low = row.unsafe_text.lower()
            assert (row.severity == "neutral") == (row.unsafe_text == row.safe_text) == (not row.words)
            assert all(word.lower() in low for word in row.words) and "*" not in row.unsafe_text + row.safe_text
            assert not any(word.lower() in row.safe_text.lower().split() for word in row.words)

    def frames(rows: list) -> set[str]:
        return {(row.dimension, row.safe_text.split(" the ")[0], *row.words) for row in rows if row.words}

    def topics(rows: list) -> set[str]:
        return {
            word for row in rows if row.aspect == "neutral" for word in [" ".join(row.unsafe_text.split("the ")[1:])]
        }

    assert not frames(train) & frames(test)
    texts = {row.unsafe_text for row in train} | {row.safe_text for row in train}
    assert not texts & ({row.unsafe_text for row in test} | {row.safe_text for row in test})
    assert not topics(train) & topics(test)
    assert {"idiot", "watch your back"} <= set(unsafe_words())
    assert [len(own) for own in counterfactuals()] == [len(group_terms())] * 4
    with pytest.raises(InputError, match="choose train or test"):
        rewrites("validation")
