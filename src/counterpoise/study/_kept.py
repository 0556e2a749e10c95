"""States that were read already, a file for each batch of prompts: a study that goes on reads none of them twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from counterpoise.base import atomic_write
from counterpoise.chat import Conversation

if TYPE_CHECKING:
    from counterpoise.models import Loaded

    from ._states import Seen

ENTERING = "entering "


class Kept:
    """A folder of batches, found again by what they are of: the model with all that is put on it, the prompts, what is
    read, and how the states were changed on the way. A file that cannot be read counts as none."""

    def __init__(self, folder: Path, of: tuple[Any, ...] = ()):
        self.folder, self.of = folder, of

    def under(self, *change: Any) -> "Kept":
        """The same folder for passes in which states are changed."""
        return Kept(self.folder, (*self.of, *change))

    def place(self, loaded: "Loaded", rows: Sequence[Conversation], paths: Sequence[str], *what: bool) -> Path:
        """The file of a batch."""
        from counterpoise.train import digest

        name = digest((self.of, loaded.fingerprint, loaded.dtype, list(rows), list(paths), what))
        return self.folder / f"{name[:24]}.npz"

    def read(self, place: Path) -> "Seen | None":
        """The batch of a file."""
        from ._states import Seen

        try:
            with np.load(place, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            entering = {name.removeprefix(ENTERING): v for name, v in found.items() if name.startswith(ENTERING)}
            return Seen(found["states"], entering, found["refusal"], found.get("sensitivity"))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # none there, or cut off
            return None

    def write(self, place: Path, seen: "Seen") -> None:
        """Keep a batch."""
        parts = {"states": seen.states, "refusal": seen.refusal}
        parts |= {ENTERING + path: values for path, values in seen.entering.items()}
        if seen.sensitivity is not None:
            parts["sensitivity"] = seen.sensitivity
        with atomic_write(place, "wb") as file:
            np.savez(file, **parts)  # type: ignore[arg-type] # names are keyword arguments
