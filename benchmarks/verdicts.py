"""Whether a captioner's verdict holds where nothing that matters has changed.

    python benchmarks/verdicts.py DATA [--weights FOLDER] [--split val+test] [--json
    verdicts.json]

Every pair of DATA is told changed or not, and told again: stored at 16 bits, as JPEG of
quality 80, the after image shifted by one pixel, both dates swapped, and each image
against itself. Of swapped pairs it counts those that are told changed still, and
captions of something built that the first order had too: what was built is gone in the
other order.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

import sencap
from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset
from sencap.images import as_pair, resize
from sencap.predictor import Predictor
from sencap.structures import Caption, ImagePair

Pixels = NDArray[np.uint8]  # (2, 3, H, W)
BUILT = {
    "built",
    "build",
    "appear",
    "appears",
    "appeared",
    "constructed",
    "construct",
    "emerges",
}


def as_16_bits(pixels: Pixels, folder: Path) -> Pixels:
    """Through 16-bit TIFF files."""
    names = [folder / "a.tif", folder / "b.tif"]
    for name, image in zip(names, pixels, strict=True):
        wide = image.transpose(1, 2, 0).astype(np.uint16) * 257
        tifffile.imwrite(name, wide, photometric="rgb")
    return as_pair(names[0], names[1]).images


def as_jpeg(pixels: Pixels, _: Path) -> Pixels:
    """Through JPEG of quality 80."""
    out = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=80)
        out.append(np.asarray(Image.open(file)).transpose(2, 0, 1))
    return np.stack(out)


def shifted(pixels: Pixels, _: Path) -> Pixels:
    """The after image one pixel to the right and down, its edge repeated."""
    after = np.pad(pixels[1], ((0, 0), (1, 0), (1, 0)), mode="edge")[:, :-1, :-1]
    return np.stack([pixels[0], after])


def swapped(pixels: Pixels, _: Path) -> Pixels:
    return pixels[::-1].copy()


class Asked:
    """A captioner, and the pairs that it is asked about in several forms."""

    def __init__(self, predictor: Predictor, pairs: Sequence[CaptionedPair]) -> None:
        self.predictor, self.pairs = predictor, pairs
        self.pixels = [as_pair(pair.before, pair.after).images for pair in pairs]
        self.plain = self.told(lambda pixels, _: pixels)

    def told(self, change: Callable[[Pixels, Path], Pixels]) -> list[Caption]:
        """The captions of all pairs, in one form."""
        with tempfile.TemporaryDirectory() as folder:
            images = (ImagePair(change(one, Path(folder))) for one in self.pixels)
            return list(self.predictor.stream(images))

    def kept(self, change: Callable[[Pixels, Path], Pixels]) -> int:
        """How many pairs have the same verdict in another form."""
        again = self.told(change)
        return sum(
            first.changed == second.changed
            for first, second in zip(self.plain, again, strict=True)
        )

    def same_image_told_changed(self) -> str:
        """How many of all images are told changed against themselves."""
        told = 0
        for pixels in self.pixels:
            sized = resize(pixels, self.predictor.size)
            for image in sized:
                # The captioner answers equal images itself, so its network is asked.
                memory = self.predictor.engine.encode(np.stack([image, image])[None])
                (caption,) = self.predictor._captions(memory, self.predictor.beam)
                told += caption.changed
        return f"{told} of {2 * len(self.pixels)}"

    def in_reverse_order(self) -> dict[str, object]:
        """What becomes of the pairs with their dates swapped."""
        told = zip(self.pairs, self.plain, self.told(swapped), strict=True)
        changed, same, built, still_built = [], [], [], []
        for pair, first, second in told:
            if not pair.changed:
                same.append(second.changed)
                continue
            changed.append(second.changed)
            if says_built(first):
                built.append(first)
            if says_built(first) and says_built(second):
                still_built.append(f"{first.text} | {second.text}")
        return {
            "changed pairs told changed in reverse order": (
                f"{sum(changed)} of {len(changed)}"
            ),
            "unchanged pairs told changed in reverse order": (
                f"{sum(same)} of {len(same)}"
            ),
            "captions of something built": len(built),
            "of these, something is built in reverse order too": len(still_built),
            "examples": still_built[:10],
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--decision", help="as in sencap evaluate")
    parser.add_argument("--split", default="val+test")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    splits = given.split.split("+")
    pairs = [pair for pair in read_dataset(given.data) if pair.split in splits]
    asked = Asked(sencap.load(given.weights, decision=given.decision), pairs)
    result = {
        "pairs": len(pairs),
        "verdict kept, 16 bits": asked.kept(as_16_bits),
        "verdict kept, JPEG 80": asked.kept(as_jpeg),
        "verdict kept, shift of 1": asked.kept(shifted),
        "same image told changed": asked.same_image_told_changed(),
        **asked.in_reverse_order(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


def says_built(caption: Caption) -> bool:
    return caption.changed and bool(BUILT.intersection(caption.text.split()))


if __name__ == "__main__":
    main()
