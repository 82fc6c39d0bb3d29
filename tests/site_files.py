"""Files that single commands of the site take: rasters of several dates, others'
weights, pairs with masks, what a person says of weights. All tiny."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import timm
import torch
from PIL import Image

from reference import official
from sencap.data.levir_cc import read_dataset
from sencap.data.masks import BUILDING

BRIGHT = 200  # the tiny data's houses are brighter, and nothing else is
CROPS = 16  # of one tile of LEVIR-CD, which are never parted
SEASONS = ("2018-02-10", "2018-05-31")
DATES = ("2018-04-26", "2019-02-03", "2020-05-01")
WORDS = ["<pad>", "road", "<end>", "a", "<start>", "built", "is", "house", "<unk>"]
ABOUT = """\
licence: other
licence_terms: For research alone.
data: Pairs that a test draws.
intended_use: To see that the command works.
limits: It says nothing that is true.
"""


def write_masks(data: Path) -> None:
    """A mask of each house, beside the images of a data set."""
    for pair in read_dataset(data):
        folder = pair.after.parents[1] / "label"
        folder.mkdir(exist_ok=True)
        house = np.asarray(Image.open(pair.after))[..., 0] > BRIGHT
        mask = np.where(house, BUILDING, 0).astype(np.uint8)
        Image.fromarray(mask).save(folder / pair.name)


def write_raster(image: Path, target: Path, *, times: int = 1) -> None:
    """A GeoTIFF of a picture, a few times beside itself, with pixels of half a metre."""
    values = np.asarray(Image.open(image)).transpose(2, 0, 1)
    values = np.tile(values, (1, times, times))
    place = rasterio.Affine(0.5, 0, 620_000, 0, -0.5, 3_350_000)
    target.parent.mkdir(exist_ok=True)
    with rasterio.open(
        target,
        "w",
        driver="GTiff",
        count=3,
        dtype="uint8",
        crs="EPSG:32614",
        height=values.shape[1],
        width=values.shape[2],
        transform=place,
    ) as file:
        file.write(values)


def write_series(folder: Path) -> None:
    """One place at three dates: by their names, in a folder, and in a STAC file."""
    items: list[dict[str, Any]] = []
    for date, name in zip(DATES, ("before", "after", "before"), strict=True):
        image = folder / f"{name}.png"
        write_raster(image, folder / f"{date}.tif")
        write_raster(image, folder / "folder" / f"{name}-{date}.tif")
        asset = {"visual": {"href": f"{date}.tif"}}
        moment = {"datetime": f"{date}T10:00:00Z"}
        item = {"type": "Feature", "id": date, "properties": moment, "assets": asset}
        items.append(item)
    for date, name in zip(SEASONS, ("before", "after"), strict=True):
        target = folder / "rasters" / f"{date}.tif"
        write_raster(folder / f"{name}.png", target, times=2)
    collection = {"type": "FeatureCollection", "features": items}
    (folder / "items.json").write_text(json.dumps(collection))


def write_weights_of_others(folder: Path) -> None:
    """A checkpoint as the SEN authors make them, with its word map; a backbone of
    timm's names, as a whole pickled module too."""
    torch.manual_seed(0)
    torch.save(
        {"epoch": 3, **official.modules(V=len(WORDS))}, folder / "official.pth.tar"
    )
    word_map = {word: number for number, word in enumerate(WORDS)}
    (folder / "WORDMAP.json").write_text(json.dumps(word_map))
    backbone = timm.create_model("test_resnet", pretrained=False)
    (folder / "runs" / "data").mkdir(parents=True)
    for name in ("WEIGHTS", "runs/data/resnet.pth"):
        torch.save(backbone.state_dict(), folder / name)
    torch.save(backbone, folder / "FILE")
    # One of random weights, for what is built on that very network.
    lite0 = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    torch.save(lite0.state_dict(), folder / "runs" / "data" / "lite0.pth")


def write_source(folder: Path) -> None:
    """The training pairs in LEVIR-CC's layout as `levir_cc`, each cut from a tile of
    its own, and pairs without captions beside them."""
    source = folder / "SOURCE"
    shutil.copytree(folder / "pairs", source / "aerial_pairs")
    content = json.loads((folder / "DATA" / "LevirCCcaptions.json").read_text())
    train = [entry for entry in content["images"] if entry["split"] == "train"]
    images = Path("images") / "train"
    for number, entry in enumerate(train):
        name = f"train_{number * CROPS + 1:06d}.png"
        for date in "AB":
            target = source / "levir_cc" / images / date
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(
                folder / "DATA" / images / date / entry["filename"], target / name
            )
        entry["filename"] = name
    captions = source / "levir_cc" / "LevirCCcaptions.json"
    captions.write_text(json.dumps({**content, "images": train}))
    (source / "captions").mkdir()
    shutil.copy(captions, source / "captions" / "LevirCCcaptions_all.json")
    write_views(folder / "DATA" / images, source / "levir_cd_views")


def write_views(images: Path, target: Path) -> None:
    """A few pairs with their masks, and without captions."""
    for kind in ("A", "B", "label"):
        (target / kind).mkdir(parents=True)
        for image in sorted((images / kind).iterdir())[:4]:
            shutil.copy(image, target / kind)


def write_pushed(folder: Path) -> None:
    """What ``sencap push`` needs beside weights: a person's words, and a report."""
    (folder / "CHECKPOINT" / "about.yaml").write_text(ABOUT)
    shutil.copy(folder / "a.json", folder / "report.json")
