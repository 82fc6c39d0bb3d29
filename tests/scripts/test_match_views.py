"""`scripts/match_views.py` on drawn tiles: each view gets the captions of its own
tile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from sencap.data.augmentation import PLACEMENTS
from sencap.data.vocabulary import NO_CHANGE_SENTENCES

SCRIPT = Path(__file__).parents[2] / "scripts" / "match_views.py"
SIDE, CROP, CROPS = 4, 64, 16
COLOURS = {
    "red": (220, 30, 30),
    "blue": (30, 30, 220),
    "white": (240, 240, 240),
    "black": (10, 10, 10),
    "yellow": (230, 220, 20),
}
# Those whose images the script knows already are left out by it.
TILES, SEEN = range(6, 18), range(10, 14)
Crop = str | None  # the colour of the house that comes; None: nothing changes


def drawn_tile(random: np.random.Generator) -> list[Crop]:
    names = [*COLOURS]
    return [
        names[random.integers(len(names))] if random.random() < 0.6 else None
        for _ in range(CROPS)
    ]


def entry(number: int, crop: int, colour: Crop) -> dict[str, Any]:
    """The captions of a crop, as LEVIR-CC has them: five to a crop."""
    sentences = [*NO_CHANGE_SENTENCES]
    if colour is not None:
        sentences = [f"a {colour} house appears"] * 5
    return {
        "filename": f"train_{number * CROPS + crop + 1:06d}.png",
        "split": "train",
        "changeflag": int(colour is not None),
        "sentences": [{"tokens": one.split()} for one in sentences],
    }


def pictures(
    colour: Crop, side: int, random: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Before, after and mask of a crop."""
    ground = random.integers(90, 130, (side, side, 3)).astype(np.uint8)
    after, mask = ground.copy(), np.zeros((side, side), np.uint8)
    if colour is not None:
        house = slice(side // 4, 3 * side // 4)
        after[house, house] = COLOURS[colour]
        mask[house, house] = 255
    return [ground, after, mask]


def save(images: list[NDArray[np.uint8]], folder: Path, stem: str) -> None:
    names = ("A/{}.jpg", "B/{}.jpg", "label/{}.png")
    for image, name in zip(images, names, strict=True):
        path = folder / name.format(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def write_captions(path: Path, entries: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": entries}))


def write_pairs(folder: Path, random: np.random.Generator) -> None:
    """Captioned pairs of other tiles, to learn from."""
    entries = []
    for number in range(30):
        colour = drawn_tile(random)[0]
        one = entry(100 + number, 0, colour)
        one["filename"] = one["filename"].replace(".png", ".jpg")
        stem = Path(one["filename"]).stem
        save(pictures(colour, 96, random), folder / "images" / "train", stem)
        entries.append(one)
    write_captions(folder / "LevirCCcaptions.json", entries)


def write_view(
    folder: Path, stem: str, crops: list[Crop], laid: int, random: np.random.Generator
) -> None:
    """A view of a whole tile, its crops 4 × 4, laid in one of the eight ways."""
    shown = [pictures(colour, CROP, random) for colour in crops]
    whole = []
    for kind in range(3):
        rows = [
            np.concatenate([one[kind] for one in shown[first : first + SIDE]], axis=1)
            for first in range(0, CROPS, SIDE)
        ]
        view = np.concatenate(rows)
        # The script lays views back as it lays pictures: channels first.
        channels = view.transpose(2, 0, 1) if view.ndim == 3 else view
        placed = np.asarray(PLACEMENTS[laid].place(channels))
        whole.append(placed.transpose(1, 2, 0) if placed.ndim == 3 else placed)
    save([np.ascontiguousarray(one) for one in whole], folder, stem)


def test_views_get_the_captions_of_their_own_tiles(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tiles = {number: drawn_tile(random) for number in TILES}
    source, data, out = (tmp_path / name for name in ("source", "data", "out"))
    every = [
        entry(number, crop, colour)
        for number, crops in tiles.items()
        for crop, colour in enumerate(crops)
    ]
    write_captions(source / "captions" / "LevirCCcaptions_all.json", every)
    for name in ("levir_cc", "levir_cc_val"):
        write_pairs(source / name, random)
    for number in SEEN:
        for view in range(2):
            laid = int(random.integers(len(PLACEMENTS)))
            stem = f"tile{number - 9:03d}_view{view}"
            write_view(source / "levir_cd_views", stem, tiles[number], laid, random)
    data.mkdir()
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    torch.save(network.state_dict(), data / "efficientnet-lite0.pth")

    command = [sys.executable, str(SCRIPT), str(source), str(data), str(out)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "4 places, 128 captioned crops" in told.stdout

    found = json.loads((out / "LevirCCcaptions.json").read_text())["images"]
    for one in found:
        # What the crop shows is what its captions say.
        tokens = one["sentences"][0]["tokens"]
        colour = tokens[1] if one["changeflag"] else None
        path = out / "images" / "train" / "B" / one["filename"]
        middle = np.asarray(Image.open(path))[24:40, 24:40].mean((0, 1))
        if colour is None:
            assert np.abs(middle - 110).max() < 25, one
        else:
            assert np.abs(middle - COLOURS[colour]).max() < 25, one
        mask = path.parents[1] / "label" / f"{path.stem}.png"
        assert bool(np.asarray(Image.open(mask)).any()) == (colour is not None)
