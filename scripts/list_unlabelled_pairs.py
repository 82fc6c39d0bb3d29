"""List the real aerial pairs that may be pre-trained on without captions, as a CSV that
`sencap pack` takes.

    python scripts/list_unlabelled_pairs.py PLACES runs/unlabelled.csv
    sencap pack runs/unlabelled.csv runs/places-real --size 256

PLACES holds two folders: levir_cc, in LEVIR-CC's layout, of which the images of the
**train** split are taken (those of val and test are left out), and aerial_pairs, with
  pairs in its A and B.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

FOLDERS = ("levir_cc/images/train", "aerial_pairs")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    source: Path = arguments.source.resolve()
    rows = [
        (
            before,
            source / folder / "B" / before.name,
            f"{folder.split('/')[0]}-{before.stem}",
        )
        for folder in FOLDERS
        for before in sorted((source / folder / "A").iterdir())
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("before", "after", "name"))
        writer.writerows(rows)
    print(f"{arguments.out}: {len(rows)} pairs")


if __name__ == "__main__":
    main()
