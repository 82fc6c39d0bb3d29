"""A folder in which the commands of README and of the site can be given: all that their
names stand for (DATA, before.png, …), tiny."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
import torch
from PIL import Image

from sencap.cli import main
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build
from site_pages import ROOT
from tiny_systems import tiny

REPORTS = ("b", "a1", "a2", "a3", "b1", "b2", "b3")


def write_world(folder: Path, tiny_data: Path) -> Path:
    """A clone, as far as commands need it, and all that the pages' names stand for."""
    folder.mkdir()
    for name in ("src", "configs"):
        (folder / name).symlink_to(ROOT / name)
    samples = ROOT / "tests" / "samples"
    (folder / "ssl4eo-s12").symlink_to(samples / "ssl4eo_v1_0")
    shutil.copytree(tiny_data, folder / "DATA")
    for split, name in (("test", "pairs"), ("val", "more")):
        shutil.copytree(tiny_data / "images" / split, folder / name)
    for date, letter in (("before", "A"), ("after", "B")):
        image = folder / "pairs" / letter / "test_000002.png"
        shutil.copy(image, folder / f"{date}.png")
        write_raster(image, folder / f"{date}.tif")
    write_area(folder / "area.geojson")
    write_tables(folder)
    write_captions(folder)
    write_checkpoint(folder)
    write_reports(folder)
    return folder


def write_raster(image: Path, target: Path) -> None:
    """A GeoTIFF of a picture, with pixels of half a metre."""
    values = np.asarray(Image.open(image)).transpose(2, 0, 1)
    place = rasterio.Affine(0.5, 0, 620_000, 0, -0.5, 3_350_000)
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


def write_area(target: Path) -> None:
    """Where the rasters lie, and more: a square in degrees."""
    west, east, south, north = -97.8, -97.7, 30.2, 30.3
    corners = [[west, south], [east, south], [east, north], [west, north]]
    shape = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    target.write_text(json.dumps(shape))


def write_tables(folder: Path) -> None:
    """Tables of pairs, with captions, and a folder that holds one and its pictures."""
    lines = ["before,after,caption"]
    for number in (1, 2, 3, 4):
        name = f"val_{number:06d}.png"
        lines.append(f"more/A/{name},more/B/{name},a road is built")
    for name in ("TABLE.csv", "captions.csv", "pairs.csv"):
        (folder / name).write_text("\n".join(lines))
    shutil.copytree(folder / "more", folder / "FOLDER" / "more")
    shutil.copy(folder / "TABLE.csv", folder / "FOLDER")


def write_captions(folder: Path) -> None:
    """The captions of a system that says what the first annotator said."""
    entries = read_captions(folder / "DATA", splits=["test"])
    said = {entry.name: " ".join(entry.captions[0]) for entry in entries}
    (folder / "captions.json").write_text(json.dumps(said))


def write_checkpoint(folder: Path) -> None:
    """Weights as PyTorch draws them, under all names that the pages have for some."""
    entries = read_captions(folder / "DATA")
    captions = [words for entry in entries for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    settings = tiny("sen")
    torch.manual_seed(0)
    captioner = build(settings, len(vocabulary)).eval()
    made = Checkpoint(captioner, vocabulary, settings, {})
    (folder / "runs" / "sen-levir-cc").mkdir(parents=True)
    for name in ("PATH", "OUT", "A", "B", "CHECKPOINT", "runs/sen-levir-cc/best"):
        save_checkpoint(folder / name, made)


def write_reports(folder: Path) -> None:
    """A report of ``sencap evaluate``, under the names that ``compare`` is given."""
    target = folder / "a.json"
    data, weights = str(folder / "DATA"), str(folder / "PATH")
    words = ["--data", data, "--weights", weights, "--quiet", "--json", str(target)]
    without_java = mock.patch("shutil.which", return_value=None)
    with contextlib.redirect_stdout(io.StringIO()), without_java:
        assert main(["evaluate", *words]) == 0
    for name in REPORTS:
        shutil.copy(target, folder / f"{name}.json")


def names_of_blocks(block: str) -> dict[str, Any]:
    """What a block of Python takes as given, beside what it imports."""
    if "captioner(images, tokens)" not in block:
        return {}
    captioner = build(tiny("sen"), 30).eval()
    images = torch.zeros(1, 2, 3, 64, 64, dtype=torch.uint8)
    tokens = torch.tensor([[[2, 5, 3]]])
    return {"captioner": captioner, "images": images, "tokens": tokens}
