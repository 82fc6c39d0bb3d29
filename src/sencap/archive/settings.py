"""What a user may say of an archive: what its rows depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sencap.bounds import check_numbers
from sencap.config import Decision
from sencap.engines.precisions import Precision, check_precision
from sencap.errors import SettingsError
from sencap.images import Reading
from sencap.images.options import USUAL


@dataclass(frozen=True)
class ArchiveSettings:
    """How the pairs of a list are captioned, and by which weights.

    ``weights``, ``beam``, ``precision``, ``decision`` are those of `sencap.load`, with
    ONNX Runtime as the engine. ``reading``: bands, scale and the share without data up
    to which a pair is captioned. ``batch_size``: pairs captioned at once.
    ``block_size``: pairs of one file of the output, which is what a stop or a lost
    worker costs; a multiple of ``batch_size``, so that batches are those of `sencap
    caption`.

    Raises:
        SettingsError: a number that cannot be, blocks that part batches, a precision
            that this processor does not have.
    """

    weights: str | Path | None = None
    beam: int | None = None
    precision: Precision = "fp32"
    decision: Decision | None = None
    reading: Reading = USUAL
    batch_size: int = 16
    block_size: int = 256

    def __post_init__(self) -> None:
        check_numbers(
            beam=self.beam, batch_size=self.batch_size, block_size=self.block_size
        )
        check_precision(self.precision)
        if self.block_size % self.batch_size:
            raise SettingsError(
                f"block_size={self.block_size} is no multiple of "
                f"batch_size={self.batch_size}: a block is captioned batch by batch"
            )

    def details(self) -> dict[str, Any]:
        """As JSON values: what the rows depend on, beside weights and list."""
        told: dict[str, Any] = asdict(self)
        told.pop("weights")  # told by their content
        reading = told.pop("reading")
        return {**told, **reading}
