"""Exports before the judges of others: Every Eval Ever's own `validate` on every file, the hub's library and a Markdown
reader on model cards, lm-eval's fields against what the record of the evaluation says."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from board_rows import JUDGE, inside
from folders import evaluation, item, row, write
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from markdown_it import MarkdownIt

from counterpoise.base import InputError, write_json
from counterpoise.evals import benchmarks
from counterpoise.report.exports import Evaluation, Options, export, from_lm_eval, load_evaluations, to_card
from counterpoise.report.exports._results import hub_id, source_url

ODD = "a line\u2028that ends\x85early </script> | \\(x\\) $$y$$"
SETTINGS = {
    "model": {"name": "tiny", "fingerprint": "abc"},
    "decoding": {"temperature": 0.0, "tries": 1},
    "benchmarks": {
        "twins": {"split": "test", "max_new_tokens": 512, "shots": 0},
        "reading": {
            "split": "test", "max_new_tokens": 1024, "shots": 5,
            "sampling": {"temperature": 0.7, "top_p": 0.95, "tries": 8, "seeds": list(range(8))},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "run"
    for side, refusal in (("before", 0.1), ("after", 0.9)):
        inside(evaluation(folder / side, {"text": 0.9, "print": refusal}, n=6))
        items = (folder / side / "items.jsonl").read_text(encoding="utf-8").splitlines()
        odd = [json.dumps(json.loads(each) | {"prompt": ODD, "answer": ODD}) + "\n" for each in items]
        (folder / side / "items.jsonl").write_text("".join(odd), encoding="utf-8")
        adapter = "runs/demo/adapter" if side == "after" else None
        write_json(folder / side / "run.json", SETTINGS | {"model": SETTINGS["model"] | {"adapter": adapter}})
    write_json(folder / "run.json", {"started": "2026-01-02T03:04:05+00:00", "config": {"method": "rejection-mix"}})
    return folder


def validated(files: list[Path]) -> dict[str, list[str]]:
    """What their command says of each file; its package asks for Python 3.12, its validator runs here as it is."""
    try:
        distribution("every-eval-ever")
    except PackageNotFoundError:
        pytest.skip("needs: pip install --no-deps --ignore-requires-python every-eval-ever==0.3.0")
    command = [sys.executable, "-m", "every_eval_ever", "validate", "--format", "json", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("["), done.stderr
    found = {each["file"]: [*each["errors"], *each["warnings"]] for each in json.loads(done.stdout)}
    assert done.returncode == 0 or any(found.values())
    return found


NAMES = [
    "tiny",
    "org/model",
    "openai-api/server/Qwen/Qwen2-VL",
    "data/x",
    "org/CON",
    "unknown/x",
    "org/name.",
    "a b/c",
    "NUL",
    "data",
]


@pytest.mark.parametrize("include_text", [False, True])
def test_their_validator_passes_every_file_of_a_run(run, tmp_path, include_text):
    files = export(run, "every-eval-ever", tmp_path / "out", Options(include_text=include_text))
    assert len(files) == 4 and validated(files) == {str(file): [] for file in files}
    samples = files[1].read_text(encoding="utf-8")
    assert len(samples.splitlines()) == samples.count("\n") > 20 and ("ends" in samples) == include_text
    broken = files[0].with_name("bfe0954d-a7ad-590e-84f4-cffa8faf72b4.json")
    files[0].rename(broken)  # a hash of version 5 is refused: the check can fail
    assert validated([broken])[str(broken)]


def test_their_validator_passes_whatever_the_model_is_called(tmp_path):
    files = []
    for number, name in enumerate(NAMES):
        lines = [row("asr", "print", 0.5, 2, model=name, ci_low=0.1, ci_high=0.9, scorer="refusal[words:v1]")]
        lines.append(row("asr", "pair", 0.5, 2, model=name, ci_low=0.1, ci_high=0.9, scorer=JUDGE))
        folder = write(tmp_path / str(number), lines, [item(n, "print", True, float(n)) for n in range(2)])
        files += export(folder, "every-eval-ever", tmp_path / "out")
    assert len(files) == 2 * len(NAMES) and validated(files) == {str(file): [] for file in files}


def test_an_id_of_the_hub_has_no_remark():
    """Every card's source, and what the library of the hub itself takes for an id."""
    found = {name: hub_id(card.source) for name, card in benchmarks().items()}
    assert found["gpqa-diamond"] == "Idavidrein/gpqa" and found["salad-base"] == "OpenSafetyLab/Salad-Data"
    assert found["xstest"] == "" and found["twins"] == ""
    for name, card in benchmarks().items():
        assert bool(found[name]) == ("huggingface.co/datasets/" in card.source), name
        if found[name]:
            validate_repo_id(found[name])
        address = source_url(card.source)
        assert (
            bool(address) == ("/" in card.source) and " " not in address and "(" not in address and "," not in address
        )
    assert source_url("https://example.org/a_b, see its card") == "https://example.org/a_b"
    assert source_url("github.com/o/r (code)") == "https://github.com/o/r" and source_url("own rows") == ""


