"""The command line in a process of its own, on made-up rows: the hashes of the real files are taken out of the
declarations, everything else is as users have it. argv: the command."""

import sys

from counterpoise.cli import main
from counterpoise.evals import all_sources

if __name__ == "__main__":
    for source in all_sources().values():
        for part in source.parts:
            if getattr(part, "sha256", ""):
                object.__setattr__(part, "sha256", "")
    sys.exit(main(sys.argv[1:]))
