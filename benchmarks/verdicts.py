"""Whether a captioner's verdict holds where nothing that matters has changed.

    python benchmarks/verdicts.py DATA [--weights FOLDER] [--split val+test] [--json
    verdicts.json]

Every pair of DATA is told changed or not, and told again: stored at 16 bits, as JPEG of
quality 80, the after image shifted by one pixel, both dates swapped, and each image
against itself. Of swapped pairs it counts captions of something built that the first
order had too: what was built is gone in the other order.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

import sencap
from sencap.data.levir_cc import read_dataset
from sencap.images import as_pair
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--split", default="val+test")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    predictor = sencap.load(asked.weights)
    splits = asked.split.split("+")
    pairs = [pair for pair in read_dataset(asked.data) if pair.split in splits]
    pixels = [as_pair(pair.before, pair.after).images for pair in pairs]

    def told(change: Callable[[Pixels, Path], Pixels]) -> list[Caption]:
        with tempfile.TemporaryDirectory() as folder:
            images = (ImagePair(change(one, Path(folder))) for one in pixels)
            return list(predictor.stream(images))

    plain = told(lambda one, _: one)
    result: dict[str, object] = {"pairs": len(pairs)}
    for name, change in (
        ("16 bits", as_16_bits),
        ("JPEG 80", as_jpeg),
        ("shift of 1", shifted),
    ):
        again = told(change)
        same = sum(a.changed == b.changed for a, b in zip(plain, again, strict=True))
        result[f"verdict kept, {name}"] = same
    twice = [one[[date, date]] for one in pixels for date in (0, 1)]
    # the captioner answers equal images itself, so its network is asked
    flags = [
        predictor._captions(predictor.engine.encode(sized[None]), predictor.beam)[
            0
        ].changed
        for sized in (sencap.images.resize(one, predictor.size) for one in twice)
    ]
    result["same image told changed"] = f"{sum(flags)} of {len(flags)}"
    reverse = told(swapped)
    built = [
        c for c, p in zip(plain, pairs, strict=True) if p.changed and says_built(c)
    ]
    kept = [
        f"{first.text} | {second.text}"
        for first, second, pair in zip(plain, reverse, pairs, strict=True)
        if pair.changed and says_built(first) and says_built(second)
    ]
    result["captions of something built"] = len(built)
    result["of these, something is built in reverse order too"] = len(kept)
    result["examples"] = kept[:10]
    text = json.dumps(result, indent=1)
    print(text)
    if asked.json is not None:
        asked.json.write_text(text + "\n", encoding="utf-8")


def says_built(caption: Caption) -> bool:
    return caption.changed and bool(BUILT.intersection(caption.text.split()))


if __name__ == "__main__":
    main()
