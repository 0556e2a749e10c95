"""Messages of other packages as one plain line."""

import re

_MARKUP = re.compile(r"\[/?(?:bold|italic|dim|red|green|yellow|blue|magenta|cyan|white)(?: [a-z ]+)?\]")


def one_line(text: str) -> str:
    """Several lines joined, colours of a terminal and empty lines dropped, 500 characters at most."""
    plain = _MARKUP.sub("", text)
    return " ".join(line.strip() for line in plain.strip().splitlines() if line.strip())[:500]
