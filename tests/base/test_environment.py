"""What a launcher sets, and what half a launcher sets."""

from types import SimpleNamespace

import pytest

from counterpoise.base import InputError, launched_processes
from counterpoise.train._distributed import Processes

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


@pytest.fixture
def alone(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_one_process_and_two(alone):
    assert launched_processes() == 1
    alone.setenv("WORLD_SIZE", "")
    assert launched_processes() == 1
    alone.setenv("WORLD_SIZE", "1")
    assert launched_processes() == 1
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        alone.setenv(name, value)
    assert launched_processes() == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2, but RANK and MASTER_ADDR not set; launch with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE=2, but MASTER_ADDR not set"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "host"}, "WORLD_SIZE=2, but RANK not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: not a number of processes"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0: not a number of processes"),
    ],
)
def test_half_a_launcher_is_one_line_before_accelerate_sees_it(given, says, alone):
    for name, value in given.items():
        alone.setenv(name, value)
    for ask in (launched_processes, lambda: Processes(SimpleNamespace(device="cpu"), "fp32")):
        with pytest.raises(InputError, match=says) as error:
            ask()
        assert "\n" not in str(error.value)


def test_mpi_names_its_ranks_itself(alone):
    alone.setenv("WORLD_SIZE", "2")
    alone.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert launched_processes() == 2
