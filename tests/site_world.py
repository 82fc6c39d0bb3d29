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

import torch

from sencap.cli import main, verb_parser
from sencap.config import ModelSettings, TrainingSettings
from sencap.data.levir_cc import read_captions
from sencap.models.variants import build
from sencap.parsing import underscored
from sencap.verbs.train import command
from site_files import (
    write_masks,
    write_pushed,
    write_raster,
    write_series,
    write_source,
    write_weights_of_others,
)
from site_pages import ROOT
from site_tables import TINY
from tiny_systems import tiny

REPORTS = ["b", "a1", "a2", "a3", "b1", "b2", "b3", "s1", "s2", "s3", "c1", "c2", "c3"]


def write_world(folder: Path, tiny_data: Path) -> Path:
    """A clone, as far as commands need it, and all that the pages' names stand for."""
    folder.mkdir()
    for name in ("src", "configs", "scripts", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    samples = ROOT / "tests" / "samples"
    for name in ("ssl4eo-s12", "SSL4EO-S12", "PLACES"):
        (folder / name).symlink_to(samples / "ssl4eo_v1_0")
    shutil.copytree(tiny_data, folder / "DATA")
    (folder / "LEVIR-CC").symlink_to("DATA")
    (folder / "CAPTIONS").symlink_to("DATA/LevirCCcaptions.json")
    write_masks(folder / "DATA")
    for split, name in (("test", "pairs"), ("val", "more")):
        shutil.copytree(tiny_data / "images" / split, folder / name)
    shutil.copytree(folder / "DATA" / "images" / "train", folder / "VIEWS")
    for date, letter in (("before", "A"), ("after", "B")):
        image = folder / "pairs" / letter / "test_000002.png"
        shutil.copy(image, folder / f"{date}.png")
        write_raster(image, folder / f"{date}.tif")
    write_area(folder / "area.geojson")
    write_tables(folder)
    write_captions(folder)
    write_checkpoint(folder)
    write_reports(folder)
    write_series(folder)
    write_source(folder)
    write_weights_of_others(folder)
    write_pushed(folder)
    return folder


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
    """Weights of a tiny training, under all names that the pages have for some."""
    best = folder / "runs" / "sen-levir-cc" / "best"
    config = str(ROOT / "configs" / "sen-levir-cc.yaml")
    words = ["--config", config, "--data", str(folder / "DATA")]
    out = ["--out", str(best.parent)]
    assert main(["train", *words, *out, *TINY.split()]) == 0
    for name in ("PATH", "A", "B", "CHECKPOINT"):
        shutil.copytree(best, folder / name)


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


def tiny_settings(system: str) -> ModelSettings:
    """A system as small as a tiny training makes it."""
    parser = verb_parser("train", command)
    words = TINY.split() + (["--extractor.grid", "2"] if system != "sen" else [])
    words = ["--data", "x", "--out", "x", "--system", system, *words]
    values = parser.instantiate(parser.parse_args([underscored(w) for w in words]))
    values.pop("config", None)
    return TrainingSettings(**vars(values)).model
