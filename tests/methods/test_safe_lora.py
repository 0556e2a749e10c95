"""Safe LoRA against its formula, and on real architectures: adapters and whole weights."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from counterpoise.base import InputError, read_json, write_json
from counterpoise.methods import SafeLoRAConfig, get
from counterpoise.methods._safe_lora import Layer, chosen, measured, project
from counterpoise.models import language_root, load, lora_targets

Q = "layers.0.self_attn.q_proj"


def vector(seed: int, n: int = 6) -> torch.Tensor:
    found = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
    return found / found.norm()


def test_the_update_is_projected_as_the_formula_says() -> None:
    draw = torch.Generator().manual_seed(0)
    v, b, a = (torch.randn(*shape, generator=draw) for shape in ((6, 5), (6, 2), (2, 5)))
    c = v @ v.T / v.norm()
    torch.testing.assert_close(project(v, b) @ a, c @ b @ a)
    exact = v @ torch.linalg.inv(v.T @ v) @ v.T
    torch.testing.assert_close(project(v, b, "exact", 1e-6) @ a, exact @ b @ a, rtol=1e-4, atol=1e-5)
    found = measured("x", b @ a, c @ b @ a)
    cosine = torch.nn.functional.cosine_similarity((b @ a).flatten(), (c @ b @ a).flatten(), dim=0)
    assert found.cosine == pytest.approx(float(cosine), abs=1e-6)
    assert found.ratio == pytest.approx(float((c @ b @ a).norm() / (b @ a).norm()), rel=1e-5)


def test_a_parallel_update_stays_a_perpendicular_one_goes_and_a_larger_alignment_grows_it() -> None:
    u, other = vector(0), vector(1)
    across = other - u @ (u.T @ other)
    torch.testing.assert_close(project(u @ u.T, u), u)
    assert measured("x", u, project(u @ u.T, u)).cosine == pytest.approx(1)
    assert project(u @ u.T, across).norm() < 1e-6 and measured("x", across, project(u @ u.T, across) * 0).cosine == 0
    torch.testing.assert_close(project(2 * u @ u.T, u), 2 * u)  # the authors' C is no projection
    torch.testing.assert_close(project(2 * u @ u.T, u, "exact"), u)
    noisy = u @ u.T + 1e-3 * torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
    assert project(noisy, across, "exact").norm() < 0.02 * across.norm()  # rounding spans no direction
    assert measured("x", 0 * u, 0 * u) == Layer("x", 1.0, 1.0)


def test_layers_are_chosen_by_number_or_by_cosine() -> None:
    layers = [Layer(name, cosine, 1.0) for name, cosine in (("a", 0.9), ("b", 0.2), ("c", 0.5))]
    assert chosen(SafeLoRAConfig(number=2), layers) == {"b", "c"}
    assert chosen(SafeLoRAConfig(number=0), layers) == set()
    assert chosen(SafeLoRAConfig(mode="threshold", threshold=0.5), layers) == {"b", "c"}
    assert chosen(SafeLoRAConfig(mode="threshold", threshold=0.1), layers) == set()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`aligned`, a VLM; `language`, what its language model was before: other in one direction of every second linear
    layer; `adapter` and `weights`, two fine-tunings of it."""
    from peft import LoraConfig, get_peft_model

    top = tmp_path_factory.mktemp("safe")
    aligned = load(str(tiny.build("smolvlm", top / "aligned")), dtype="float32", device="cpu")
    before = load(str(tiny.build("llama", top / "language", seed=5)), dtype="float32", device="cpu")
    own = dict(before.model.named_parameters())
    root = language_root(aligned.model)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for place, path in enumerate(lora_targets(aligned.model)):
            weight = aligned.model.get_parameter(f"{path}.weight")
            u = torch.randn(weight.shape[0], 1, generator=draw)
            w = torch.randn(weight.shape[1], 1, generator=draw)
            own[f"model.{path.removeprefix(root + '.')}.weight"].copy_(weight - (u @ w.T if place % 2 == 0 else 0))
    before.model.save_pretrained(top / "language")
    tuned = load(str(top / "aligned"), dtype="float32", device="cpu")
    torch.manual_seed(0)
    peft = get_peft_model(
        tuned.model, LoraConfig(r=2, target_modules=r".*text_model.*(q_proj|k_proj)", init_lora_weights=False)
    )
    peft.peft_config["default"].base_model_name_or_path = str(top / "aligned")
    peft.save_pretrained(top / "adapter")
    moved = load(str(top / "aligned"), dtype="float32", device="cpu")
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    moved.model.save_pretrained(top / "weights")
    moved.processor.save_pretrained(top / "weights")
    return top


def run(models: Path, out: Path, tuned: str = "adapter", **settings: object) -> dict:
    loaded = load(str(models / "aligned"), dtype="float32", device="cpu")
    given = {"tuned": str(models / tuned), "unaligned": str(models / "language")} | settings
    return get("safe-lora").align(loaded, get("safe-lora").config(None, **given), out).run


