"""The settings of a whole captioner."""

from __future__ import annotations

from dataclasses import dataclass, field

from sencap.bounds import check_fields
from sencap.config.parts import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChangeSettings,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    SearchSettings,
    check_normalisation,
)
from sencap.errors import SettingsError

# Attention compares all positions of the grid: its cost grows with the fourth power of
# the side
LARGEST_SIZE, LARGEST_GRID = 1024, 64


@dataclass(frozen=True)
class ModelSettings:
    """A whole captioner.

    Attributes:
        system: The system's name, as `sencap info --list-systems` prints them.
        dimension: D, the embedding width shared by the parts; None is the system's own.
            (512 of all)
        size: Side of the square that images are resized to where they differ from it,
            in pixels.
        mean: Mean of R, G, B on the scale 0-1 that both images are normalised with.
        std: Standard deviation of R, G, B on the scale 0-1.
        extractor: The feature extractor.
        difference: The difference encoder.
        decoder: The caption decoder.
        change: Heads that see change without words.
        search: How captions are searched for, where whoever captions does not say.
        domain: Keep what the training images look like, so that a pair of another kind
            is told to be one. (off)
    """

    system: str = "sen"
    dimension: int | None = None
    size: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    extractor: ExtractorSettings = field(default_factory=ExtractorSettings)
    difference: DifferenceSettings = field(default_factory=DifferenceSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    change: ChangeSettings = field(default_factory=ChangeSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    domain: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "", "dimension", "size")
        check_normalisation(self.mean, self.std)
        # Where a number is None the system's own counts, which is not known here: what
        # depends on it is checked when the model is built.
        self._check_grid()
        if self.dimension is not None:
            self._check_width(self.dimension)

    def _check_grid(self) -> None:
        """Sizes whose attention takes memory and minutes without bound."""
        if self.size > LARGEST_SIZE:
            raise SettingsError(
                f"size is {self.size}; a model sees at most {LARGEST_SIZE} × "
                f"{LARGEST_SIZE} pixels (the paper's sees 256): cut larger images "
                "into tiles"
            )
        grid = self.extractor.grid
        if grid is not None and grid > LARGEST_GRID:
            raise SettingsError(
                f"extractor.grid is {grid}; it must be at most {LARGEST_GRID}"
            )

    def _check_width(self, dimension: int) -> None:
        # Attention splits the width into equal heads.
        for part in ("difference", "decoder"):
            heads = getattr(self, part).heads
            if heads is not None and dimension % heads:
                raise SettingsError(
                    f"dimension={dimension} cannot be split into "
                    f"{part}.heads={heads} heads; choose a multiple"
                )
        # The sinusoidal positions fill the width with pairs of sine and cosine.
        if dimension % 2:
            raise SettingsError(
                f"dimension={dimension} is odd; positions need an even one"
            )
