"""Server-sent events as they arrive from an upstream."""

import re
from collections.abc import AsyncIterator

from ._errors import ApiError

LINE = 4_000_000
"""Bytes of one line of an event stream."""


async def sse_data(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The data of the events of a stream, at most `limit` bytes together. Comments and names of events are skipped.

    Only \\n, \\r\\n and \\r end a line (str.splitlines would also cut at U+2028, which JSON may contain).
    """
    rest, data, size = b"", list[bytes](), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit or len(rest) > LINE:
            raise ApiError(502, "upstream_too_large", f"the upstream's answer has more than {limit:,} bytes")
        *lines, rest = re.split(rb"\r\n|\n|\r(?=.)", rest + chunk, flags=re.DOTALL)
        for line in lines:
            if not line and data:
                yield b"\n".join(data)
                data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
    if rest.startswith(b"data:"):
        data.append(rest[5:].strip())
    if data:
        yield b"\n".join(data)
