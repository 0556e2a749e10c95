"""Losses of supervised fine-tuning in float32, recorded before the room was rebuilt on its seams: they must not move.

Twelve steps each of `worker.rows()`, weight decay 0.01, no dropout. Rebuilt they were equal to 2e-7; 1e-6 leaves room
for another CPU's order of summation, which a training amplifies.
"""

import json
from pathlib import Path

import pytest
import worker

import tiny
from counterpoise.models import load
from counterpoise.train import SFT, fit

LOSSES = {
    "llama": (
        7.568173495, 7.398704246, 7.501397705, 7.328732513, 7.254727964, 7.125254313,
        7.092446992, 7.055104887, 7.129980672, 6.97259467, 6.945852028, 6.873227609,
    ),
    "smolvlm": (
        7.457180717, 7.381852044, 7.404900614, 7.479832849, 7.07475747, 7.186554238,
        7.114400112, 7.139183397, 7.116922811, 6.857194901, 6.549683193, 7.293898402,
    ),
    "llava": (
        7.058849682, 7.494684714, 7.102648621, 6.840658853, 6.718405971, 6.622684903,
        6.368875099, 6.903140728, 6.371137085, 6.59949289, 6.678238779, 6.958522178,
    ),
    "qwen3_vl": (
        7.007986589, 7.496038649, 7.220161947, 6.938829644, 7.016102402, 6.744431814,
        6.95631952, 6.832300274, 6.507815959, 6.348271779, 6.513248947, 6.711636621,
    ),
    "smolvlm+train_connector": (
        7.457180717, 7.380050942, 7.421119995, 7.486810374, 7.061804877, 7.179880778,
        6.98916441, 7.057367648, 7.078247681, 6.749911717, 6.544376301, 7.141560426,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_what_they_were(name: str, tmp_path: Path) -> None:
    arch, _, setting = name.partition("+")
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    changes = {"lora_dropout": 0.0, "weight_decay": 0.01} | ({setting: True} if setting else {})
    fit(loaded, worker.rows(images=loaded.is_vlm), SFT(), worker.CONFIG.model_copy(update=changes), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == pytest.approx(LOSSES[name], rel=1e-6)
