"""What a long work says of itself, at moments of a clock that we turn."""

import pytest

from counterpoise.base import Progress, clock


@pytest.fixture
def turned(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("counterpoise.base._progress.time.monotonic", lambda: now[0])
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_time_left_is_of_the_rate_so_far_and_not_of_the_first_row_of_a_batch(turned, capsys):
    """64 rows of a batch arrive together after 40 s: the first alone would promise 19 hours."""
    with Progress("answers", 1700) as bar:
        turned[0] = 40.0
        for _ in range(64):
            bar.advance()
        turned[0] = 80.0
        bar.advance(64)
    assert lines(capsys) == [
        "answers: 1/1700 rows",
        "answers: 128/1700 rows, 1.6/s, 16 min left",
        "answers: 128/1700 rows, 1.6/s, 80 s",
    ]


def test_what_was_done_before_is_no_part_of_the_rate(turned, capsys):
    bar = Progress("train", 44, unit="steps", done=4)
    turned[0] = 560.0
    bar.advance(10, note="loss 0.7")
    assert lines(capsys) == ["train: 14/44 steps, 56 s each, 28 min left loss 0.7"]


def test_few_large_items_have_a_rate_too(turned, capsys):
    with Progress("arms", 2) as bar:
        turned[0] = 3600.0
        bar.advance()
    assert lines(capsys)[0] == "arms: 1/2 rows, 3600 s each, 60 min left"


def test_nothing_done_is_said_without_a_rate_of_nothing(turned, capsys):
    with Progress("answers", 10):
        turned[0] = 3.0
    assert lines(capsys) == ["answers: 0/10 rows, 0.0/s, 3 s"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (86400, "24.0 h")],
)
def test_times_are_said_as_people_say_them(seconds, said):
    assert clock(seconds) == said
