"""`sencap scan`: what it finds, what it counts, and that a stop costs the batch in hand
alone."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from scenes_drawn import CHANGES, Pair, Watcher, changed, ground
from sencap.cli import main
from sencap.errors import DataError
from sencap.images import Reading
from sencap.scenes import ScanSettings, scan, write_scan
from sencap.scenes.style import qml
from tiny_rasters import Write

SMALL = ScanSettings(side=100, batch_size=4)
FORMATS = ["gpkg", "geojson", "fgb", "parquet", "csv"]


def test_the_windows_that_show_a_change_are_those_that_are_told(
    rasters: Pair, watcher: Watcher
) -> None:
    rows = list(scan(*rasters, settings=SMALL))
    assert [row.window for row in rows] == list(range(len(rows)))
    for row in rows:
        shown = 0
        for top, left, height, width in CHANGES:
            high = min(row.row + row.height, top + height) - max(row.row, top)
            wide = min(row.column + row.width, left + width) - max(row.column, left)
            shown += max(high, 0) * max(wide, 0)
        if shown > 200:
            assert row.changed, row
        if not shown:
            assert not row.changed, row
        # half a metre a pixel, from the corner in the west and north
        west, north = 620_000 + row.column / 2, 3_350_000 - row.row / 2
        assert row.polygon[0] == (west, north)
        assert row.polygon[2] == (west + 50, north - 50)
        assert row.valid == 1


def _read(path: Path) -> tuple[list[dict[str, Any]], list[Any]]:
    """The columns of a file, row by row, and the corners of its polygons."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file)), []
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        told = parquet.read_table(path).to_pylist()
        return told, [_ring(row.pop("geometry")) for row in told]
    raw = pytest.importorskip("pyogrio.raw")
    layer = "changes" if path.suffix == ".gpkg" else None
    about, _, polygons, fields = raw.read(path, layer=layer)
    rows = zip(*fields, strict=True)
    return [dict(zip(about["fields"], row, strict=True)) for row in rows], list(
        map(_ring, polygons)
    )


def _ring(content: bytes) -> list[tuple[float, float]]:
    assert content[:9] == b"\x01\x03\0\0\0\x01\0\0\0"  # a polygon of one ring
    points = np.frombuffer(content[13:], "<f8").reshape(-1, 2)
    assert (points[0] == points[-1]).all()
    return [(float(x), float(y)) for x, y in points[:-1]]


