"""How many images are told to be of another kind than those that the weights were
trained on.

    python benchmarks/kinds.py NAME=FOLDER … [--weights FOLDER]

Each FOLDER holds pairs as `sencap caption` finds them; they are looked at in windows of
256 pixels. Printed of each: the windows, the median of `domain`, and the share of
windows above 1.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import sencap
from sencap.errors import ImageError
from sencap.images.folders import find_pairs
from sencap.images.windows import PairWindows, windows_of
from sencap.structures import ImagePair

SIDE = 256


def windows(folder: Path) -> Iterator[ImagePair]:
    for before, after, *_ in find_pairs(folder):
        try:
            with PairWindows(before, after) as pair:
                for window in windows_of(pair.height, pair.width, SIDE):
                    part = pair.read(window)
                    if part is not None:
                        yield part
        except ImageError as error:
            print(f"left out: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--weights")
    asked = parser.parse_args()
    predictor = sencap.load(asked.weights)
    print("| images | windows | median of domain | above 1 |\n|---|---:|---:|---:|")
    for given in asked.sets:
        name, _, folder = given.partition("=")
        captions = predictor.stream(windows(Path(folder)))
        found = [caption.domain for caption in captions if caption.domain is not None]
        share = sum(distance > 1 for distance in found) / len(found)
        print(
            f"| {name} | {len(found)} | {statistics.median(found):.2f} | {share:.2f} |"
        )


if __name__ == "__main__":
    main()
