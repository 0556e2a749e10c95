"""Adapters of every kind that PEFT saves: active, or refused in one line."""

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PrefixTuningConfig, TrainableTokensConfig, get_peft_model
from safetensors.torch import load_file, save_file

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Engine, connector_modules, load, lora_targets, merge_adapter, target_regex


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    return {arch: tiny.build(arch, root / arch) for arch in ("llava", "qwen2_5_vl", "qwen3_vl", "gemma3", "llama")}


def saved(base, folder, make, change=lambda name, value: value):
    """An adapter of the config that `make` gives for the model, its trained weights passed through `change`."""
    loaded = load(str(base), dtype="float32", device="cpu")
    torch.manual_seed(0)
    model = get_peft_model(loaded.model, make(loaded.model))
    for name, value in model.named_parameters():
        if value.requires_grad:
            value.data.copy_(change(name, value.data))
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def other(name, value):
    """Another value than any that means "no change"."""
    return value + 0.05 + 0.1 * torch.rand_like(value)


def lora(model, **more):
    return LoraConfig(r=4, target_modules=target_regex(lora_targets(model)), **more)


def whole_connector(model):
    return lora(model, modules_to_save=connector_modules(model))


def only_factors(part):
    return lambda name, value: other(name, value) if part in name else value


KINDS = {
    "lora and connector": (whole_connector, other),
    "connector alone": (whole_connector, only_factors("modules_to_save")),
    "output layer alone": (lambda m: lora(m, modules_to_save=["lm_head"]), only_factors("modules_to_save")),
    "embeddings alone": (lambda m: lora(m, modules_to_save=["embed_tokens"]), only_factors("modules_to_save")),
    "new tokens beside lora": (lambda m: lora(m, trainable_token_indices=[318, 320]), only_factors("trainable_tokens")),
    "new tokens alone": (lambda m: TrainableTokensConfig(token_indices=[318, 320]), other),
    "dora": (lambda m: lora(m, use_dora=True), other),
    "magnitudes of dora alone": (lambda m: lora(m, use_dora=True), only_factors("magnitude")),
    "ia3": (lambda m: IA3Config(target_modules=target_regex(lora_targets(m)), feedforward_modules=[]), other),
    "loha": (lambda m: LoHaConfig(r=2, target_modules=target_regex(lora_targets(m))), other),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_an_adapter_changes_it_is_active_and_survives_merging(bases, tmp_path, kind):
    adapter = saved(bases["llava"], tmp_path / "a", *KINDS[kind])
    tuned = load(str(bases["llava"]), adapter=adapter, dtype="float32", device="cpu")
    assert tuned.proof is not None and tuned.proof.probe_difference > 0 and tuned.proof.n_nonzero > 0
    merged = merge_adapter(tuned)
    assert merged.peft is None and merged.proof.probe_difference == pytest.approx(
        tuned.proof.probe_difference, rel=1e-2
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_changes_nothing_is_refused(bases, tmp_path, kind):
    make, _ = KINDS[kind]
    still = lambda name, value: torch.zeros_like(value) if "hada_w2" in name else value  # noqa: E731
    if kind == "loha":  # its last factor is what training moves away from zero
        pytest.skip("a LoHa of zeros is a weight that the probe judges; see the next test")
    with pytest.raises(InputError, match="changes nothing"):
        load(str(bases["llava"]), adapter=saved(bases["llava"], tmp_path / "a", make, still), dtype="float32")


def test_a_kind_whose_weights_do_not_tell_is_judged_by_the_probe(bases, tmp_path):
    make, _ = KINDS["loha"]
    adapter = saved(bases["llava"], tmp_path / "a", make)  # fresh: half of its factors are zero
    with pytest.raises(InputError, match="logits are the same with and without it"):
        load(str(bases["llava"]), adapter=adapter, dtype="float32")


@pytest.mark.parametrize("arch", ["llava", "qwen2_5_vl", "qwen3_vl", "gemma3"])
def test_a_trained_connector_changes_answers_about_images_alone(bases, tmp_path, arch):
    adapter = saved(bases[arch], tmp_path / "a", *KINDS["connector alone"])
    base = Engine(load(str(bases[arch]), dtype="float32", device="cpu"))
    tuned = Engine(load(str(bases[arch]), adapter=adapter, dtype="float32", device="cpu"))
    assert tuned.loaded.proof.n_nonzero == len(connector_modules(base.loaded.model))
    text, seen = (user("what is it?"),), (user(Image.from_pil(tiny.picture()), "what is it?"),)
    [a, b], [c, d] = (engine.score_options([text, seen], [["x"], ["x"]]) for engine in (base, tuned))
    assert a == c and abs(b[0] - d[0]) > 1e-4


def test_a_learned_prompt_is_refused(bases, tmp_path):
    def make(model):
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)

    adapter = saved(bases["llama"], tmp_path / "a", make, other)
    with pytest.raises(InputError, match="PREFIX_TUNING learns a prompt"):
        load(str(bases["llama"]), adapter=adapter)


def test_a_replaced_module_without_its_tensors_is_refused(bases, tmp_path):
    adapter = saved(bases["llava"], tmp_path / "a", *KINDS["lora and connector"])
    file = adapter / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "linear_2" not in k}, file)
    with pytest.raises(InputError, match=r"its file has no tensor .*multi_modal_projector\.linear_2") as caught:
        load(str(bases["llava"]), adapter=adapter)
    assert "\n" not in str(caught.value)


OLD = {  # as transformers named the layers before 4.52
    "llava": ("model.model.language_model.", "model.language_model.model."),
    "gemma3": ("model.model.language_model.", "model.language_model.model."),
    "qwen2_5_vl": ("model.model.language_model.", "model.model."),
}


@pytest.mark.parametrize("arch", OLD)
def test_names_of_older_releases_are_translated_or_refused(bases, tmp_path, arch):
    """Either every factor is in place, with the very values of the file, or the command stops."""
    adapter = saved(bases[arch], tmp_path / "a", lora, other)
    expected = load(str(bases[arch]), adapter=adapter, dtype="float32").proof.probe_difference
    file = adapter / "adapter_model.safetensors"
    new, old = OLD[arch]
    tensors = load_file(file)
    renamed = {name.replace(new, old): value for name, value in tensors.items()}
    assert not set(tensors) & set(renamed)
    save_file(renamed, file)
    try:
        loaded = load(str(bases[arch]), adapter=adapter, dtype="float32")
    except InputError as error:
        assert "have no place" in str(error)
    else:
        assert loaded.proof.n_nonzero == 14 and loaded.proof.probe_difference == pytest.approx(expected)


def test_merging_says_which_kind_cannot_be_merged(bases, tmp_path):
    adapter = saved(bases["llama"], tmp_path / "a", lora, other)
    loaded = load(str(bases["llama"]), adapter=adapter, dtype="float32")

    class Stuck(type(loaded.peft)):
        def merge_and_unload(self):
            raise NotImplementedError("cannot be merged")

    loaded.peft.__class__ = Stuck
    with pytest.raises(InputError, match="cannot be added to the weights"):
        merge_adapter(loaded)
