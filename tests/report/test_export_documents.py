"""Every format: golden file, schema, round trip, and what has no value never becomes a number."""

import csv
import io
import json
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from board_rows import JUDGE, ROWS, evaluation, inside, with_difference
from folders import evaluation as written
from folders import row
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from counterpoise.base import InputError
from counterpoise.evals.judges import RUBRICS, judge_id
from counterpoise.report.exports import (
    checked,
    dump_yaml,
    from_csv,
    from_eval_results,
    from_every_eval_ever,
    from_lm_eval,
    from_model_index,
    load_evaluations,
    load_yaml,
    read_parquet,
    to_card,
    to_csv,
    to_eval_results,
    to_every_eval_ever,
    to_lm_eval,
    to_model_index,
    to_records,
    write_parquet,
)
from counterpoise.report.exports._judges import llm_scoring

GOLDEN = Path(__file__).parent / "golden"
WITH_VALUE = [each for each in ROWS if each.value is not None]


def documents() -> dict[str, str]:
    one = evaluation()
    return {
        "every-eval-ever.json": json.dumps(to_every_eval_ever(with_difference())[0], indent=2) + "\n",
        "model-index.yaml": dump_yaml(to_model_index(one)),
        "eval-results.yaml": dump_yaml(to_eval_results(one, source_url="https://example.org/report")),
        "lm-eval.json": json.dumps(to_lm_eval(one), indent=2) + "\n",
        "scorecard.csv": to_csv(one),
        "card.md": to_card(with_difference()),
    }


@pytest.mark.parametrize("name", list(documents()))
def test_golden(name):
    text = documents()[name]
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def schema(name):
    """The project's own JSON Schema, from its package; nothing of it is bundled, and none of its code is run."""
    try:
        found = distribution("every-eval-ever")
    except PackageNotFoundError:
        pytest.skip("needs the schemas of: pip install --no-deps --ignore-requires-python every-eval-ever==0.3.0")
    value = json.loads(
        Path(str(found.locate_file(f"every_eval_ever/schemas/{name}.schema.json"))).read_text(encoding="utf-8")
    )
    assert value["version"] == "0.3.0"
    return Draft7Validator(value)


def test_the_projects_own_schema_accepts_the_aggregate_and_refuses_a_broken_one():
    check = schema("eval")
    judged = evaluation((*ROWS, row("asr", "pair", 0.5, 10, scorer=rubric_id(), ci_low=0.2, ci_high=0.8)))
    for made in (with_difference(), judged):
        document = to_every_eval_ever(made)[0]
        assert [f"{list(e.path)}: {e.message}" for e in check.iter_errors(document)] == []
    document["evaluation_results"][0]["metric_config"]["llm_scoring"]["judges"] = []
    assert list(check.iter_errors(document))


@pytest.mark.parametrize("include_text", [False, True])
def test_the_projects_own_schema_accepts_the_samples(tmp_path, include_text):
    check = schema("instance_level_eval")
    folder = inside(written(tmp_path / "one", {"text": 0.9, "print": 0.1}, n=4))
    _, samples = to_every_eval_ever(load_evaluations(folder)[""], include_text=include_text)
    assert samples and [e.message for each in samples for e in check.iter_errors(each)] == []
    del samples[0]["output"]
    assert list(check.iter_errors(samples[0]))


def rubric_id(model="openai/gpt-4o"):
    rubric = RUBRICS["xstest-rubric"]
    return judge_id(rubric.facts, f"{rubric.system}\n{rubric.text}", model)


def test_models_that_judge_are_named_with_their_prompt_and_keywords_are_not():
    found = llm_scoring(rubric_id())
    assert found.judges[0].model_info.id == "openai/gpt-4o" and found.judges[0].temperature == 0.0
    assert RUBRICS["xstest-rubric"].text.strip() in found.input_prompt and found.aggregation_method is None
    assert llm_scoring("opening:v3") is None and llm_scoring("panel(opening:v3,wang-string:v1)") is None
    other = llm_scoring(f"panel({rubric_id('x/a')},{rubric_id('x/b')},opening:v3)")
    assert [each.model_info.id for each in other.judges] == [
        "x/a",
        "x/b",
    ] and other.aggregation_method == "majority_vote"
    assert other.additional_details == {"members_without_model": "1"}
    weights = llm_scoring("harmbench-cls:v1+01234567@HarmBench-Llama-2-13b-cls~89abcdef")
    assert weights.judges[0].model_info.id == "cais/HarmBench-Llama-2-13b-cls"
    assert weights.input_prompt == "template harmbench-cls:v1+01234567"
    older = llm_scoring("xstest-rubric:v1+00000000@openai/gpt-4o")  # its text is not known any more
    assert older.input_prompt == "template xstest-rubric:v1+00000000"


