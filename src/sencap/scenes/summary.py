"""What a scan says of a whole scene: how many windows, how much ground, which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sencap.rasters.grid import reprojected
from sencap.scenes.ground import Ring, area, corners
from sencap.scenes.journal import ScannedBatch
from sencap.scenes.rows import Row
from sencap.scenes.scene import Scene

_PHRASES = 10
_SQUARE_KM = 1e6


@dataclass(frozen=True)
class ScanSummary:
    """The figures of a scene.

    ``windows`` are all that lie on the ground to be looked at: ``captioned`` of them
    were captioned, ``changed`` of these tell a change; ``without_data`` were left out,
    ``unread`` of them without being read. Ground counts once, however many windows show
    it, and only where both dates hold data: ``seen_km2`` was captioned, ``changed_km2``
    of it changed, ``unseen_km2`` lies in windows that were left out; None if the size
    of a pixel is not known. ``changed_share`` (0–1) is of the ground that was
    captioned. ``phrases`` are the captions of changes that occur most often, with how
    often.
    """

    windows: int
    captioned: int
    changed: int
    without_data: int
    unread: int
    changed_share: float
    seen_km2: float | None
    changed_km2: float | None
    unseen_km2: float | None
    phrases: list[tuple[str, int]]
    polygon: Ring

    @classmethod
    def of(cls, scene: Scene, batches: Iterable[ScannedBatch]) -> ScanSummary:
        """Count the batches of a whole scan."""
        rows: list[Row] = []
        without_data = unread = unseen = 0
        for batch in batches:
            rows += batch.rows
            without_data += batch.without_data
            unread += batch.unread
            unseen += batch.unseen
        changed = [row for row in rows if row.changed]
        pixels = sum(row.pixels for row in rows)
        # Pixels of a window's own ground, so that overlaps count once.
        changed_pixels = sum(row.pixels for row in changed)
        phrases = Counter(row.caption for row in changed).most_common()
        # most_common keeps the order of the rows among equals: say the same whatever it
        # was.
        phrases.sort(key=lambda phrase: (-phrase[1], phrase[0]))
        ground = corners(scene.grid, scene.whole)
        return cls(
            windows=len(rows) + without_data,
            captioned=len(rows),
            changed=len(changed),
            without_data=without_data,
            unread=unread,
            changed_share=round(changed_pixels / pixels, 6) if pixels else 0.0,
            seen_km2=_square_km(scene, rows),
            changed_km2=_square_km(scene, changed),
            unseen_km2=_of_mean_pixels(scene, unseen),
            phrases=phrases[:_PHRASES],
            polygon=reprojected(ground, scene.grid.crs, scene.crs),
        )

    def details(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.changed} of {self.captioned} windows changed"]
        ground = f"{self.changed_share:.1%} of the ground"
        if self.changed_km2 is not None and self.seen_km2 is not None:
            ground += f", {self.changed_km2:.4g} of {self.seen_km2:.4g} km²"
        lines[0] += f": {ground}"
        if self.without_data:
            left_out = (
                f"{self.without_data} windows hold too little data and were left out"
            )
            lines.append(f"{left_out}, {self.unread} of them unread")
        lines += [f"{count:5}  {phrase}" for phrase, count in self.phrases]
        return "\n".join(lines)


def _square_km(scene: Scene, rows: Iterable[Row]) -> float | None:
    """The own ground of windows where it holds data: pixels differ in size over a
    scene."""
    if scene.metres is None:
        return None
    total = 0.0
    # Cells share no pixel, unlike the windows themselves.
    for row in rows:
        cell = scene.tiling.cell(row.window)
        total += (
            (area(scene.grid, cell) or 0.0) * row.pixels / (cell.height * cell.width)
        )
    return round(total / _SQUARE_KM, 6)


def _of_mean_pixels(scene: Scene, pixels: int) -> float | None:
    whole = area(scene.grid, scene.whole)
    if whole is None:
        return None
    return round(
        whole * pixels / (scene.grid.height * scene.grid.width) / _SQUARE_KM, 6
    )