@pytest.mark.parametrize("ending", FORMATS)
def test_each_format_holds_the_rows(
    ending: str, rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    expected = list(scan(*rasters, settings=SMALL))
    before = set(tmp_path.iterdir())
    out = tmp_path / f"changes.{ending}"
    write_scan(*rasters, out, settings=SMALL)
    rows, rings = _read(out)
    assert set(tmp_path.iterdir()) - before == {out}
    order = sorted(range(len(rows)), key=lambda place: int(rows[place]["window"]))
    assert len(rows) == len(expected)
    for place, row in zip(order, expected, strict=True):
        told = rows[place]
        assert told["caption"] == row.caption
        assert float(told["change_probability"]) == row.change_probability
        assert str(told["changed"]) == str(row.changed)
        assert told["second"] == "a road is built"
        if ending in ("gpkg", "fgb", "parquet"):
            assert rings[place] == row.polygon
        if ending == "geojson":  # degrees, at 14° west of the middle of North America
            assert -98 < rings[place][0][0] < -97
            assert 30 < rings[place][0][1] < 31


def test_a_geopackage_has_summary_style_and_what_was_done(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    out = tmp_path / "changes.gpkg"
    summary, _ = write_scan(*rasters, out, settings=SMALL)
    assert [name for name, _ in pyogrio.list_layers(out)] == [
        "changes",
        "summary",
        "layer_styles",
    ]
    info = pyogrio.read_info(out, layer="changes")
    assert info["crs"] == "EPSG:32614"
    about = json.loads(info["layer_metadata"]["sencap"])
    assert about["settings"]["side"] == 100
    assert about["read"]["window"] == {"side": 100, "step": 75}
    _, _, _, fields = pyogrio.raw.read(out, layer="layer_styles")
    texts = [str(field[0]) for field in fields]
    assert any("<qgis" in text and "change_probability" in text for text in texts)
    _, _, _, fields = pyogrio.raw.read(
        out, layer="summary", columns=["windows", "changed"]
    )
    assert [int(field[0]) for field in fields] == [summary.windows, summary.changed]


def test_the_style_colours_all_probabilities() -> None:
    style = ElementTree.fromstring(qml())
    ranges = [
        (float(one.get("lower", "")), float(one.get("upper", "")))
        for one in style.iter("range")
    ]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 1
    assert all(one[1] == other[0] for one, other in pairwise(ranges))
    symbols = {one.get("name") for one in style.iter("symbol")}
    assert {one.get("symbol") for one in style.iter("range")} == symbols
    (text,) = style.iter("text-style")
    assert text.get("fieldName") == 'CASE WHEN "changed" THEN "caption" END'


def test_dates_in_a_geopackage_have_milliseconds_as_it_prescribes(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    write_scan(*rasters, tmp_path / "changes.gpkg", settings=SMALL)
    with closing(sqlite3.connect(tmp_path / "changes.gpkg")) as database:
        dates = database.execute(
            "SELECT update_time FROM layer_styles UNION SELECT last_change FROM "
            "gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchall()
    assert dates
    for (date,) in dates:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", date)


_IN_QGIS = """
import os, sys
from qgis.core import (QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings,
                       QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False)
app.initQgis()
layer = QgsVectorLayer(f"{sys.argv[1]}|layername=changes", "changes", "ogr")
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setOutputSize(QSize(1000, 1000))
settings.setDestinationCrs(layer.crs())
settings.setExtent(layer.extent())
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
labels = job.takeLabelingResults().labelsWithinRect(layer.extent())
ranges = len(layer.renderer().ranges())
print(layer.renderer().type(), ranges, *sorted({one.labelText for one in labels}), sep="|")
sys.stdout.flush()
os._exit(0)
"""


def test_qgis_opens_a_geopackage_coloured_and_labelled(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    """In QGIS itself, where Debian's python3-qgis is installed."""
    python = "/usr/bin/python3"  # QGIS belongs to the system's Python
    if not Path(python).exists():
        pytest.skip("needs the system's Python, which Debian's QGIS belongs to")
    probe = subprocess.run([python, "-c", "import qgis.core"], check=False)
    if probe.returncode != 0:
        pytest.skip("needs QGIS: apt-get install python3-qgis")
    out = tmp_path / "changes.gpkg"
    write_scan(*rasters, out, settings=SMALL)
    done = subprocess.run(
        [python, "-c", _IN_QGIS, out],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    kind, ranges, *labels = done.stdout.strip().splitlines()[-1].split("|")
    assert (kind, ranges) == ("graduatedSymbol", "4")
    assert labels


def test_totals_count_no_ground_twice(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    """However much windows overlap, the ground is that of the raster."""
    for overlap in (0.0, 0.25, 0.8):
        settings = ScanSettings(side=100, overlap=overlap)
        summary, _ = write_scan(*rasters, tmp_path / "a.csv", settings=settings)
        # half-metre pixels; on the ellipsoid UTM is a few in 10,000 off
        assert summary.seen_km2 == pytest.approx(600 * 700 * 0.25e-6, rel=2e-3)
        rows = list(scan(*rasters, settings=settings))
        assert sum(row.pixels for row in rows) == 600 * 700
        told = sum(row.pixels for row in rows if row.changed) / (600 * 700)
        assert summary.changed_share == pytest.approx(told, abs=1e-6)
        assert 0 < summary.changed_share < 1


def test_ground_without_data_counts_nowhere(
    write: Write, watcher: Watcher, tmp_path: Path
) -> None:
    values = ground()
    after = changed(values)
    values[:, :200, :] = 0  # two of six rows of windows, without overlap
    after[:, :, 600:] = 0
    pair = write("b.tif", values, nodata=0), write("a.tif", after, nodata=0)
    settings = ScanSettings(side=100, overlap=0.0)
    summary, _ = write_scan(*pair, tmp_path / "a.csv", settings=settings)
    assert summary.without_data == 14 + 4
    assert summary.captioned == 4 * 6
    assert summary.seen_km2 == pytest.approx(400 * 600 * 0.25e-6, rel=2e-3)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_stopped_scan_goes_on_to_an_equal_file(
    ending: str, rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    write_scan(*rasters, whole, settings=SMALL)
    needed = watcher.batches
    journal = tmp_path / f"out.{ending}.unfinished"
    done = 0
    for stop in (0, 3, 5):
        watcher.batches, watcher.stop_after = 0, stop
        with pytest.raises(KeyboardInterrupt):
            write_scan(*rasters, out, settings=SMALL)
        done += stop
        assert not out.exists()
        assert len(journal.read_bytes().splitlines()) == 1 + done
    # what a kill leaves half-written is no batch
    journal.write_bytes(journal.read_bytes() + b'{"end": 99, "rows": [{"win')
    watcher.batches, watcher.stop_after = 0, None
    write_scan(*rasters, out, settings=SMALL)
    assert watcher.batches == needed - done
    assert not journal.exists()
    assert out.read_bytes() == whole.read_bytes()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from sencap.scenes import ScanSettings, settings, write_scan
from scenes_drawn import Watcher
watcher = Watcher()
def caption(pairs, usual=watcher.caption_pairs):
    if watcher.batches == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(pairs)
watcher.caption_pairs = caption
settings.load = lambda *_, **__: watcher
write_scan(*sys.argv[2:], settings=ScanSettings(side=100, batch_size=4))
"""


def test_kill_9_loses_the_batch_in_hand_alone(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    out, here = tmp_path / "out.gpkg", Path(__file__).parent
    words = [str(here.parent), *map(str, rasters), str(out)]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len((tmp_path / "out.gpkg.unfinished").read_bytes().splitlines()) == 1 + 4
    write_scan(*rasters, out, settings=SMALL)
    content = out.read_bytes()
    write_scan(*rasters, out, settings=SMALL)
    assert out.read_bytes() == content


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from sencap.cli import main
from sencap.scenes import settings
from scenes_drawn import Watcher
watcher = Watcher()
settings.load = lambda *_, **__: watcher
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
sys.exit(main(["scan", *sys.argv[3:], "--side", "100", "--batch-size", "4", "--quiet"]))
"""


@pytest.mark.parametrize(
    ("ending", "room"), [("gpkg", 80_000), ("geojson", 39_000), ("csv", 9000)]
)
def test_a_disk_that_fills_up_costs_nothing_that_was_done(
    ending: str, room: int, rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    """A limit for the size of files: the first two have room for the record, not for
    the output."""
    out, here = tmp_path / f"out.{ending}", Path(__file__).parent
    words = [str(here.parent), str(room), *map(str, rasters), "-o", str(out)]
    before = set(tmp_path.iterdir())
    command = [sys.executable, "-c", FULL, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        f"{out.name}{'.unfinished' if ending == 'csv' else ''} cannot be written"
        in done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert set(tmp_path.iterdir()) - before == {tmp_path / f"out.{ending}.unfinished"}
    write_scan(*rasters, out, settings=SMALL)
    assert (watcher.batches == 0) == (ending != "csv")
    assert out.exists()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("raster", r"after\.modified was \d+ and is \d+"),
        ("settings", r"settings\.overlap was 0\.25 and is 0\.5"),
        ("reading", r"settings\.reading\.bands was None and is \[3, 2, 1\]"),
        ("weights", r"weights was \w+ and is \w+"),
    ],
)
def test_what_was_begun_otherwise_is_refused(
    what: str,
    told: str,
    rasters: Pair,
    watcher: Watcher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.csv"
    watcher.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        write_scan(*rasters, out, settings=SMALL)
    other = SMALL
    if what == "raster":
        os.utime(rasters[1], ns=(1, 1))
    if what == "settings":
        other = ScanSettings(side=100, batch_size=4, overlap=0.5)
    if what == "reading":
        other = ScanSettings(side=100, batch_size=4, reading=Reading(bands=(3, 2, 1)))
    if what == "weights":
        monkeypatch.setattr("sencap.scenes.scanning.content_digest", lambda *_: "other")
    content = (tmp_path / "out.csv.unfinished").read_bytes()
    with pytest.raises(
        DataError, match=rf"begun otherwise: {told}\. .*delete .*unfinished"
    ):
        write_scan(*rasters, out, settings=other)
    assert (tmp_path / "out.csv.unfinished").read_bytes() == content


def test_an_area_limits_what_is_looked_at_and_counted(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    warp = pytest.importorskip("rasterio.warp")
    # rows 0 to 300, columns 0 to 350: the first of the changes
    west, north = 620_000, 3_350_000
    square = [
        (west, north),
        (west + 175, north),
        (west + 175, north - 150),
        (west, north - 150),
    ]
    xs, ys = warp.transform("EPSG:32614", "EPSG:4326", *zip(*square, strict=True))
    ring = [*zip(xs, ys, strict=True), (xs[0], ys[0])]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    roi = tmp_path / "area.geojson"
    roi.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    settings = ScanSettings(side=100, roi=roi)
    summary, _ = write_scan(*rasters, tmp_path / "a.csv", settings=settings)
    assert summary.seen_km2 == pytest.approx(300 * 350 * 0.25e-6, rel=2e-3)
    rows = list(scan(*rasters, settings=settings))
    assert all(row.row < 300 and row.column < 350 for row in rows)
    assert 0 < summary.changed < summary.captioned


def test_the_verb_prints_the_summary(
    rasters: Pair, watcher: Watcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "scan",
        *map(str, rasters),
        "-o",
        str(tmp_path / "a.geojson"),
        "--side",
        "100",
    ]
    assert main([*words, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert "windows changed: " in shown.out
    assert "a building is built" in shown.out
    assert main([*words, "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["windows"] == told["captioned"] == 8 * 9


@pytest.mark.parametrize("ending", FORMATS)
def test_a_scene_without_data_is_an_empty_file(
    ending: str, write: Write, watcher: Watcher, tmp_path: Path
) -> None:
    values = np.zeros((3, 200, 200), np.uint8)
    pair = write("b.tif", values, nodata=0), write("a.tif", ground(200, 200))
    out, probability = tmp_path / f"a.{ending}", tmp_path / "p.tif"
    summary, _ = write_scan(*pair, out, settings=SMALL, probability=probability)
    assert (summary.captioned, summary.without_data, summary.seen_km2) == (0, 9, 0)
    assert _read(out)[0] == []