def test_no_path_of_this_machine_leaves_in_a_judge():
    text = llm_scoring("own:v1+01234567@/home/me/secret/weights").model_dump_json()
    assert "secret" not in text and "local/weights" in text


def test_every_eval_ever_gives_the_rows_back():
    document = json.loads(json.dumps(to_every_eval_ever(with_difference())[0]))
    assert from_every_eval_ever(document) == WITH_VALUE
    assert json.loads(document["source_metadata"]["additional_details"]["rows_without_value"]) == [
        "twins/test/text/asr[refusal[words:v1]]"
    ]
    gap = document["evaluation_results"][-1]
    assert gap["metric_config"]["metric_kind"] == "paired_difference" and gap["score_details"]["score"] == -0.375


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("surprise",), 1, "surprise"),
        (("schema_version",), "0.2.0", "schema_version"),
        (("model_info", "id"), "no-owner", "model_info.id"),
        (("source_metadata", "additional_details"), {"n": 3}, "additional_details.n"),
        (("evaluation_results",), [], "evaluation_results"),
        (("evaluation_results", 0, "score_details", "score"), float("nan"), "score"),
        (("evaluation_results", 0, "score_details", "score"), 1.5, "outside"),
        (("evaluation_results", 0, "metric_config", "lower_is_better"), "yes", "lower_is_better"),
    ],
)
def test_the_schema_refuses(path, value, says):
    document = json.loads(json.dumps(to_every_eval_ever(evaluation())[0]))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=says):
        from_every_eval_ever(document)


def test_model_index_is_what_the_hub_library_makes_of_it():
    document = yaml.safe_load(dump_yaml(to_model_index(evaluation())))
    assert from_model_index(document) == WITH_VALUE
    name, results = model_index_to_eval_results(document["model-index"])
    assert (name, len(results)) == ("tiny", len(WITH_VALUE)) and isinstance(results[0], EvalResult)
    assert eval_results_to_model_index(name, results) == document["model-index"]
    card = ModelCard("---\n" + dump_yaml(document) + "---\nBody")
    assert [each.metric_value for each in card.data.eval_results] == [each.value for each in WITH_VALUE]


def test_eval_results_are_what_the_hub_library_writes():
    datasets = {"reading": "owner/reading"}
    entries = to_eval_results(evaluation(), datasets, "https://example.org")
    same = [
        EvalResultEntry(
            dataset_id=e["dataset"]["id"], task_id=e["dataset"]["task_id"], value=e["value"], date=e["date"],
            source_url=e["source"]["url"], source_name=e["source"]["name"], notes=e["notes"],
        )
        for e in entries
    ]  # fmt: skip
    assert eval_result_entries_to_yaml(same) == entries
    assert from_eval_results(yaml.safe_load(dump_yaml(entries)), "tiny") == WITH_VALUE
    assert len(to_eval_results(evaluation())) == 3  # reading has no id of the hub
    with pytest.raises(InputError, match="--dataset NAME=owner/id"):
        to_eval_results(evaluation(sources={}))
    with pytest.raises(InputError, match="owner/name"):
        to_eval_results(evaluation(), {"twins": "not an id"})


def test_lm_eval_gives_the_rows_back_and_builds_no_group():
    document = json.loads(json.dumps(to_lm_eval(evaluation())))
    assert sorted(map(str, from_lm_eval(document))) == sorted(map(str, WITH_VALUE))
    assert document["results"]["twins__test__print"][f"asr,{JUDGE}"] == 0.125
    assert document["higher_is_better"]["twins__test__print"] == {
        "asr": False, "over_refusal": False, "discrimination": True,
    }  # fmt: skip
    assert document["n-samples"]["twins__test__print"] == {"original": 40, "effective": 36}
    assert "twins__test__text" not in document["results"] and len(document["unscored_rows"]) == 1
    assert document["results"]["reading-2-words__test__picture"]["accuracy_stderr,exact:v1"] == "N/A"
    assert "groups" not in document
    with pytest.raises(InputError, match="comma"):
        to_lm_eval(evaluation((row("asr", "text", 0.5, 4, scorer="a,b"),)))


