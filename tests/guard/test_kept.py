"""What costs a pass of a model is made once for a block of rows, whatever its form on disk."""

import numpy as np
import pytest

from counterpoise.base import InputError
from counterpoise.chat import user
from counterpoise.guard import Exchange
from counterpoise.guard._kept import LIST, NAMED, ONE, content_key, kept_blocks
from counterpoise.guard._labelled import Labelled

ROWS = [Labelled(str(n), Exchange((user(f"row {n}"),)), bool(n % 2), str(n)) for n in range(7)]
MADE = {
    "named": (NAMED, lambda block: {"a": np.array([len(block)]), "b": np.zeros((0, 3), np.float32)}),
    "list": (LIST, lambda block: [np.full((n + 1, 2), n, np.float32) for n, _ in enumerate(block)]),
    "one": (ONE, lambda block: np.array([[float(row.id)] for row in block])),
}


def flat(value):
    return value if isinstance(value, np.ndarray) else list(value.values() if isinstance(value, dict) else value)


@pytest.mark.parametrize("kind", MADE)
def test_a_stopped_pass_goes_on_and_a_damaged_file_is_named(kind, tmp_path):
    form, make = MADE[kind]
    asked = []

    def made(block):
        if len(asked) == 2:
            asked.append("stop")
            raise KeyboardInterrupt
        asked.append([row.id for row in block])
        return make(block)

    def run(key=content_key, folder=tmp_path):
        return list(kept_blocks(ROWS, made, size=3, form=form, folder=folder, key=key, title="t"))

    with pytest.raises(KeyboardInterrupt):
        run()
    found = run()
    assert asked == [["0", "1", "2"], ["3", "4", "5"], "stop", ["6"]]  # what was whole is not made again
    again = run()
    assert len(asked) == 4
    for one, other, block in zip(found, again, (ROWS[:3], ROWS[3:6], ROWS[6:]), strict=True):
        for value in (one, other):
            for a, b in zip(flat(value), flat(make(block)), strict=True):
                assert np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype
    run(lambda block: content_key(block, "of another model"))
    assert len(asked) == 7
    run(folder=None)
    assert len(asked) == 10 and len(list(tmp_path.iterdir())) == 6
    file = tmp_path / form.file.format(content_key(ROWS[:3]))
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    with pytest.raises(InputError, match=f"{file.name}: damaged .* delete it to look at these rows again"):
        run()
