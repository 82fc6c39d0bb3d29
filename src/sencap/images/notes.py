"""What a reader has to know of how many pairs were read: each kind of note once, and of
how many pairs it is true."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Paths and numbers: notes that differ in them alone say the same.
_OWN = re.compile(r"\S*[\d/\\.]\S*")


@dataclass
class _Kind:
    """One kind of note: the pair that had it first, what was said of it, of how many it
    is true."""

    pair: str
    note: str
    count: int = 0


class Notes:
    """Collects the notes on many pairs, by kind: those that differ in paths and numbers
    alone are of one.

    >>> notes = Notes()
    >>> notes.add("x.tif", ["data/x.tif is resampled"]), notes.add("y.tif", ["y.tif is resampled"])
    (['data/x.tif is resampled'], [])
    >>> notes.told(of=9)
    ['Of 2 of the 9 pairs, as of x.tif: data/x.tif is resampled.']
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def add(self, pair: str, notes: Iterable[str]) -> list[str]:
        """Count the notes on a pair. Returns those of a kind that no pair had
        before."""
        new = []
        for note in notes:
            key = _OWN.sub("#", note)
            if key not in self._kinds:
                new.append(note)
            kind = self._kinds.setdefault(key, _Kind(pair, note))
            kind.count += 1
        return new

    def told(self, of: int) -> list[str]:
        """A sentence for each kind, the most frequent first; ``of`` is the number of
        all pairs."""
        kinds = sorted(self._kinds.values(), key=lambda kind: -kind.count)
        return [
            f"Of {kind.count:,} of the {of:,} pairs, as of {kind.pair}: {kind.note}."
            for kind in kinds
        ]
