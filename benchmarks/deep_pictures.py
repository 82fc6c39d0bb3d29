"""How many pairs keep their verdict when their pictures are stored at 16 bits: times a
step, as they are or with noise of a whole step.

    python benchmarks/deep_pictures.py PAIRS

PAIRS is a folder as `sencap caption` takes it; 100 of its pairs are captioned.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sencap import find_pairs, load, read_pair
from sencap.images import stretch
from sencap.structures import ImagePair

COUNT = 100
STEPS = (3, 16, 200, 257)


def stored(images: NDArray[np.uint8], step: int, *, noisy: bool) -> NDArray[np.uint16]:
    """Both dates at 16 bits."""
    levels = images.astype(np.int64) * step
    if noisy:
        levels += np.random.default_rng(0).integers(0, step, images.shape)
    return levels.clip(0, 65_535).astype(np.uint16)


def main(folder: Path) -> None:
    """Print a line for each step."""
    captioner = load(device="cpu", beam=1)
    files = find_pairs(folder)
    pairs = [read_pair(*files[number * len(files) // COUNT]) for number in range(COUNT)]

    def verdicts(images: list[NDArray[np.uint8]]) -> list[bool]:
        return [caption.changed for caption in captioner.stream(map(ImagePair, images))]

    own = verdicts([pair.images for pair in pairs])
    for step in STEPS:
        for noisy in (False, True):
            deep = [stretch(stored(pair.images, step, noisy=noisy)) for pair in pairs]
            same = sum(
                one == other for one, other in zip(own, verdicts(deep), strict=True)
            )
            print(f"times {step}{' and noise' * noisy}: {same} of {COUNT} as at 8 bits")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
