"""The ground that weights were trained on, and the windows that show as much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from sencap.checkpoint_folder import CONFIG
from sencap.errors import CheckpointError, SettingsError
from sencap.json_files import read_json, shown
from sencap.scenes.settings import ScanSettings
from sencap.weights import checkpoint_folder

# Pixels a side of a window: fewer show nothing.
_FEWEST, _MOST = 64, 4096
# Times coarser or finer than what was trained on: then a user is told.
_OTHER = 2


@dataclass(frozen=True)
class Trained:
    """Pixels a side of the pairs that weights were trained on, and metres per pixel: by
    default those of LEVIR-CC."""

    pixels: int = 256
    metres_per_pixel: float = 0.5

    @classmethod
    def of(cls, weights: str | Path | None) -> Trained:
        """From the entry ``training.ground`` of a checkpoint folder's config, if it has
        one; what else the folder holds is for `sencap.load` to judge.

        Raises:
            CheckpointError: no such folder, or a ground that cannot be.
        """
        config = checkpoint_folder(weights) / CONFIG
        content = read_json(config)
        training = content.get("training") if isinstance(content, dict) else None
        ground = training.get("ground") if isinstance(training, dict) else None
        if ground is None:
            return cls()
        try:
            pixels, metres = int(ground["pixels"]), float(ground["metres_per_pixel"])
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise CheckpointError(
                f"{config}: training.ground is {shown(ground)}; it must be pixels and "
                "metres_per_pixel"
            ) from error
        if not (pixels > 0 and 0 < metres < math.inf):
            raise CheckpointError(
                f"{config}: training.ground is {shown(ground)}: no ground"
            )
        return cls(pixels, metres)

    @property
    def metres(self) -> float:
        """The side of a pair on the ground."""
        return self.pixels * self.metres_per_pixel


def window_side(
    settings: ScanSettings, metres: float | None, trained: Trained
) -> tuple[int, list[str]]:
    """The side of a window in pixels, and what a user has to know of it.

    ``metres`` is the side of a pixel, None if it is not known.

    Raises:
        SettingsError: a size in metres of a ground that is not known, or one that is
            too small or too large in pixels.
    """
    if settings.side is not None:
        return settings.side, _told_if_other(metres, trained)
    if metres is None:
        if settings.window is not None:
            raise SettingsError(
                f"window={settings.window:g} metres: the before image does not say "
                "how large its pixels are; give the side in pixels, as in --side 256"
            )
        return trained.pixels, []
    if settings.window is None:
        side = round(trained.metres / metres)
        # The usual size is brought into bounds; one that a user gave is refused outside
        # of them, below.
        return min(max(side, _FEWEST), _MOST), _told_if_other(metres, trained)
    side = round(settings.window / metres)
    if not 32 <= side <= _MOST:
        raise SettingsError(
            f"window={settings.window:g} metres are {side} pixels of {metres:g} m; a "
            f"window has 32 to {_MOST}: give {32 * metres:g} to {_MOST * metres:g} "
            "metres"
        )
    return side, _told_if_other(metres, trained)


def _told_if_other(metres: float | None, trained: Trained) -> list[str]:
    if metres is None:
        return []
    usual = trained.metres_per_pixel
    if metres > _OTHER * usual:
        return [
            f"a pixel is {metres:.3g} m, {metres / usual:.3g} times as coarse as "
            f"what the weights were trained on ({usual:g} m): single houses cannot "
            "be told at this size, so trust changes of large areas only, or use "
            "weights trained on such images"
        ]
    if metres * _OTHER < usual:
        return [
            f"a pixel is {metres:.3g} m, {usual / metres:.3g} times as fine as what "
            f"the weights were trained on ({usual:g} m): windows are reduced to "
            "that, and smaller things are not seen; a smaller --window shows more "
            "detail than the weights know"
        ]
    return []
