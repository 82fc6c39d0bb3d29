"""Windows that tell of one change as one polygon, and the probability as a raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes_drawn import Pair, Watcher
from sencap.errors import SettingsError
from sencap.images.windows import Window
from sencap.scenes import ScanSettings, scan, write_scan
from sencap.scenes.area import _turn_right_of
from sencap.scenes.merging import outlines
from sencap.scenes.tiling import Tiling

TILING = Tiling(160, 160, 32, 0.0)  # five by five


@settings(deadline=None)
@given(st.sets(st.integers(0, 24), min_size=1))
def test_outlines_hold_the_ground_of_their_windows_and_no_more(
    numbers: set[int],
) -> None:
    """Any windows, hanging together or not: turned at every ring, what lies in them is
    theirs."""
    ground = np.zeros((160, 160), np.bool_)
    for number in numbers:
        row, column, height, width = TILING.cell(number)
        ground[row : row + height, column : column + width] = True
    drawn = np.zeros_like(ground)
    for ring in outlines(numbers, TILING):
        assert len(set(ring)) == len(ring)  # no ring touches itself
        points = [(float(column), float(row)) for row, column in ring]
        _turn_right_of(points, Window(0, 0, 160, 160), drawn)
    assert (drawn == ground).all()


def test_windows_around_a_hole_have_an_outer_ring_first() -> None:
    around = [6, 7, 8, 11, 13, 16, 17, 18]
    outer, hole = outlines(around, TILING)
    assert sorted(outer) == [(32, 32), (32, 128), (128, 32), (128, 128)]
    assert sorted(hole) == [(64, 64), (64, 96), (96, 64), (96, 96)]


def test_merged_windows_are_one_feature_and_totals_stay(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    raw = pytest.importorskip("pyogrio.raw")
    scan_settings = ScanSettings(side=100)
    rows = list(scan(*rasters, settings=scan_settings))
    summaries = [
        write_scan(
            *rasters, tmp_path / f"{merge}.gpkg", settings=scan_settings, merge=merge
        )[0]
        for merge in (False, True)
    ]
    assert summaries[0] == summaries[1]
    columns = ["window", "changed", "windows"]
    _, _, polygons, fields = raw.read(
        tmp_path / "True.gpkg", layer="changes", columns=columns
    )
    _, is_changed, counts = fields
    # there are two changes, far from each other
    assert int(np.sum(is_changed)) == 2
    assert sum(counts) == len(rows)
    assert len(polygons) == len(rows) - sum(row.changed for row in rows) + 2


def test_the_probability_is_a_raster_on_the_same_ground(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    rasterio = pytest.importorskip("rasterio")
    path, scan_settings = tmp_path / "p.tif", ScanSettings(side=100)
    write_scan(*rasters, tmp_path / "a.csv", settings=scan_settings, probability=path)
    rows = list(scan(*rasters, settings=scan_settings))
    with rasterio.open(path) as file, rasterio.open(rasters[0]) as before:
        assert file.crs == before.crs
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.transform.c == before.transform.c
        values = file.read(1)
        # in the middle of a change, and where nothing changed
        for x, y in ((620_045, 3_349_965), (620_150, 3_349_950)):
            row, column = file.index(x, y)
            at = [
                one.change_probability or 0.0
                for one in rows
                if one.polygon[0][0] <= x < one.polygon[2][0]
                and one.polygon[2][1] < y <= one.polygon[0][1]
            ]
            assert values[row, column] == pytest.approx(np.mean(at), abs=0.3)
    assert values.max() > 0.9
    assert np.isfinite(values).all()


def test_the_probability_is_a_tiff(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"probability=p\.png: it is a GeoTIFF"):
        write_scan(*rasters, tmp_path / "a.csv", probability="p.png")
    with pytest.raises(SettingsError, match="is the input"):
        write_scan(*rasters, tmp_path / "a.csv", probability=rasters[0])
