"""Settings from a file, from `key=value` and from the model, and all that is wrong with them at once."""

from pathlib import Path

import pytest

from counterpoise.base import InputError, load_yaml, write_json
from counterpoise.methods import all_methods, changed, get, given_settings
from counterpoise.models import pocket
from counterpoise.train import TrainConfig


def mix(**settings):
    return get("rejection-mix").resolve(None, settings)


def test_a_file_and_pairs_reach_every_setting_and_pairs_win(tmp_path: Path) -> None:
    file = tmp_path / "mix.yaml"
    file.write_text(
        "n_rejection: 30\nreply: [No., Sorry.]\nbenign_images: pictures\n"
        "train:\n  learning_rate: 1e-4\n  groups:\n"
        "    - {kind: lora, rank: 4}\n    - {kind: projector, learning_rate: 5e-5}\n"
    )
    pairs = [
        "train.learning_rate=3E-5",
        "lora_dropout=0.1",
        "drop_follow_ups=false",
        "train.max_length=null",
        "total= 70 ",
    ]
    config = mix(**given_settings(file, pairs))
    assert config.n_rejection == 30 and config.reply == ("No.", "Sorry.") and config.total == 70
    assert config.train.learning_rate == 3e-5 and config.train.lora_dropout == 0.1
    assert config.train.groups[1].learning_rate == 5e-5 and config.benign_images == Path("pictures")
    assert config.drop_follow_ups is False and config.train.max_length is None


def test_one_file_needs_no_list() -> None:
    config = mix(**given_settings(None, ["rejection_files=a.json", "benign_files=[b.json, c.json]"]))
    assert config.rejection_files == (Path("a.json"),) and config.benign_files == (Path("b.json"), Path("c.json"))


@pytest.mark.parametrize("name", sorted(TrainConfig.model_fields))
def test_every_setting_of_training_is_reached_with_and_without_its_prefix(name: str) -> None:
    given = {
        "schedule": "constant", "precision": "fp32", "train_connector": "true", "gradient_checkpointing": "true",
        "groups": '[{kind: layers, modules: [all]}]', "max_length": "99", "lora_dropout": "0.25", "warmup_ratio": "0.5",
    }.get(name, "7")  # fmt: skip
    known = get("rejection-mix").config_class.model_fields
    for pair in [f"train.{name}={given}", *([f"{name}={given}"] if name not in known else [])]:
        config = mix(**given_settings(None, [pair]))
        default = getattr(TrainConfig(), name)
        assert getattr(config.train, name) != default and f"train.{name}" in changed(config)


def test_all_that_is_wrong_is_said_at_once_with_the_nearest_name() -> None:
    wrong = ["train.learning_rat=1e-4", "n_rejection=many", "train.epochs=-1", "zebra=1", "train=3", "fraction=1.5"]
    with pytest.raises(InputError) as caught:
        mix(**given_settings(None, [*wrong, "learning_rate=1", "train.learning_rate=1", "train.batch_size=.inf"]))
    said = str(caught.value)
    assert said.startswith("rejection-mix: ") and "\n" not in said
    for part in (
        "train.learning_rat: no such setting; did you mean train.learning_rate?",
        "n_rejection: Input should be a valid integer, unable to parse string as an integer (got 'many')",
        "train.epochs: Input should be greater than 0 (got -1)",
        "zebra: no such setting; settings: ",
        "train: holds settings, not a value; write for example train.learning_rate",
        "fraction: Input should be less than or equal to 1 (got 1.5)",
        "train.learning_rate: given twice",
        "train.batch_size: ",
    ):
        assert part in said, part


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="train.weight_decay: inf is not finite"):
        mix(**given_settings(None, ["train.weight_decay=Infinity"]))


