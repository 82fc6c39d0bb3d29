"""What came of an archive: counts, how the probability of change is spread, and the
rows to look at first."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sencap.archive.folder import Folder
from sencap.files import write_whole
from sencap.images.lists import WINDOW

_FIRST = 300  # rows to look at first
_BINS = 20  # of the histogram: a bar for each 0.05 of probability
RULE = (
    "the most probable changes first; images unlike those that the weights were "
    "trained on come after all others, and rows of equal probability in the order of "
    "the list"
)
_UNLIKE = 1.0  # a domain above it: see `sencap.Caption`
_NEEDED = (
    "id",
    "number",
    "before",
    "after",
    *WINDOW,
    "caption",
    "changed",
    "change_probability",
    "domain",
    "error",
)


@dataclass
class ArchiveSummary:
    """Counts of an archive's rows, and those to look at first.

    ``histogram`` counts the rows by their probability of change, in steps of 0.05;
    ``unlike`` those whose images are unlike what the weights were trained on. ``first``
    are rows, ranked by `RULE`.
    """

    pairs: int = 0
    unreadable: int = 0
    changed: int = 0
    unlike: int = 0
    histogram: list[int] = field(default_factory=lambda: [0] * _BINS)
    first: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Folder, blocks: int) -> ArchiveSummary:
        """From the files of all blocks, read one by one.

        Raises:
            DataError: one is damaged.
        """
        summary = cls()
        captioned = summary._counted(folder.rows(blocks, _NEEDED))
        summary.first = heapq.nlargest(_FIRST, captioned, key=_rank)
        return summary

    def _counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows that have a caption; all are counted as they pass."""
        for row in rows:
            self.pairs += 1
            if row["error"] is not None:
                self.unreadable += 1
                continue
            self.changed += row["changed"]
            self.unlike += _is_unlike(row)
            p = row["change_probability"]
            if p is not None:
                self.histogram[min(int(p * _BINS), _BINS - 1)] += 1
            yield row

    @property
    def captioned(self) -> int:
        """How many rows have a caption."""
        return self.pairs - self.unreadable

    @property
    def share_changed(self) -> float | None:
        """The share of those with a caption that changed; None without any."""
        return self.changed / self.captioned if self.captioned else None

    def details(self) -> dict[str, Any]:
        """As JSON values."""
        told = asdict(self)
        first = told.pop("first")
        return {
            **told,
            "captioned": self.captioned,
            "share_changed": self.share_changed,
            "rule": RULE,
            "first": [row["id"] for row in first],
        }

    def write(self, folder: Path) -> None:
        """Write summary.json.

        Raises:
            OutputError: it cannot be written.
        """
        write_whole(
            folder / "summary.json", json.dumps(self.details(), indent=1) + "\n"
        )

    def __str__(self) -> str:
        lines = [f"{self.captioned:,} of {self.pairs:,} pairs captioned"]
        if self.unreadable:
            lines.append(f"{self.unreadable:,} cannot be read: column error says why")
        if self.share_changed is not None:
            lines.append(f"{self.changed:,} changed ({self.share_changed:.1%})")
        if self.unlike:
            lines.append(
                f"{self.unlike:,} are unlike what the weights were trained on: column "
                "domain is above 1"
            )
        return "\n".join(lines)


def _is_unlike(row: dict[str, Any]) -> bool:
    return row["domain"] is not None and row["domain"] > _UNLIKE


def _rank(row: dict[str, Any]) -> tuple[bool, float, int]:
    """Larger is to be looked at earlier."""
    p = row["change_probability"]
    if p is None:  # weights that know of none
        p = float(row["changed"])
    return not _is_unlike(row), p, -row["number"]
