"""From the body of a request to an exchange that guards can look at, with every part of it counted."""

from ._body import Bodies
from ._messages import Direction, Intake, clean, most, read_messages, tools_message
from ._pieces import IDS, INLINE, MEDIA, PROTOCOL, Read, address, is_name, named, pieces, read, unescaped

__all__ = [
    "IDS", "INLINE", "MEDIA", "PROTOCOL", "Bodies", "Direction", "Intake", "Read", "address", "clean", "is_name",
    "most", "named", "pieces", "read", "read_messages", "tools_message", "unescaped",
]  # fmt: skip
