"""`--limit`: which part of a benchmark is asked."""

import pytest

from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals._benchmark import spread
from tiny import build


def samples(n: int, size: int = 1) -> list[Sample]:
    return [Sample(f"s{i}", (user("x"),), cluster=f"c{i // size}" if size > 1 else "") for i in range(n)]


def places(found: list[Sample]) -> list[int]:
    return [int(each.id[1:]) for each in found]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("n", [61, 240, 1_000])
def test_a_larger_limit_contains_the_smaller(n, size):
    """50 items evenly spaced share ten with 60 evenly spaced ones."""
    whole = samples(n, size)
    before: set[int] = set()
    for limit in range(1, n + 1):
        now = set(places(spread(whole, limit)))
        assert before <= now and (len(now) <= limit or limit < size)
        before = now
    assert before == set(range(n)) if n % size == 0 else len(before) >= n - size


def test_the_part_is_in_order_and_evenly_spread_over_the_file_and_over_what_alternates():
    for limit in (20, 50, 60, 130):
        found = places(spread(samples(480), limit))
        assert found == sorted(found) and len(found) == limit
        for part in range(4):  # quarters of the file, and a file that alternates between four kinds
            assert abs(sum(part * 120 <= place < (part + 1) * 120 for place in found) - limit / 4) <= 3
            assert abs(sum(place % 4 == part for place in found) - limit / 4) <= 3


def test_one_large_cluster_leaves_room_for_no_gap():
    """The first samples of it fill what is left; it used to end the part, far below the limit."""
    sizes = [1, 1, 60, 1, 1, 1, 60, 1] * 3
    names = [f"c{i}" for i, size in enumerate(sizes) for _ in range(size)]
    whole = [Sample(f"s{i}", (user("x"),), cluster=name) for i, name in enumerate(names)]
    before: set[int] = set()
    for limit in range(1, len(whole) + 1):
        now = set(places(spread(whole, limit)))
        assert before <= now and len(now) == limit
        before = now
    assert len(spread(whole, 7, whole=60)) != 7  # tries of one question are never torn apart


def test_a_cluster_is_whole_or_absent():
    found = places(spread(samples(300, 3), 50))
    assert len(found) == 48 and all({3 * (p // 3) + k for k in range(3)} <= set(found) for p in found)
    assert len(spread(samples(300, 3), 1)) == 3


def test_a_limit_below_one_cluster_is_said_before_and_after(tmp_path, capsys):
    """`--limit 1` of our twins asks a whole family."""
    (tmp_path / "rows.csv").write_text("key,question,pair\n" + "".join(f"k{i},Ask {i}?,{i // 3}\n" for i in range(12)))
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nfile: rows.csv\nprompt: question\nharmful: true\nid: key\ncluster: pair\nlicence: CC0-1.0\n"
        "source: by hand\n"
    )
    model = str(build("smolvlm", tmp_path / "model"))
    command = ["eval", model, "--benchmark-file", str(tmp_path / "mine.yaml"), "--max-new-tokens", "2", "--limit"]
    line = "mine: 3 items are asked though the limit is 1: those of one cluster (twins, tries) stay together"
    assert main([*command, "1", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count(line.removeprefix("mine")) == 1 and "3 rows" in said
    assert main([*command, "1", "--out", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().err.splitlines().count(line) == 1
    assert main([*command, "6", "--dry-run"]) == 0
    assert "though the limit" not in capsys.readouterr().out
