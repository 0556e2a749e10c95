"""Helper threads are given back and come again."""

from pathlib import Path

import pytest
import torch

from counterpoise.models._cores import _pause, release_cores


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_helper_threads_end_and_later_results_are_the_same() -> None:
    if _pause() is None:
        pytest.skip("PyTorch does not use GNU OpenMP here")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        x = torch.randn(400, 4000)
        first = torch.softmax(x, 1)
        assert (busy := threads()) > 1
        release_cores()
        assert threads() <= busy - 2
        assert torch.equal(torch.softmax(x, 1), first)
        assert threads() == busy
    finally:
        torch.set_num_threads(before)
