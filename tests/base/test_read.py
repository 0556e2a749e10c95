"""What users' files may hold and no reader takes: always one line, with the place."""

import json

import pytest
from counterpoise.evals.cards._tables import table

from counterpoise.base import (
    InputError,
    Row,
    json_line,
    load_rows,
    load_yaml,
    read_csv,
    read_json,
    read_jsonl,
    read_text,
    read_yaml,
    write_json,
)
from counterpoise.data import read_llava, read_parquet
from counterpoise.evals import benchmark
from counterpoise.evals.judges._labels import read_labels
from counterpoise.guard import read_labelled

DEEP = "[" * 100_000
HUGE = "1" * 5_000
OWN = "name: mine\nfile: rows{}\nprompt: question\nharmful: true\nid: key\nlicence: CC0-1.0\nsource: by hand\n"


def own(file):
    """The reader of benchmarks of the user's own, over this file of rows."""
    card = file.with_suffix(".yaml")
    card.write_text(OWN.format(file.suffix).replace("rows", file.stem))
    return benchmark(str(card)).samples()


def rows_of(read):
    return lambda file: list(read(file))


JSON_READERS = {
    "json": (read_json, ".json", "{}"),
    "jsonl": (rows_of(read_jsonl), ".jsonl", '{{"key": "a", "question": {}}}\n'),
    "llava lines": (rows_of(read_llava), ".jsonl", '{{"id": "a", "conversations": {}}}\n'),
    "llava list": (rows_of(read_llava), ".json", '[{{"id": "a", "conversations": {}}}]'),
    "tables": (rows_of(table), ".json", '[{{"key": "a", "question": {}}}]'),
    "own": (own, ".jsonl", '{{"key": "a", "question": {}}}\n'),
    "labels": (read_labels, ".jsonl", '{{"prompt": "p", "harmful": 1, "answer": {}}}\n'),
    "guard": (read_labelled, ".jsonl", '{{"prompt": {}, "label": "safe"}}\n'),
    "rows": (load_rows, ".json", '{{"rows": {}}}'),
}
ODD = {
    "half": ('"\\ud83d"', r"half of a surrogate pair \(.ud83d\)"),
    "nul": ('"a\\u0000b"', "NUL"),
    "deep": (DEEP, "nested too deeply"),
    "huge": (HUGE, "a number with thousands of digits"),
}


@pytest.mark.parametrize("reader", JSON_READERS)
@pytest.mark.parametrize("odd", ODD)
def test_odd_json_is_one_line(reader, odd, tmp_path):
    read, suffix, form = JSON_READERS[reader]
    value, says = ODD[odd]
    file = tmp_path / f"rows{suffix}"
    file.write_text(form.format(value))
    with pytest.raises(InputError, match=says) as error:
        read(file)
    assert "\n" not in str(error.value) and file.name in str(error.value) and len(str(error.value)) < 500


TEXT_READERS = {
    **{name: (read, suffix) for name, (read, suffix, _) in JSON_READERS.items()},
    "text": (read_text, ".txt"),
    "yaml": (read_yaml, ".yaml"),
    "csv": (rows_of(read_csv), ".csv"),
    "table of commas": (rows_of(table), ".csv"),
    "table of tabs": (rows_of(table), ".tsv"),
    "own csv": (own, ".csv"),
    "labels csv": (read_labels, ".csv"),
    "guard csv": (read_labelled, ".csv"),
    "own card": (lambda file: benchmark(str(file)), ".yml"),
}
BYTES = {
    "utf-16": '{"key": "a", "question": "b"}\n'.encode("utf-16"),
    "utf-16 without a mark": '{"key": "a", "question": "b"}\n'.encode("utf-16-le"),
    "latin-1": '{"key": "a", "question": "caf\xe9"}\n'.encode("latin-1"),
    "nul": b'{"key": "a", "question": "b\0"}\n',
}


@pytest.mark.parametrize("reader", TEXT_READERS)
@pytest.mark.parametrize("kind", BYTES)
def test_what_is_no_utf_8_is_one_line(reader, kind, tmp_path):
    read, suffix = TEXT_READERS[reader]
    file = tmp_path / f"rows{suffix}"
    file.write_bytes(BYTES[kind])
    with pytest.raises(InputError, match=r"UTF-8|UTF-16|NUL|control character") as error:
        read(file)
    assert "\n" not in str(error.value) and file.name in str(error.value)


