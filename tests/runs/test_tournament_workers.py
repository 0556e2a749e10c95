"""Arms side by side: what is sent back, what a dead process leaves, and that none outlives the first."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.runs.tournament._workers import Task, in_turn, side_by_side

sys.path.insert(0, str(Path(__file__).parent))
from side import dies, meet, sleeps, threads, wrong

HERE = Path(__file__).parent


def job(found, *tasks):
    for work, *given in tasks:
        try:
            found.append((yield Task(work, tuple(given))))
        except InputError as error:
            found.append(str(error))


def test_two_at_once_each_with_its_own_outcomes(tmp_path):
    one, two, three = [], [], []
    jobs = [
        job(one, (meet, tmp_path, "a", "b"), (wrong,)),
        job(two, (meet, tmp_path, "b", "a"), (dies,)),
        job(three, (threads,)),
    ]
    side_by_side(iter(jobs), 2, tmp_path / "logs")
    assert one[0] == two[0][::-1] and os.getpid() not in one[0]
    assert one[1] == "page.png: not an image" and three == [max(1, len(os.sched_getaffinity(0)) // 2)]
    assert "was killed (out of memory?)" in two[1] and "worker-" in two[1] and "the same command goes on" in two[1]
    assert any("last words" in log.read_text() for log in (tmp_path / "logs").iterdir())


def test_one_after_the_other_does_the_same(tmp_path):
    found = []
    in_turn(iter([job(found, (max, 1, 2), (wrong,)), job(found, (min, 1, 2))]))
    assert found == [2, "page.png: not an image", 1]


def test_an_interrupt_ends_every_worker(tmp_path):
    def jobs():
        yield job([], (sleeps, str(tmp_path / "pid")))
        while not (tmp_path / "pid").exists():
            time.sleep(0.1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(jobs(), 2, tmp_path / "logs")
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_tournament_leaves_no_worker(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from test_tournament_workers import Path, job, side_by_side, sleeps\n"
        f"side_by_side(iter([job([], (sleeps, {str(tmp_path / 'pid')!r}))]), 2, Path({str(tmp_path)!r}))\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    for _ in range(600):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.1)
    worker = int((tmp_path / "pid").read_text())
    first.kill()
    first.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker went on alone")
