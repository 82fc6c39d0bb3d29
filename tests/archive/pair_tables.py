"""Lists of the example pairs, as an archive takes them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sencap.demonstration import EXAMPLES
from sencap.images import find_pairs

TITLES = ("id", "before", "after")


def write_list(
    path: Path, count: int, *, missing: Sequence[int] = (), name: str = "place-{}"
) -> Path:
    """A CSV file of so many pairs, the examples again and again; of some the image
    after is not there."""
    pairs = find_pairs(EXAMPLES)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(TITLES)
        for number in range(count):
            before, after, _ = pairs[number % len(pairs)]
            gone = number in missing
            rows.writerow([name.format(number), before, "gone.png" if gone else after])
    return path