def test_lm_eval_says_the_true_shots_and_temperature(run):
    file = export(run, "lm-eval", run.parent / "lm")[0]
    document = json.loads(file.read_text(encoding="utf-8"))
    drawn, greedy = "reading__test__picture", "twins__test__print"
    assert document["n-shot"] == {greedy: 0, "twins__test__text": 0, drawn: 5}
    configs = document["configs"]
    assert configs[drawn]["generation_kwargs"] == {
        "temperature": 0.7, "top_p": 0.95, "max_gen_toks": 1024, "do_sample": True,
    }  # fmt: skip
    assert configs[drawn]["repeats"] == 8 and configs[drawn]["num_fewshot"] == 5
    assert configs[greedy]["generation_kwargs"] == {"temperature": 0.0, "max_gen_toks": 512, "do_sample": False}
    assert document["config"]["gen_kwargs"] == {}  # nothing holds for both
    assert from_lm_eval(document)


def test_what_the_record_does_not_say_is_left_out(tmp_path):
    folder = write(tmp_path / "e", [row("asr", "print", 0.5, 4, benchmark="mine")], [])
    document = json.loads(export(folder, "lm-eval", tmp_path / "out")[0].read_text(encoding="utf-8"))
    assert document["n-shot"] == {} and document["config"]["gen_kwargs"] == {}
    assert "generation_kwargs" not in document["configs"]["mine__test__print"]
    write_json(
        folder / "run.json", {"model": {"name": "tiny"}, "benchmarks": {"mine": {"split": "test", "max_new_tokens": 9}}}
    )
    assert load_evaluations(folder)[""].how(row("asr", "print", 0.5, 4, benchmark="mine/part")).max_new_tokens == 9


def test_the_cards_that_are_few_shot_say_so():
    assert {name: card.shots for name, card in benchmarks().items() if card.shots} == {"mmlu-pro": 5}


def rendered(text: str) -> tuple[ModelCard, list]:
    card = ModelCard(text)
    return card, MarkdownIt("commonmark", {"html": True}).enable("table").parse(card.text)


def test_a_model_card_is_one_for_the_hub(run, tmp_path):
    file = export(run, "card", tmp_path / "out", Options(datasets={"twins": "owner/twins"}))[1]
    card, tokens = rendered(file.read_text(encoding="utf-8"))
    assert card.data.pipeline_tag == "image-text-to-text" and card.data.tags == ["safety", "counterpoise"]
    assert {(each.dataset_type, each.dataset_name) for each in card.data.eval_results} == {
        ("owner/twins", "twins"), ("reading", "reading"),
    }  # fmt: skip
    assert next(each.content for each in tokens if each.type == "inline") == "tiny-rejection-mix"
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()  # what the hub's library writes, it reads again


def test_benchmarks_of_one_dataset_stay_apart_in_the_hubs_library(tmp_path):
    rows = [
        row("asr", "pair", value, 10, benchmark=name, split="all")
        for name, value in (("mis-easy", 0.2), ("mis-hard", 0.4))
    ]
    folder = write(tmp_path / "e", rows, [])
    (file,) = export(folder, "card", tmp_path / "out")
    again = ModelCard(str(ModelCard(file.read_text(encoding="utf-8"))))
    found = {each.dataset_name: (each.dataset_type, each.metric_value) for each in again.data.eval_results}
    assert found == {"mis-easy": ("Tuwhy/MIS_Test", 0.2), "mis-hard": ("Tuwhy/MIS_Test", 0.4)}


HOSTILE = "<img src=x onerror=alert(1)> | [a](javascript:x) \\(x\\) $$y$$ *b* `c` https://x.org/a_b &lt; ![i](y)"


def test_a_hostile_name_is_shown_as_it_is_and_breaks_no_table(tmp_path):
    rows = [row("asr", "print", 0.5, 10, benchmark=HOSTILE, scorer=HOSTILE, model=HOSTILE, ci_low=0.1, ci_high=0.9)]
    (file,) = export(write(tmp_path / "e", rows, []), "card", tmp_path / "out")
    card, tokens = rendered(file.read_text(encoding="utf-8"))
    assert card.data.model_name == HOSTILE
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    assert {each.type for each in inline} <= {"text", "text_special", "softbreak"}
    assert not any(token.type.startswith("html") for token in tokens)
    cells = [token for token in tokens if token.type == "inline"]
    shown = ["".join(child.content for child in cell.children) for cell in cells]
    assert shown.count(HOSTILE) == 2  # its heading and its scorer
    heads, body = (sum(token.type == kind for token in tokens) for kind in ("th_open", "td_open"))
    assert heads == 8 == body
    assert "$$" not in card.text and "\\\\(" not in card.text  # the hub reads these before Markdown


def test_a_source_is_a_whole_link(tmp_path):
    sources = {"twins": ("huggingface.co/datasets/o_w/a_b, config c (accept its terms)", "MIT")}
    made = Evaluation(rows=(row("asr", "print", 0.5, 10),), date=load_date(), sources=sources)
    _, tokens = rendered(to_card(made))
    links = [
        child for token in tokens if token.type == "inline" for child in token.children if child.type == "link_open"
    ]
    assert [each.attrs["href"] for each in links] == ["https://huggingface.co/datasets/o_w/a_b"]


def load_date():
    from datetime import UTC, datetime

    return datetime(2026, 3, 4, tzinfo=UTC)


def test_a_model_without_any_value_has_a_card_without_numbers(tmp_path):
    folder = write(tmp_path / "e", [row("asr", "print", None, 0, n_unscored=4)], [])
    (file,) = export(folder, "card", tmp_path / "out")
    card, _ = rendered(file.read_text(encoding="utf-8"))
    assert card.data.eval_results is None and "could be scored" in card.text
    with pytest.raises(InputError, match="nothing to export"):
        export(folder, "model-index", tmp_path / "out")