def test_an_official_row_stays_one_in_every_format(tmp_path):
    rows = (
        row("asr", "print", 0.125, 40, official=True, ci_low=0.05, ci_high=0.3),
        row("asr", "text", 0.5, 40, ci_low=0.3, ci_high=0.7),
    )
    made = evaluation(rows)
    aggregate = json.loads(json.dumps(to_every_eval_ever(made)[0]))
    assert from_every_eval_ever(aggregate) == from_model_index(to_model_index(made)) == list(rows)
    assert from_eval_results(to_eval_results(made), "tiny") == from_lm_eval(to_lm_eval(made)) == list(rows)
    assert from_csv(to_csv(made)) == list(rows)
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    write_parquet(tmp_path / "rows.parquet", to_records(made))
    assert read_parquet(tmp_path / "rows.parquet") == list(rows)


def test_csv_and_parquet_give_all_rows_back(tmp_path):
    assert from_csv(to_csv(evaluation())) == list(ROWS)
    file = tmp_path / "rows.parquet"
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    write_parquet(file, to_records(evaluation()))
    assert read_parquet(file) == list(ROWS)


def test_a_cell_never_is_a_formula():
    hostile = row("asr", "text", 0.5, 4, model='=HYPERLINK("http://x")', benchmark="'quoted", scorer="@SUM(A1)")
    text = to_csv(evaluation((hostile,)))
    cells = next(csv.reader(io.StringIO(text.splitlines()[1])))
    assert not any(cell.startswith(("=", "@", "+")) for cell in cells)
    assert from_csv(text) == [hostile]


HOSTILE = ["a: b", "line\nbreak", "# note", "!!python/object:os.system", "1e5", "0o17", "no", "2026-01-02", "12:30"]
HOSTILE += ["- x", "{a}", "&a", "*a", "%TAG", "'", '"', "0x1F", ".inf"]


@pytest.mark.parametrize("name", HOSTILE)
def test_yaml_keeps_hostile_names(name):
    document = to_model_index(evaluation((row("asr", "text", 0.5, 4, model=name),)))
    text = dump_yaml(document)
    assert yaml.safe_load(text) == document
    assert from_model_index(yaml.safe_load(text))[0].model == name


def test_what_yaml_1_2_reads_as_a_number_is_quoted():
    assert dump_yaml({"a": "1e5", "b": "0o17", "c": "12345e7", "d": "v1.2"}) == (
        'a: "1e5"\nb: "0o17"\nc: "12345e7"\nd: v1.2\n'
    )


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(TREE)
@settings(deadline=None)
def test_yaml_round_trip(value):
    assert yaml.safe_load(dump_yaml({"value": value})) == {"value": value}


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object/apply:os.system [id]", "a: 2026-13-45", "\x00"])
def test_bad_yaml_is_one_line(text):
    with pytest.raises(InputError, match="^here: not valid YAML") as caught:
        load_yaml(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": " "}, 'row 0, field "model"'),
        ({"revision": "unknown"}, 'row 0, field "revision"'),
        ({"scorer": ""}, 'row 0, field "scorer"'),
        ({"value": float("nan")}, "outside 0 to 1"),
        ({"value": 1.2, "ci_high": 1.3}, "outside 0 to 1"),
        ({"value": -0.1}, "outside 0 to 1"),
        ({"ci_low": 0.6}, "outside its own interval"),
        ({"ci_low": None}, "only one end"),
        ({"value": None}, "interval without a value"),
        ({"n_scored": 0}, "without scored items"),
    ],
)
def test_rows_that_are_refused(changes, says):
    with pytest.raises(InputError, match=says) as caught:
        checked([row("asr", "text", 0.5, 10, ci_low=0.4, ci_high=0.6).model_copy(update=changes)], "rows")
    assert "\n" not in str(caught.value)


def test_doubles_and_mixed_models_are_refused():
    one = row("asr", "text", 0.5, 10)
    with pytest.raises(InputError, match="two rows are called twins/test/text/asr"):
        checked([one, one], "rows")
    with pytest.raises(InputError, match="several models"):
        checked([one, row("asr", "print", 0.5, 10, model="other")], "rows")
    with pytest.raises(InputError, match="no rows"):
        checked([], "rows")
    with pytest.raises(InputError, match="no row has a value"):
        to_every_eval_ever(evaluation((ROWS[-1],)))


@pytest.mark.parametrize(
    ("model", "identity"),
    [
        ("org/model", "org/model"),
        ("../../etc/passwd", "local/passwd"),
        ("/home/me/my model", "local/my-model"),
        ("org/..", None),
        ("a\\..\\b", "local/b"),
        ("", None),
    ],
)
def test_a_model_name_never_leaves_its_folder(model, identity):
    made = evaluation((ROWS[0].model_copy(update={"model": model}),)).model_id
    assert identity in (None, made)
    assert made.count("/") == 1 and ".." not in made and not made.endswith("/")
