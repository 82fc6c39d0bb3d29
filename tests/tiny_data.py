"""A tiny captioned data set: grey noise, and in changed pairs a bright house in one of
the four corners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64
SPLITS = {"train": 8, "val": 4, "test": 4}
UNCHANGED = (
    "the scene is the same as before",
    "there is no difference",
    "the two scenes seem identical",
    "no change has occurred",
    "almost nothing has changed",
)
CORNERS = (("upper", "left"), ("upper", "right"), ("lower", "left"), ("lower", "right"))


def write_tiny_data(root: Path, seed: int = 0) -> Path:
    """Write the data set in LEVIR-CC's layout; the same seed gives the same pixels."""
    generator = np.random.default_rng(seed)
    entries: list[dict[str, Any]] = []
    for split, count in SPLITS.items():
        for number in range(count):
            name = f"{split}_{number + 1:06d}.png"
            before = generator.integers(60, 100, (SIDE, SIDE, 3), dtype=np.uint8)
            after, sentences = before.copy(), UNCHANGED
            if number % 2:
                height, side = CORNERS[number // 2 % 4]
                top, left = (
                    (4 if height == "upper" else 40),
                    (4 if side == "left" else 40),
                )
                after[top : top + 20, left : left + 20] = 230
                where = f"{height} {side}"
                sentences = (
                    f"a house appears in the {where} corner",
                    f"a house is built at the {where}",
                    f"there is a new house in the {where} corner",
                    f"one bright house has been built in the {where} corner of the "
                    "scene",
                    f"a house shows up in the {where}",
                )
            for date, image in (("A", before), ("B", after)):
                folder = root / "images" / split / date
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / name)
            entries.append(
                _entry(len(entries), split, name, sentences, changed=number % 2)
            )
    text = json.dumps({"dataset": "tiny", "images": entries})
    (root / "LevirCCcaptions.json").write_text(text, encoding="utf-8")
    return root


def _entry(
    imgid: int, split: str, name: str, sentences: tuple[str, ...], *, changed: int
) -> dict[str, Any]:
    sentids = [imgid * 5 + k for k in range(5)]
    return {
        "filepath": split,
        "filename": name,
        "imgid": imgid,
        "split": split,
        "changeflag": changed,
        "sentids": sentids,
        "sentences": [
            {"tokens": s.split(), "raw": f" {s} .", "imgid": imgid, "sentid": i}
            for s, i in zip(sentences, sentids, strict=True)
        ],
    }