def test_pairs_that_cannot_be_read_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="--set: 'epochs' is not key=value; --set: '=3' is not key=value; --set: seed is given twice"
    ):
        given_settings(None, ["epochs", "=3", "seed=1", "seed=2"])
    with pytest.raises(InputError, match="--set reply: not valid YAML"):
        given_settings(None, ["reply=[No"])
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="list.yaml: expected settings such as"):
        given_settings(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="nowhere.yaml: No such file"):
        given_settings(tmp_path / "nowhere.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert given_settings(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("7", 7), ("true", True), ("null", None), ('"7"', "7"), ("No: never", "No: never"),
        ("no", "no"), ("[1, a]", [1, "a"]), ("{a: 1e-3}", {"a": 1e-3}), ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_what_a_value_is_read_as(text: str, value: object) -> None:
    assert given_settings(None, [f"key={text}"]) == {"key": value}


def test_yaml_reads_numbers_without_a_dot() -> None:
    found = load_yaml("a: 1e-4\nb: -2E+3\nc: 1e4x\nd: 12e\ne: 1.5e-3\nf: 10", "here")
    assert found == {"a": 1e-4, "b": -2000.0, "c": "1e4x", "d": "12e", "e": 0.0015, "f": 10}
    assert isinstance(found["a"], float) and isinstance(found["f"], int)


def test_a_setting_that_the_dose_sets_too_is_refused() -> None:
    with pytest.raises(InputError, match="total: set twice, as a setting and by the dose"):
        get("rejection-mix").resolve(None, {"total": 70}, {"amount": 700})


def test_defaults_of_the_model_are_below_the_users(tmp_path: Path) -> None:
    (tmp_path / "counterpoise.json").write_text(
        '{"align_defaults": {"train": {"epochs": 2}, "lora_rank": 8, "other": 1}}'
    )
    config = get("rejection-mix").resolve(tmp_path, {"train.lora_rank": 4})
    assert (config.train.epochs, config.train.lora_rank, config.train.lora_alpha) == (2, 4, 256)
    assert changed(config) == {"train.epochs": 2.0, "train.lora_rank": 4}
    assert changed(get("rejection-mix").config()) == {}


def test_the_models_file_for_one_method_is_above_its_defaults_and_below_the_user(tmp_path: Path) -> None:
    (tmp_path / "counterpoise.json").write_text('{"align_defaults": {"learning_rate": 3e-4, "batch_size": 16}}')
    (tmp_path / "align").mkdir()
    (tmp_path / "align" / "dpo.yaml").write_text("n_pairs: 300\ntrain: {learning_rate: 5e-5}")
    config = get("dpo").resolve(tmp_path, {})
    assert (config.n_pairs, config.train.learning_rate, config.train.batch_size) == (300, 5e-5, 16)
    assert get("dpo").resolve(tmp_path, {"learning_rate": 1e-6}).train.learning_rate == 1e-6
    assert get("sit").resolve(tmp_path, {}).train.learning_rate == 3e-4
    (tmp_path / "align" / "dpo.yaml").write_text("n_pair: 300")
    with pytest.raises(InputError, match=r"align/dpo\.yaml: n_pair: no such setting; did you mean n_pairs\?"):
        get("dpo").resolve(tmp_path, {})


def test_every_method_is_small_enough_for_the_pocket(tmp_path: Path) -> None:
    """At some 450 tokens trained, and 400 written, in a second on two cores: at most about ten minutes each."""
    write_json(tmp_path / "counterpoise.json", {"align_defaults": pocket.ALIGN_DEFAULTS})
    pocket.place_texts(tmp_path)
    seen = {}
    for name, method in all_methods().items():
        if method.size is not None and method.load is None:  # those for diffusion models need prompts
            size = method.size(method.resolve(tmp_path, {}))
            seen[name] = size.trained / 450 + size.written / 400
    assert len(seen) >= 12 and {"mirage", "multitask-mix", "safe-rlhf-v", "dpo"} <= set(seen)
    assert {name: seconds for name, seconds in seen.items() if seconds > 600} == {}
    rates = {
        name: get(name).resolve(tmp_path, {}).train.learning_rate for name in ("sit", "dpo", "sacpo", "text-guided")
    }
    # the rate for fine-tuning is not that of losses of another kind
    assert rates == {"sit": 3e-4, "dpo": 5e-5, "sacpo": 5e-5, "text-guided": 8e-4}
    # what a user sets is never hidden by a preset of another name
    assert get("mirage").resolve(tmp_path, {"n_mis": 120}).counts == (120, 0, 15)
    assert get("textual-sft").resolve(tmp_path, {"n_harmful": 20}).counts == (20, 10)
    shipped = {file.stem for file in pocket.PRESETS.glob("*.yaml")}
    assert shipped <= set(seen), "presets of no method"


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("train: {learning_rate: 2e-4, epochs: 5}", "learning_rate=1e-4"),
        ("learning_rate: 2e-4\nepochs: 5", "train.learning_rate=1e-4"),
        ("train: {learning_rate: 2e-4, epochs: 5}", "train={learning_rate: 1e-4}"),
    ],
)
def test_a_pair_wins_over_the_file_whichever_way_both_are_written(tmp_path: Path, text: str, pair: str) -> None:
    (tmp_path / "mix.yaml").write_text(text)
    kind = get("rejection-mix").config_class
    config = mix(**given_settings(tmp_path / "mix.yaml", [pair], None, kind))
    assert (config.train.learning_rate, config.train.epochs) == (1e-4, 5)


def test_a_pair_and_an_option_for_one_setting_are_refused() -> None:
    with pytest.raises(InputError, match="skip_bad_rows is given twice"):
        given_settings(None, ["skip_bad_rows=3"], {"skip_bad_rows": 5})


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "x:\n  - {c: 1,\n     c: 1}"])
def test_a_key_that_yaml_has_twice_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match="here: not valid YAML at line 3, .*second time"):
        load_yaml(text, "here")
    assert load_yaml("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}", "here")["d"] == {"b": 3, "c": 2}
