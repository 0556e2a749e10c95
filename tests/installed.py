"""Packages of third parties, installed as pip would: a module and a dist-info folder with an entry point."""

import shutil
from pathlib import Path

PACKAGES = Path(__file__).parent / "packages"


def install(site: Path, module: str, group: str, entry: str) -> None:
    """Make `site` a folder of installed packages with one in it, whose entry point of `group` is `module`; its code is
    that of tests/packages, if there is any. Who calls this puts `site` on the path."""
    info = site / f"{module}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry} = {module}\n")
    if (PACKAGES / f"{module}.py").is_file():
        shutil.copy(PACKAGES / f"{module}.py", site)
