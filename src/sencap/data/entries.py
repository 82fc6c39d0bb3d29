"""What a caption file says of a pair, the pair with its images, and what is wrong with
one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PairProblem:
    """One thing wrong with a data set: in which file, at which entry ("" for the whole
    file), and what.

    An "error" keeps the data set from being used; a "warning" does not.
    """

    file: str
    entry: str
    what: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.entry, self.what) if part)


@dataclass(frozen=True)
class CaptionEntry:
    """The captions of one pair as a caption file lists them, its images unseen.

    ``name`` is the file name of both images, ``folder`` their "filepath" below
    ``images`` ("" if not given), ``changed`` its change flag, None where that is not
    known, ``source`` the caption file and the entry's place in it. ``imgid`` is its
    number there ("" if it has none), ``flagged`` whether the file itself says if it
    changed, ``no_change`` the data set's own sentences of no change.
    """

    name: str
    split: str
    folder: str
    captions: tuple[tuple[str, ...], ...]
    changed: bool | None
    source: str
    imgid: str = ""
    flagged: bool = True
    no_change: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class CaptionedPair:
    """Two images of one place on disk, and the sentences (tuples of words) that say
    what changed.

    ``before`` and ``after`` are files that exist, ``mask`` is the file of the change
    mask (`sencap.data.masks`), None without one; all else as in `CaptionEntry`.
    """

    name: str
    split: str
    before: Path
    after: Path
    captions: tuple[tuple[str, ...], ...]
    changed: bool | None
    source: str
    mask: Path | None = None
    imgid: str = ""
    flagged: bool = True
    no_change: tuple[str, ...] = field(default=(), repr=False)


def all_captions(
    entries: Iterable[CaptionEntry | CaptionedPair],
) -> list[tuple[str, ...]]:
    """The captions of all entries, one after the other."""
    captions: list[tuple[str, ...]] = []
    for entry in entries:
        captions += entry.captions
    return captions
