"""The registry, and methods of a third party that come through an entry point of an installed package."""

import pytest

from counterpoise.base import InputError
from counterpoise.methods import GROUP, Knob, all_methods, get, method
from counterpoise.methods import _registry as registry
from installed import install


def test_a_third_partys_methods_are_like_ours(toy, tmp_path) -> None:
    assert {"mimic", "ptst", "rejection-mix", "text-guided", "toy-hinge", "toy-plain", "uwm"} <= set(all_methods())
    found = get("toy-hinge")
    assert found.title == "Toy hinge" and found.description == "Push refusals above answers by a hinge."
    config = found.config(tmp_path, pairs=2, epochs=2)
    assert (config.pairs, config.train.epochs, config.train.batch_size) == (
        2,
        2,
        4,
    )  # its own defaults, not the class's
    assert [group.kind for group in config.train.groups] == ["lora", "projector"]
    assert found.dose(config) == {"slack": 0.0} and found.size(config).trained == 2 * 120 * 2
    assert found.resolve(None, {}, {"slack": 0.5}).slack == 0.5


def test_a_package_that_cannot_be_imported_is_named(tmp_path, monkeypatch) -> None:
    install(tmp_path, "counterpoise_broken", GROUP, "broken")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_loaded", False)
    with pytest.raises(InputError, match="'broken' of counterpoise_broken: cannot be imported"):
        all_methods()


def test_unknown_methods_suggest_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'rejection-mix'"):
        get("rejectionmix")
    found = get("rejection-mix")
    assert "CVPR 2025" in found.paper and found.licence and found.source and found.description


def test_knobs_of_one_name_are_refused() -> None:
    knobs = (Knob("a", "a"), Knob("a", "b"))
    facts = {"title": "t", "paper": "p", "source": "s", "licence": "l", "config": get("rejection-mix").config_class}
    with pytest.raises(InputError, match="two of its knobs are called 'a'"):
        method("twice", knobs=knobs, **facts)(lambda *_, **__: None)


def test_the_knobs_of_rejection_mix_are_its_fraction_and_its_amount() -> None:
    found = get("rejection-mix")
    assert found.dose(found.config()) == {"fraction": 2000 / 7000, "amount": 7000}
    config = found.resolve(None, {}, {"fraction": 0.1, "amount": 700})
    assert config.counts == (70, 630) and found.dose(config) == {"fraction": 0.1, "amount": 700}
    size = found.size(config)
    assert (size.rows, size.epochs, size.written) == (700, 3.0, 630 * 40)
    assert found.size(found.config(benign_files=["a.json"])).written == 0
    for dose, message in (
        ({"fraction": 1.5}, "fraction: 1.5 is not a share"),
        ({"amount": 70.5}, "amount: 70.5 is not a whole number"),
        ({"amount": float("nan")}, "amount: nan"),
        ({"slack": 1}, "slack: no such dose knob of rejection-mix; its knobs: fraction, amount"),
    ):
        with pytest.raises(InputError, match=message):
            found.resolve(None, {}, dose)
