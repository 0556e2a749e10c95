"""Readers on hand-made rows and on the public rows where they are."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from counterpoise.base import InputError, sha256_bytes
from counterpoise.chat import Sample, user
from counterpoise.evals import Benchmark, all_sources, benchmark, benchmarks
from counterpoise.evals._benchmark import spread
from counterpoise.evals.cards import CARDS, _figstep, _gsm8k, _mm_safetybench_rows
from counterpoise.evals.cards._drawn import Drawn


def table(path, rows):
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


FIGSTEP = {"category_id": "1", "task_id": "2", "category_name": "Fraud", "instruction": "List of things."}


def test_figstep_one_turn_image_first(tmp_path):
    Image.new("RGB", (760, 760)).save(tmp_path / "query_ForbidQI_1_2_6.png")
    (sample,) = _figstep.read(table(tmp_path / "t.csv", [FIGSTEP]), tmp_path)
    assert sample.id == "1_2" and sample.harmful is True and sample.group == "topics 1-7 (harm)"
    assert [type(part).__name__ for part in sample.messages[0].parts] == ["Image", "str"]
    assert sample.messages[0].text == _figstep.PROMPT and len(_figstep.PROMPT) == 179


def test_figstep_bad_rows_name_file_row_and_field(tmp_path):
    with pytest.raises(InputError, match=r't\.csv: row 1, field "instruction": missing or empty'):
        list(_figstep.read(table(tmp_path / "t.csv", [FIGSTEP | {"instruction": " "}]), tmp_path))
    with pytest.raises(InputError, match=r"query_ForbidQI_1_2_6\.png: no such image"):
        list(_figstep.read(table(tmp_path / "t.csv", [FIGSTEP]), tmp_path))
    with pytest.raises(InputError, match='field "instruction": no such column'):
        list(
            _figstep.read(
                table(tmp_path / "t.csv", [{"category_id": "1", "task_id": "1", "category_name": "x"}]), tmp_path
            )
        )


def test_xstest_label(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    (tmp_path / "xstest").mkdir()
    row = {"id": "1", "prompt": "p", "type": "t", "label": "safe"}
    table(tmp_path / "xstest" / "xstest_prompts.csv", [row, row | {"id": "2", "label": "unsafe"}])
    safe, unsafe = benchmark("xstest").read()
    assert (safe.id, safe.cluster, safe.group, safe.harmful, safe.split) == ("1", "1", "t", False, "test")
    assert unsafe.harmful is True and unsafe.cluster == "2"
    table(tmp_path / "xstest" / "xstest_prompts.csv", [row | {"label": "unknown"}])
    with pytest.raises(InputError, match='row 1, field "label": .unknown.; expected one of safe, unsafe'):
        list(benchmark("xstest").read())
    table(tmp_path / "xstest" / "xstest_prompts.csv", [{"id": "1", "prompt": "p", "label": "safe"}])
    with pytest.raises(InputError, match='field "type": no such column in the header'):
        list(benchmark("xstest").read())


def test_gsm8k_target_and_truncated_file(tmp_path):
    file = tmp_path / "g.jsonl"
    file.write_text(json.dumps({"question": "q", "answer": "work\n#### 1,234"}) + "\n")
    (sample,) = _gsm8k.read(file)
    assert sample.target == "1,234"
    file.write_text('{"question": "q", "answer": "no mark"}\n')
    with pytest.raises(InputError, match='row 1, field "answer": no'):
        list(_gsm8k.read(file))
    file.write_text('{"question": "q", "ans')
    with pytest.raises(InputError, match="row 1: not valid JSON"):
        list(_gsm8k.read(file))


def test_mm_safetybench_bad_files(tmp_path):
    file = tmp_path / "01.json"
    file.write_text('{"0": {"Question": "q"}}')
    with pytest.raises(InputError, match=r'row 0, field "Changed Question"'):
        list(_mm_safetybench_rows.questions(file))
    file.write_text('{"0": {"Question": "q", "Changed Question": "c"}}')
    with pytest.raises(InputError, match=r'row 0, field "Key Phrase"'):
        list(_mm_safetybench_rows.questions(file))
    file.write_text('{"0": {"Question": "q", ')
    with pytest.raises(InputError, match="not valid JSON at line 1"):
        list(_mm_safetybench_rows.questions(file))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="did you mean 'xstest'"):
        benchmark("xtest")


def test_an_image_that_is_drawn_when_needed_reads_like_any_other():
    drawn = Drawn("drawn", draw=lambda: Image.new("RGB", (5, 3), "red"))
    assert (drawn.header.format, drawn.size, drawn.pil().getpixel((0, 0))) == ("PNG", (5, 3), (255, 0, 0))
    assert drawn.sha256 == sha256_bytes(drawn.read()) and drawn.data_uri().startswith("data:image/png;base64,")


def test_without_data_every_card_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    for name in ("xstest", "mm-safetybench-sd"):
        reason = benchmark(name).available()
        assert reason is not None and "COUNTERPOISE_DATA" in reason and "\n" not in reason
    assert benchmark("twins").available() is None


@pytest.mark.parametrize(("folder", "name"), (("figstep", "figstep-tiny"), ("xstest", "xstest"), ("gsm8k", "gsm8k")))
def test_public_rows_have_the_stated_numbers(public, data_dir, monkeypatch, folder, name):
    public(folder)
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    samples = benchmark(name).samples()
    assert len(samples) == benchmark(name).rows
    if name == "xstest":
        labels = [sample.harmful for sample in samples]
        assert labels.count(False) == 250 and labels.count(True) == 200


def test_mm_safetybench_of_eleven_scenarios(public, data_dir, monkeypatch):
    public("mm_safetybench")
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    missing = set(_mm_safetybench_rows.SCENARIOS) - set(_mm_safetybench_rows.present())
    if missing != {"06-Fraud", "09-Privacy_Violence"}:
        pytest.skip("the numbers below are those of the eleven scenarios whose questions are in its git repository")
    card = benchmark("mm-safetybench-typo")
    assert card.revision == "11 of 13 scenarios" and "06-Fraud, 09-Privacy_Violence" in card.description
    typo = card.samples()
    assert len(typo) == 1387
    parts = [s.group.split("/")[0] for s in typo]
    assert (parts.count("harm"), parts.count("lobbying and government"), parts.count("advice")) == (679, 302, 406)
    assert typo[0].messages[0].images[0].sha256 == typo[0].messages[0].images[0].sha256
    text = benchmark("mm-safetybench-text").samples()
    assert [each.id for each in text] == [each.id for each in typo] and not any(s.messages[0].images for s in text)
    assert {each.modality for each in text} == {"text"} and text[0].messages[0].text != typo[0].messages[0].text
    assert all(benchmark(f"mm-safetybench-{mode}").max_new_tokens == 512 for mode in ("text", "typo"))
    cut = next(s for s in typo if s.id == "02-HateSpeech/3")
    assert "\n\n" not in cut.messages[0].text


def test_every_module_with_cards_is_found_and_ours_come_first():
    from counterpoise.evals import _registry, cards

    folder = Path(cards.__file__).parent
    declare = [
        file.stem for file in folder.glob("_*.py") if "\nCARDS = " in file.read_text() and file.stem != "__init__"
    ]
    modules = [getattr(cards, name) for name in declare]
    assert len(declare) > 20 and sum(len(each.CARDS) for each in modules) == len(CARDS)
    names = [card.name for card in CARDS]
    assert len(set(names)) == len(names) and list(_registry._own)[: len(names)] == names
    made_here = [not card.data for card in CARDS]
    assert names[0] == "twins" and made_here == sorted(made_here, reverse=True) and len(set(made_here)) == 2


def test_sources_of_one_place_agree():
    """Those of training rows are declared in another room, so that facts of one place stand twice."""
    places = {}
    for each in all_sources().values():
        places.setdefault((each.origin.place, type(each.origin)), []).append(each)
    shared = [each for each in places.values() if len(each) > 1]
    assert {"allenai/wildguardmix", "ys-zong/VLGuard"} <= {each[0].origin.repo for each in shared}
    for each in shared:
        assert len({(one.origin, one.licence, one.gate) for one in each}) == 1, [one.name for one in each]


def test_a_card_made_here_is_known_once(monkeypatch):
    from counterpoise.evals import _registry, register

    monkeypatch.setattr(_registry, "_own", dict(_registry._own))
    card = Benchmark("mine", "M", "", "text", "s", "l", "1", 0, ("opening:v3",), ("asr",), lambda: iter(()))
    register(card)
    assert benchmark("mine") == card
    with pytest.raises(InputError, match="benchmark mine: registered twice"):
        register(card)
    with pytest.raises(InputError, match="benchmark xstest: registered twice"):
        register(dataclasses.replace(card, name="xstest"))


def test_a_card_says_what_the_data_folder_holds_now(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    assert benchmark("jailbreakv").rows == 28_000 and benchmark("mm-safetybench-text").rows == 1_680
    (tmp_path / "jailbreakv").mkdir()
    (tmp_path / "jailbreakv" / "skip.txt").write_text("1\n7\n")
    (tmp_path / "mm_safetybench").mkdir()
    (tmp_path / "mm_safetybench" / "07-Sex.json").write_text("{}")
    assert (benchmark("jailbreakv").rows, benchmark("jailbreakv").revision) == (27_998, "27,998 of 28,000 rows")
    assert benchmark("jailbreakv-mini").rows == 280
    assert (benchmark("mm-safetybench-text").rows, benchmark("mm-safetybench-text").revision) == (
        109,
        "1 of 13 scenarios",
    )


def test_a_limit_keeps_twins_together():
    samples = [Sample(str(i), (user("x"),), cluster=str(i // 2)) for i in range(20)]
    part = spread(samples, 6)
    assert len(part) == 6 and all(sum(s.cluster == p.cluster for p in part) == 2 for s in part)


def test_a_wrong_count_or_a_repeated_id_stops():
    card = Benchmark("b", "b", "", "text", "s", "l", "1", 2, ("opening:v3",), ("asr",), lambda: iter(()))
    with pytest.raises(InputError, match="0 rows, expected 2"):
        card.samples()
    same = Sample("1", (user("x"),))
    card = Benchmark("b", "b", "", "text", "s", "l", "1", 2, ("opening:v3",), ("asr",), lambda: iter((same, same)))
    with pytest.raises(InputError, match='row 1, field "id": occurs twice'):
        card.samples()


def test_a_third_party_benchmark_is_found(monkeypatch):
    import counterpoise.evals._registry as room

    class Point:
        value = "theirs:CARD"

        def load(self):
            return Benchmark("theirs", "T", "", "text", "s", "l", "1", 0, ("opening:v3",), ("asr",), lambda: iter(()))

    monkeypatch.setattr(room, "entry_points", lambda group: [Point()] if group == "counterpoise.benchmarks" else [])
    assert "theirs" in benchmarks()


def test_a_third_party_entry_must_be_a_benchmark_with_a_new_name(monkeypatch):
    import counterpoise.evals._registry as room

    benchmark_before = benchmark("xstest")

    class Point:
        value, loaded = "theirs:CARD", "text"

        def load(self):
            return self.loaded

    monkeypatch.setattr(room, "entry_points", lambda group: [Point()])
    with pytest.raises(InputError, match="theirs:CARD.*expected a Benchmark, got str"):
        benchmarks()
    Point.loaded = staticmethod(lambda: benchmark_before)
    with pytest.raises(InputError, match="'xstest' is taken"):
        benchmarks()


def test_every_benchmark_of_ours_is_an_inspect_task():
    from inspect_ai._util.registry import registry_find, registry_info

    import counterpoise.evals.tasks  # noqa: F401 (as the entry point does)

    found = {registry_info(each).name.rpartition("/")[2] for each in registry_find(lambda info: info.type == "task")}
    assert {card.name for card in CARDS} | {card.name.replace("-", "_") for card in CARDS} | {"benchmark"} <= found


def test_figstep_topics_are_numbered(tmp_path):
    with pytest.raises(InputError, match='field "category_id": .11.; expected 1 to 10'):
        list(_figstep.read(table(tmp_path / "t.csv", [FIGSTEP | {"category_id": "11"}]), tmp_path))