@pytest.mark.parametrize("reader", [name for name in TEXT_READERS if TEXT_READERS[name][1] in (".csv", ".tsv")])
def test_a_header_names_each_column_once(reader, tmp_path):
    read, suffix = TEXT_READERS[reader]
    mark = "\t" if suffix == ".tsv" else ","
    file = tmp_path / f"rows{suffix}"
    names = ["key", "question", "prompt", "answer", "harmful", "label", "question" if "own" in reader else "prompt"]
    file.write_text(mark.join(names) + "\n" + mark.join("aaaa0aa") + "\n")
    with pytest.raises(InputError, match=r'field "\w+": stands twice in the header') as error:
        read(file)
    assert "\n" not in str(error.value) and file.name in str(error.value)
    file.write_text("")
    with pytest.raises(InputError, match=r"no header|no rows|no such column"):
        read(file)


def test_rows_of_csv_keep_what_is_quoted_and_lose_nothing(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_bytes(b'\xef\xbb\xbfa,b\r\n"x, ""y""\r\nz",2\r\n\r\nu,\xc3\xa9\r\n')
    assert list(read_csv(file, ["b"])) == [(1, {"a": 'x, "y"\r\nz', "b": "2"}), (2, {"a": "u", "b": "é"})]
    file.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(InputError, match="row 2: 3 fields, the header has 2"):
        list(read_csv(file))
    with pytest.raises(InputError, match='field "c": no such column'):
        list(read_csv(file, ["c"]))


def test_parquet_rows_are_checked_like_others(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    parquet.write_table(arrow.table({"q": ["one", "two\0"]}), file)
    with pytest.raises(InputError, match=r'rows.parquet: row 2, field "q": holds a NUL'):
        list(read_parquet(file))
    columns = [arrow.array(["a"]), arrow.array(["b"])]
    parquet.write_table(arrow.Table.from_arrays(columns, names=["q", "q"]), file)
    with pytest.raises(InputError, match='mine: field "q": stands twice'):
        list(read_parquet(file, "mine"))
    for content in (b"PAR1", file.read_bytes()[:-20]):
        file.write_bytes(content)
        with pytest.raises(InputError, match="not readable as Parquet") as error:
            list(read_parquet(file))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1.*the key 'a' stands here a second time"),
        ("a: {b: 1, b: 2}", "the key 'b' stands here a second time"),
        ("a: .nan", 'field "a": not a number'),
        ("a:\n- 1\n- b: .NaN", 'field "a.1.b": not a number'),
        ('a: "\\ud800"', "half of a surrogate pair"),
        ('a: "x\\0"', "NUL"),
        (f"a: {HUGE}", "thousands of digits"),
        ("[" * 5_000, "nested too deeply"),
    ],
)
def test_odd_yaml_is_one_line(text, says):
    with pytest.raises(InputError, match=says) as error:
        load_yaml(text, "f.yaml")
    assert "\n" not in str(error.value) and str(error.value).startswith("f.yaml: ") and len(str(error.value)) < 300


def test_shared_parts_of_yaml_are_looked_at_once():
    """Without that, thirty lines take longer than the universe has."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    assert "a29" in load_yaml("\n".join(lines), "f.yaml")


@pytest.mark.parametrize("text", ["x\ud800y", "\udc00", "a\0b", "\\u0000", "\\\0", "\ud83d\ude00", "é\u2028"])
def test_whatever_a_model_says_is_written_and_read_back(text, tmp_path):
    kept = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
    file = tmp_path / "items.jsonl"
    file.write_text(json_line({"answer": text, "n": 1}) * 2, encoding="utf-8", newline="")
    assert [row for _, row in read_jsonl(file)] == [{"answer": kept, "n": 1}] * 2
    write_json(tmp_path / "a.json", {"answer": [text]})
    assert read_json(tmp_path / "a.json") == {"answer": [kept]}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_rate_is_a_number(number, tmp_path):
    row = Row(
        model="m", run="r", benchmark="b", revision="1", split="s", modality="text", metric="asr", direction="lower",
        scorer="s", value=0.5, ci_low=0.4, ci_high=0.6, n_scored=1, n_unscored=0, n_empty=0,
    )  # fmt: skip
    text = json.dumps({"rows": [row.model_dump()]}).replace("0.5", number)
    (tmp_path / "scorecard.json").write_text(text)
    with pytest.raises(InputError, match='row 0, field "value": .*finite number'):
        load_rows(tmp_path / "scorecard.json")
