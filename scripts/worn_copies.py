"""Copy training pairs as they come out of other hands: compressed, and registered worse.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping
    python scripts/worn_copies.py runs/data/shipping runs/data/worn

Of each pair of the split ``train`` of DATA, in LEVIR-CC's layout, one copy is written to
OUT, in the same layout. Each date is stored as JPEG of a quality drawn between 60 and 95,
and the after image is moved by up to one pixel along each axis, its edge repeated. What
the pair shows is the same, so captions, change flags and masks are the same. A network
that is trained on both kinds learns that neither compression nor a shift is a change.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CAPTIONS = "LevirCCcaptions.json"
QUALITIES = (60, 95)
Pixels = NDArray[np.uint8]  # (H, W, 3)


def moved(image: Pixels, down: int, right: int) -> Pixels:
    """The image moved by up to one pixel along each axis, its edge repeated."""
    height, width = image.shape[:2]
    around = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return around[1 - down : 1 - down + height, 1 - right : 1 - right + width]


def wear(source: Path, target: Path, name: str, rng: random.Random) -> None:
    """Write the worn copy of one pair."""
    shift = rng.choice((-1, 0, 1)), rng.choice((-1, 0, 1))
    for date in "AB":
        with Image.open(source / date / name) as file:
            image = np.asarray(file.convert("RGB"))
        if date == "B":
            image = moved(image, *shift)
        (target / date).mkdir(parents=True, exist_ok=True)
        path = target / date / Path(name).with_suffix(".jpg")
        Image.fromarray(image).save(path, quality=rng.randint(*QUALITIES))
    mask = f"{Path(name).stem}.png"
    if (source / "label" / mask).is_file():
        (target / "label").mkdir(exist_ok=True)
        link = target / "label" / mask
        link.unlink(missing_ok=True)
        link.symlink_to((source / "label" / mask).resolve())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    content = json.loads((asked.data / CAPTIONS).read_text(encoding="utf-8"))
    entries = []
    for entry in content["images"]:
        if entry["split"] != "train":
            continue
        # Two sources may hold files of one name, so each has its own folder.
        folder = entry.get("filepath", entry["split"])
        source = asked.data / "images" / folder
        wear(source, asked.out / "images" / folder, entry["filename"], rng)
        name = Path(entry["filename"]).with_suffix(".jpg").name
        entries.append({**entry, "filename": name})
    text = json.dumps({"dataset": "worn", "images": entries})
    (asked.out / CAPTIONS).write_text(text, encoding="utf-8")
    print(f"{asked.out}: {len(entries)} pairs")


if __name__ == "__main__":
    main()
