"""Places drawn by a seed: each has its own pattern of squares, each date its own light
and colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    images: NDArray[np.uint8]
    name: str
    dates: tuple[str, ...] = ()


class TinyPlaces:
    """``count`` places of ``size`` pixels; place i has dates[i % len(dates)] dates."""

    def __init__(
        self, count: int = 24, size: int = 48, dates: tuple[int, ...] = (4,)
    ) -> None:
        self.count, self.size, self.dates = count, size, dates

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Drawn:
        rng = np.random.default_rng(index)
        pattern = (
            rng.random((3, 6, 6))
            .repeat(self.size // 6, axis=1)
            .repeat(self.size // 6, axis=2)
        )
        images = []
        for _ in range(self.dates[index % len(self.dates)]):
            light = rng.uniform(0.5, 1, (3, 1, 1))
            images.append(pattern * light + rng.normal(0, 0.05, pattern.shape))
        pixels = np.clip(np.stack(images) * 255, 0, 255).astype(np.uint8)
        return Drawn(pixels, f"place-{index}")
