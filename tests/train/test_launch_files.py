"""The files for `accelerate launch --config_file`: Accelerate takes them, and its launcher sets what they say."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands import launch
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.utils import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

FOLDER = Path(__file__).parents[2] / "configs" / "accelerate"
KINDS = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed-zero2": "DEEPSPEED", "deepspeed-zero3": "DEEPSPEED"}
STAGES = {"deepspeed-zero2": "2", "deepspeed-zero3": "3"}


def environment(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What `accelerate launch --config_file` sets for its processes, which are not started here."""
    started: list[argparse.Namespace] = []
    for launcher in ("multi_gpu_launcher", "deepspeed_launcher", "simple_launcher"):
        monkeypatch.setattr(launch, launcher, started.append)
    options = ["--config_file", str(FOLDER / f"{name}.yaml"), "--main_process_port", "0", "train.py"]
    launch.launch_command(launch.launch_command_parser().parse_args(options))
    return prepare_deepspeed_cmd_env(started[0])[1] if name in STAGES else prepare_multi_gpu_env(started[0])


def test_there_is_a_file_for_each_way() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_takes_the_file(name: str) -> None:
    """An unknown key is an error of Accelerate's; those within its sections it would pass over in silence."""
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert isinstance(config, ClusterConfig) and config.distributed_type == KINDS[name]
    assert config.num_processes == 2 and config.num_machines == 1 and not config.use_cpu
    known = set(vars(launch.launch_command_parser().parse_args(["train.py"])))
    text: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    sections = [value for value in text.values() if isinstance(value, dict)]
    assert all(key in known for section in sections for key in section)
    assert text["mixed_precision"] == "no"  # a bare no is False in YAML


@pytest.mark.parametrize("name", KINDS)
def test_the_launcher_sets_what_the_file_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = environment(name, monkeypatch)
    assert env["ACCELERATE_MIXED_PRECISION"] == "no"
    sharded = env.get("ACCELERATE_USE_FSDP") == "true"
    assert sharded == (name == "fsdp2") and (env.get("ACCELERATE_USE_DEEPSPEED") == "true") == (name in STAGES)
    assert env.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == STAGES.get(name)
    if sharded:
        assert (env["FSDP_VERSION"], env["FSDP_RESHARD_AFTER_FORWARD"]) == ("2", "true")
        assert env["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
        assert "FSDP_TRANSFORMER_CLS_TO_WRAP" not in env and env["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
