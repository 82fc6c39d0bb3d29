"""A list of work in parts of nearly equal size, for machines that know nothing of each
other."""

from __future__ import annotations

import re

from sencap.errors import SettingsError

_MOST = 1_000_000


def shard_of(count: int, shard: str | None, *, together: int = 1) -> range:
    """The places of one part of ``count`` things: "3/16" is the third of sixteen parts,
    None all.

    The parts follow each other: put together in their order they are the whole.
    ``together`` things at a time, from the first on, are never parted.

    >>> [shard_of(5, f"{number}/2") for number in (1, 2)]
    [range(0, 2), range(2, 5)]

    Raises:
        SettingsError: no such part.
    """
    if shard is None:
        return range(count)
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", shard.strip())
    number, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= parts <= _MOST:
        raise SettingsError(
            f"shard={shard[:40]!r}: it is I/N, the I-th of N parts: 1/16 to 16/16, "
            f"with N up to {_MOST:,}"
        )
    groups = -(-count // together)
    first, end = groups * (number - 1) // parts, groups * number // parts
    return range(min(first * together, count), min(end * together, count))
