"""What a user may say of a scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from sencap.bounds import (
    check_amount,
    check_choice,
    check_fraction,
    check_length_normalisation,
    check_numbers,
)
from sencap.config import Decision
from sencap.engines.choice import EngineName
from sencap.engines.precisions import Precision
from sencap.errors import SettingsError
from sencap.images import Reading
from sencap.images.options import USUAL
from sencap.predictor import Predictor, load

Stretch = Literal["together", "per-date"]


@dataclass(frozen=True)
class ScanSettings:
    """How a scene is scanned, and by which weights.

    ``weights``, ``beam``, ``length_normalisation``, ``device``, ``engine``,
    ``precision``, ``decision`` are those of `sencap.load`. ``reading``: bands, scale
    and the share without data up to which a window is captioned, as for pairs.
    ``window``: the side of a window in metres; ``side``: the same in pixels of the
    before image; without either it is the ground that the weights were trained on.
    ``overlap``: the share of a side that a window has in common with the next.
    ``stretch``: whether values of more than 8 bits are brought to 8 by one scale
    for both dates or each date by its own. ``percentiles`` of the common ground
    (LOW, HIGH) become black and white then; without them it is the range that
    `sencap.images.stretch` tells. ``roi``: a GeoJSON file of the area to look at.
    ``crs``: the projection of the polygons (default: that of the before image).
    ``dates`` of the two images, if they are known better than the files tell.
    ``assume_same_grid``: a file that does not say where it lies shows the ground of
    the other.

    Raises:
        SettingsError: a number or a word that cannot be, both sizes of a window, or
            percentiles and a scale.
    """

    weights: str | Path | None = None
    beam: int | None = None
    length_normalisation: float | None = None
    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "fp32"
    decision: Decision | None = None
    reading: Reading = USUAL
    window: float | None = None
    side: int | None = None
    overlap: float = 0.25
    stretch: Stretch = "together"
    percentiles: tuple[float, float] | None = None
    roi: str | Path | None = None
    crs: str | None = None
    dates: tuple[str, ...] = field(default=())
    assume_same_grid: bool = False
    batch_size: int = 16

    def __post_init__(self) -> None:
        check_numbers(beam=self.beam, side=self.side, batch_size=self.batch_size)
        check_length_normalisation("length_normalisation", self.length_normalisation)
        check_amount("window", self.window)
        check_fraction("overlap", self.overlap)
        if self.overlap > 0.95:
            raise SettingsError(
                f"overlap is {self.overlap}; it must be in [0, 0.95]: beyond that a "
                "scan shows each place hundreds of times"
            )
        check_choice("stretch", self.stretch, get_args(Stretch))
        self._check_percentiles()
        if self.window is not None and self.side is not None:
            raise SettingsError(
                f"window={self.window:g} metres and side={self.side} pixels both say "
                "how large a window is: give one of them"
            )

    def _check_percentiles(self) -> None:
        if self.percentiles is None:
            return
        if self.reading.scale is not None:
            raise SettingsError(
                "percentiles and scale both say which values are black and white: give "
                "one of them"
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            told = ",".join(f"{number:g}" for number in self.percentiles)
            raise SettingsError(
                f"percentiles={told}: two numbers LOW,HIGH from 0 to 100 with LOW below "
                "HIGH, such as 2,98"
            )

    def details(self) -> dict[str, Any]:
        """As JSON values: what the rows of a scan depend on."""
        told = asdict(self)
        # Told by their content elsewhere, as they may lie at another place by now.
        for files in ("weights", "roi"):
            told.pop(files)
        return told

    def load(self) -> Predictor:
        """The predictor; errors as `sencap.load`."""
        return load(
            self.weights,
            beam=self.beam,
            length_normalisation=self.length_normalisation,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            decision=self.decision,
        )