def deltas(models: Path, folder: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds to each matrix, by PEFT itself."""
    loaded = load(str(models / "aligned"), adapter=folder, dtype="float32", device="cpu")
    found = {}
    for name, module in loaded.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            found[name] = module.get_delta_weight("default").detach()
    return found


def test_an_adapter_becomes_an_adapter_whose_update_is_the_projection(models: Path, tmp_path: Path) -> None:
    made = run(models, tmp_path / "out", number=1)
    assert made["artifact"]["kind"] == "adapter" and made["train"]["replaced"] == 1
    before, after = deltas(models, models / "adapter"), deltas(models, tmp_path / "out" / "adapter")
    aligned = load(str(models / "aligned"), dtype="float32", device="cpu")
    language = load(str(models / "language"), dtype="float32", device="cpu")
    layers = {each["name"]: each for each in made["train"]["layers"]}
    assert set(layers) | set(made["train"]["left"]) == set(before) and len(made["train"]["left"]) == 2  # V = 0 there
    lowest = min(layers, key=lambda name: layers[name]["cosine"])
    root = language_root(aligned.model)
    for name, change in before.items():
        if name != lowest:
            assert torch.equal(after[name], change)
            continue
        other = f"model.{name.removeprefix(root + '.')}.weight"
        v = (aligned.model.get_parameter(f"{name}.weight") - language.model.get_parameter(other)).detach()
        torch.testing.assert_close(after[name], v @ v.T / v.norm() @ change, rtol=1e-3, atol=1e-4)
        assert layers[name]["replaced"] and layers[name]["ratio"] == pytest.approx(
            float(after[name].norm() / change.norm()), rel=1e-3
        )
    nothing = run(models, tmp_path / "none", number=0)
    assert nothing["train"]["replaced"] == 0
    files = [
        load_file(place / "adapter_model.safetensors") for place in (models / "adapter", tmp_path / "none/adapter")
    ]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])


def test_whole_weights_become_whole_weights(models: Path, tmp_path: Path) -> None:
    made = run(models, tmp_path / "out", tuned="weights", mode="threshold", threshold=1.0, form="exact")
    assert made["artifact"] == {"kind": "weights", "path": "weights"} | {"fingerprint": made["artifact"]["fingerprint"]}
    aligned, tuned, after = (
        dict(load(str(place), dtype="float32", device="cpu").model.named_parameters())
        for place in (models / "aligned", models / "weights", tmp_path / "out" / "weights")
    )
    replaced = {f"{each['name']}.weight" for each in made["train"]["layers"] if each["replaced"]}
    assert len(replaced) == 7  # every second of two blocks' seven linear layers
    for name, value in after.items():
        if name not in replaced:
            assert torch.equal(value, tuned[name]), name
        else:
            assert int(torch.linalg.matrix_rank(value - aligned[name], atol=1e-3)) == 1 and value.ne(tuned[name]).any()


def test_what_a_user_can_mend_is_said_in_one_line(models: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="safe-lora: not set: unaligned; write --set unaligned=FOLDER"):
        run(models, tmp_path / "a", unaligned=None)
    with pytest.raises(InputError, match="has the same weights as"):
        run(models, tmp_path / "a", unaligned=str(models / "aligned"))
    small = tmp_path / "dora"
    shutil.copytree(models / "adapter", small)
    write_json(small / "adapter_config.json", read_json(small / "adapter_config.json") | {"use_dora": True})
    with pytest.raises(InputError, match="use_dora is no plain LoRA; merge it"):
        run(models, tmp_path / "b", tuned=str(small))
    strange = tmp_path / "strange"
    shutil.copytree(models / "adapter", strange)
    tensors = load_file(strange / "adapter_model.safetensors")
    name = next(each for each in tensors if each.endswith(f"{Q}.lora_B.weight"))
    save_file(tensors | {name: torch.ones(5, 2)}, strange / "adapter_model.safetensors")
    with pytest.raises(InputError, match="does not fit the model"):
        run(models, tmp_path / "c", tuned=str(strange))
    quantised = load(str(models / "aligned"), dtype="float32", device="cpu")
    path = next(each for each in lora_targets(quantised.model) if each.endswith(Q))
    layer = quantised.model.get_submodule(path)
    layer.weight = torch.nn.Parameter(torch.zeros(32, 32, dtype=torch.uint8), requires_grad=False)
    config = get("safe-lora").config(None, tuned=str(models / "adapter"), unaligned=str(models / "language"))
    with pytest.raises(InputError, match="quantised or spread.*load the unquantised checkpoint"):
        get("safe-lora").align(quantised, config, tmp_path / "d")
    assert not any((tmp_path / each / "adapter").exists() for each in "abcd")
