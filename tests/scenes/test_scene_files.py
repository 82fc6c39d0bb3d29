"""Rasters as they come: other grids, projections, types and layouts; and those that are
refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes_drawn import Pair, Watcher, changed, ground
from sencap.cli import main
from sencap.errors import ImageError, SettingsError
from sencap.images import Reading
from sencap.images.windows import Window
from sencap.rasters import Grid, Raster
from sencap.scenes import ScanSettings, scan, write_scan
from sencap.scenes.dates import image_dates
from sencap.scenes.ground import area, metres_per_pixel
from sencap.scenes.trained import Trained, window_side
from tiny_rasters import Write

SIDE = ScanSettings(side=150)


def _verdicts(pair: Pair, settings: ScanSettings = SIDE) -> list[bool]:
    return [row.changed for row in scan(*pair, settings=settings)]


def _turned(path: Path, out: Path) -> Path:
    """A raster on a grid that is turned by 30 degrees around its middle, and holds all
    of it."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as file:
        middle = file.transform @ (350, 300)
        turned = rasterio.Affine.translation(*middle) @ rasterio.Affine.rotation(30)
        grid = (
            turned
            @ rasterio.Affine.scale(0.5, -0.5)
            @ rasterio.Affine.translation(-500, -500)
        )
        values = np.zeros((3, 1000, 1000), np.uint8)
        rasterio.warp.reproject(
            file.read(), values, src_transform=file.transform, src_crs=file.crs,
            dst_transform=grid, dst_crs=file.crs,
        )  # fmt: skip
        profile = {
            **file.profile,
            "transform": grid,
            "height": 1000,
            "width": 1000,
            "nodata": 0,
        }
    with rasterio.open(out, "w", **profile) as other:
        other.write(values)
    return out


def _with_control_points(path: Path, out: Path) -> Path:
    """A raster whose place is told by its corners alone."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as file:
        corners = [
            (row, column) for row in (0, file.height) for column in (0, file.width)
        ]
        points = [
            rasterio.control.GroundControlPoint(
                row, column, *(file.transform @ (column, row))
            )
            for row, column in corners
        ]
        profile = {
            key: file.profile[key]
            for key in ("driver", "count", "dtype", "height", "width")
        }
        with rasterio.open(out, "w", **profile, gcps=points, crs=file.crs) as other:
            other.write(file.read())
    return out


def _with_overviews(path: Path, out: Path) -> Path:
    """A cloud-optimised GeoTIFF."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as file:
        profile = {
            key: file.profile[key]
            for key in ("count", "dtype", "height", "width", "crs")
        }
        profile |= {"driver": "COG", "transform": file.transform, "blocksize": 128}
        with rasterio.open(out, "w", **profile) as other:
            other.write(file.read())
    return out


def _warped(path: Path, out: Path, crs: str) -> Path:
    """A raster in another projection, by nearest pixels, finer so that nothing is
    lost."""
    rasterio = pytest.importorskip("rasterio")
    with (
        rasterio.open(path) as file,
        rasterio.vrt.WarpedVRT(file, crs=crs, nodata=0) as view,
    ):
        profile = {**view.profile, "driver": "GTiff", "nodata": 0}
        with rasterio.open(out, "w", **profile) as other:
            other.write(view.read())
    return out


@pytest.mark.parametrize(
    "kind",
    [
        "shifted",
        "projected",
        "turned",
        "points",
        "south-up",
        "jpeg",
        "planar",
        "striped",
        "pyramid",
    ],
)
def test_the_after_image_may_lie_otherwise(
    kind: str, write: Write, rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    """The same ground stored otherwise: the same windows changed."""
    expected = _verdicts(rasters)
    values = changed(ground())
    if kind == "shifted":
        larger = np.pad(values, ((0, 0), (7, 9), (11, 3)), mode="edge")
        other = write("other.tif", larger, left=-11, top=-7)
    elif kind == "projected":
        other = _warped(rasters[1], tmp_path / "other.tif", "EPSG:4326")
    elif kind == "turned":
        other = _turned(rasters[1], tmp_path / "other.tif")
    elif kind == "points":
        other = _with_control_points(rasters[1], tmp_path / "other.tif")
    elif kind == "pyramid":
        other = _with_overviews(rasters[1], tmp_path / "other.tif")
    elif kind == "south-up":
        affine = pytest.importorskip("affine")
        bottom = affine.Affine(0.5, 0, 620_000, 0, 0.5, 3_350_000 - 300)
        other = write("other.tif", values[:, ::-1], transform=bottom)
    else:
        layouts: dict[str, dict[str, Any]] = {
            "jpeg": {"compress": "jpeg", "tiled": True, "photometric": "ycbcr"},
            "planar": {"interleave": "band", "tiled": True},
            "striped": {"interleave": "pixel", "BIGTIFF": "YES"},
        }
        other = write("other.tif", values, **layouts[kind])
    found = _verdicts((rasters[0], other))
    # resampling cuts the outermost pixels off
    assert abs(len(found) - len(expected)) <= 5
    assert sum(found) == pytest.approx(sum(expected), abs=2)
    if kind not in ("projected", "turned"):
        assert found == expected


def test_blocks_are_decoded_once(write: Write) -> None:
    """A window that was read is read again from memory: its bytes in the file are
    gone."""
    path = write(
        "a.tif",
        ground(),
        tiled=True,
        blockxsize=128,
        blockysize=128,
        compress="deflate",
    )
    with Raster(path) as raster:
        first, _ = raster.read(0, 0, 200, 200)
        with path.open("r+b") as file:
            file.seek(2000)
            file.write(b"\0" * (path.stat().st_size - 2000))
        again, _ = raster.read(0, 0, 200, 200)
        assert (again == first).all()
        with pytest.raises(ImageError, match="cannot be read"):
            raster.read(300, 300, 200, 200)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "float64"])
def test_no_data_is_known_where_a_raster_is_resampled(kind: str, write: Write) -> None:
    """Of every type: GDAL gives floats and signed numbers no mask of their own."""
    values = ground(200, 200).astype(kind)
    values[:, :100] = 7
    with Raster(write("a.tif", values, nodata=7)) as raster:
        raster.put_on(raster.grid.cut((0.0, 0.0, 190.0, 200.0)))
        exact = raster.read()[1]
    with Raster(write("b.tif", values, nodata=7, left=0.4)) as raster:
        raster.put_on(Raster(write("c.tif", values)).grid.cut((1.0, 0.0, 191.0, 200.0)))
        assert raster.is_resampled
        read, resampled = raster.read()
        _, smaller = raster.read(shape=(20, 19))
    assert read.dtype == kind
    assert exact is not None
    assert resampled is not None
    assert smaller is not None
    assert np.mean(exact != resampled) < 0.01
    assert smaller.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("kind", ["uint16", "float32", "float32 of 3000", "int16"])
def test_values_of_any_type_are_scaled_once_for_the_scene(
    kind: str, write: Write, watcher: Watcher
) -> None:
    """Dark windows of floats are not taken for another unit than bright ones."""

    def stored(values: NDArray[np.uint8]) -> NDArray[Any]:
        wide = values.astype(np.float64) * 12
        wide[:, 300:] *= 0.001 if "float" in kind else 1  # a part that is nearly black
        if kind == "float32":
            return (wide / 10_000).astype(np.float32)
        return wide.astype(kind.split(maxsplit=1)[0])

    pair = write("b.tif", stored(ground())), write("a.tif", stored(changed(ground())))
    rows = list(scan(*pair, settings=ScanSettings(side=150, overlap=0)))
    assert any(row.changed for row in rows if row.row < 300)
    below = [row for row in rows if row.row >= 300 and row.column < 350]
    assert not any(row.changed for row in below)


def test_each_date_may_have_a_scale_of_its_own(write: Write, watcher: Watcher) -> None:
    values = ground()
    pair = write("b.tif", values.astype(np.uint16) * 100), write("a.tif", values * 1)
    with pytest.raises(
        ImageError, match=r"b\.tif holds uint16 .*a\.tif holds uint8.*--stretch per"
    ):
        _verdicts(pair)
    rows = _verdicts(pair, ScanSettings(side=150, stretch="per-date"))
    assert len(rows) > 4


def test_a_degree_and_a_metre_are_of_one_size_on_the_ground() -> None:
    affine = pytest.importorskip("affine")
    crs = pytest.importorskip("rasterio.crs").CRS
    degree = Grid(crs.from_epsg(4326), affine.Affine(1, 0, 10, 0, -1, 51), 1, 1)
    # from 50° to 51° north on WGS 84: known from tables of the ellipsoid
    assert area(degree, Window(0, 0, 1, 1)) == pytest.approx(7_892e6, rel=2e-3)
    utm = Grid(
        crs.from_epsg(32633), affine.Affine(10, 0, 500_000, 0, -10, 5_600_000), 100, 100
    )
    assert metres_per_pixel(utm) == pytest.approx(10 / 0.9996, rel=1e-4)
    # this one draws the ground at 60° twice as large
    web = Grid(crs.from_epsg(3857), affine.Affine(10, 0, 0, 0, -10, 8_399_737), 10, 10)
    assert metres_per_pixel(web) == pytest.approx(5, rel=1e-2)


@pytest.mark.parametrize(
    ("metres", "side", "told"),
    [(0.5, 256, ""), (0.3, 427, ""), (1.5, 85, "3 times as coarse"), (10, 64, "20 "
        "times as coarse"),
     (0.1, 1280, "5 times as fine"), (None, 256, "")],
)  # fmt: skip
def test_windows_show_as_much_ground_as_the_weights_know(
    metres: float | None, side: int, told: str
) -> None:
    found, notes = window_side(ScanSettings(), metres, Trained())
    assert found == side
    assert told in "".join(notes)
    assert bool(notes) == bool(told)


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("S2_20180426T105031.tif", "2018-04-26"),
        ("a_2019-02-03.tif", "2019-02-03"),
        ("x.tif", ""),
    ],
)
def test_dates_are_read_from_names(
    name: str, dates: str, write: Write, watcher: Watcher, tmp_path: Path
) -> None:
    pair = write("b_2015-01-01.tif", ground()), write(name, changed(ground()))
    out = tmp_path / "a.geojson"
    write_scan(*pair, out, settings=SIDE)
    told = json.loads(out.read_text())["features"][0]["properties"]
    assert (told["date_before"], told["date_after"]) == ("2015-01-01", dates)


@pytest.mark.parametrize(
    ("tags", "name", "given", "date"),
    [
        (
            {"ACQUISITIONDATETIME": "2018-04-26T10:50:31Z"},
            "x_2019-01-01.tif",
            None,
            "2018-04-26",
        ),
        ({"TIFFTAG_DATETIME": "2018:04:26 10:50:31"}, "x.tif", None, "2018-04-26"),
        (
            {"TIFFTAG_DATETIME": "2024:01:01 10:50:31"},
            "x_2019-01-01.tif",
            None,
            "2019-01-01",
        ),
        ({"DATE_ACQUIRED": "2018-04-26"}, "x.tif", "2017-01-01", "2017-01-01"),
        ({"AREA_OR_POINT": "Area"}, "x.tif", None, None),
    ],
)
def test_dates_are_told_by_the_user_then_tags_then_names(
    tags: dict[str, str], name: str, given: str | None, date: str | None
) -> None:
    assert image_dates([Path(name)], [tags], [given] if given else []) == [date]


def test_polygons_are_told_in_the_projection_asked_for(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    warp = pytest.importorskip("rasterio.warp")
    plain = list(scan(*rasters, settings=SIDE))
    settings = ScanSettings(side=150, crs="EPSG:3857")
    rows = list(scan(*rasters, settings=settings))
    for row, other in zip(plain, rows, strict=True):
        xs, ys = warp.transform(
            "EPSG:32614", "EPSG:3857", *zip(*row.polygon, strict=True)
        )
        assert np.allclose(other.polygon, list(zip(xs, ys, strict=True)), atol=1e-6)
    write_scan(*rasters, tmp_path / "a.gpkg", settings=settings)
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer="changes")["crs"] == "EPSG:3857"


def test_sparse_ground_is_left_out_unread(
    write: Write, watcher: Watcher, tmp_path: Path
) -> None:
    blocks = {
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
        "SPARSE_OK": True,
        "nodata": 0,
    }
    values = ground(640, 640)
    values[:, 128:] = 0
    pair = write("b.tif", values, **blocks), write("a.tif", values, **blocks)
    settings = ScanSettings(side=128, overlap=0)
    summary, _ = write_scan(*pair, tmp_path / "a.csv", settings=settings)
    assert (summary.captioned, summary.without_data, summary.unread) == (5, 20, 20)


# The most memory that this program had. What `resource` tells is of the process that
# started it too, as large as that was.
LARGE = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sencap.scenes import ScanSettings, settings, write_scan
from scenes_drawn import Watcher
watcher = Watcher()
settings.load = lambda *_, **__: watcher
summary, _ = write_scan(*sys.argv[2:], settings=ScanSettings(side=256, overlap=0))
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(summary.windows, summary.unread, int(peak[1]) // 1024)
"""


def test_a_scene_of_30000_pixels_a_side_needs_little_memory(
    write: Write, tmp_path: Path
) -> None:
    """Sparse files, in which one strip of 256 rows is stored: 2.5 GB of pixels in
    each."""
    rasterio = pytest.importorskip("rasterio")
    affine = pytest.importorskip("affine")
    if not Path("/proc/self/status").is_file():
        pytest.skip("the most memory of a program is asked of Linux")
    profile = {
        "driver": "GTiff",
        "count": 3,
        "dtype": "uint8",
        "height": 30_000,
        "width": 30_000,
    }
    profile |= {
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "SPARSE_OK": True,
        "nodata": 0,
    }
    profile |= {"compress": "deflate", "crs": "EPSG:32614", "BIGTIFF": "YES"}
    for name, shift in (("b.tif", 0.0), ("a.tif", 0.2)):  # the second is resampled
        transform = affine.Affine(0.5, 0, 620_000 + shift, 0, -0.5, 3_350_000)
        with rasterio.open(
            tmp_path / name, "w", **profile, transform=transform
        ) as file:
            for column in range(0, 30_000, 3_000):
                window = rasterio.windows.Window(column, 0, 256, 256)
                file.write(ground(256, 256), window=window)
    words = [str(Path(__file__).parents[1])]
    words += [str(tmp_path / name) for name in ("b.tif", "a.tif", "out.csv")]
    told = subprocess.run(
        [sys.executable, "-c", LARGE, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    windows, unread, megabytes = map(int, told.stdout.split())
    assert windows > 13_000
    assert unread > windows - 300
    assert megabytes < 1000


def _refused(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err, shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "b.tif far.tif -o o.gpkg",
            "have no ground in common: in EPSG:32614 the first covers x ",
        ),
        ("b.tif bare.tif -o o.gpkg", "bare.tif does not say where it lies"),
        (
            "b.tif unprojected.tif -o o.gpkg",
            "unprojected.tif does not say its projection",
        ),
        ("b.tif text.tif -o o.gpkg", "text.tif: it is no raster that can be read"),
        ("b.tif none.tif -o o.gpkg", "none.tif: it does not exist"),
        ("b.tif cut.tif -o o.gpkg --side 64", "window "),
        ("b.tif a.tif -o b.tif", "its ending says the format, and .tif is unknown"),
        ("b.tif a.tif -o o.shp", ".shp is unknown; known are .gpkg, .geojson"),
        ("b.tif a.tif -o nowhere/o.gpkg", "the folder nowhere does not exist"),
        ("b.tif a.tif -o /proc/o.csv", "cannot be written"),
        (
            "b.tif a.tif -o o.csv --roi r.csv",
            "r.csv cannot be read (it does not exist)",
        ),
        ("b.tif a.tif -o area.geojson --roi area.geojson", "is the input"),
        (
            "b.tif a.tif -o o.csv --roi area.geojson",
            "lies outside of the scene, which covers x ",
        ),
        ("b.tif a.tif -o o.csv --roi empty.geojson", "holds no polygon"),
        ("b.tif a.tif -o o.csv --bands 4,3,2", "it has 3 bands, but band 4 is wanted"),
        ("b.tif a.tif -o o.csv --crs EPSG:1", "is no projection that is known"),
        ("b.tif a.tif -o o.csv --side 10", "side is 10"),
        ("b.tif a.tif -o o.csv --window 3", "have 32"),
        ("b.tif a.tif -o o.csv --window 50 --side 100", "both say how large"),
        ("b.tif a.tif -o o.csv --overlap 1", "overlap is 1"),
        (
            "b.tif a.tif -o o.csv --dates 2018-13-01,2019-01-01",
            "dates has '2018-13-01'",
        ),
        (
            "b.tif a.tif -o o.csv --dates 2019-01-01,2018-01-01",
            "the earliest comes first",
        ),
        ("b.tif a.tif -o o.csv --dates 2019-01-01", "dates names 1"),
        ("degrees.tif degrees.tif -o o.csv", "counts in degrees, but it covers x "),
        ("b.tif a.tif -o o.csv --weights nowhere", "is not a checkpoint folder"),
    ],
)
def test_what_cannot_be_scanned_is_refused(
    words: str,
    told: str,
    refusals: Path,
    watcher: Watcher,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(refusals)
    before = sorted(refusals.iterdir())
    told = told.replace("have 32", "a window has 32")
    _refused(f"scan {words} --quiet", told, capsys)
    left = set(refusals.iterdir()) - set(before)
    # of a file that breaks off, what was seen before is kept for a run that goes on
    assert left <= {refusals / "o.gpkg.unfinished"} if "cut.tif" in words else not left


@pytest.fixture
def refusals(write: Write, rasters: Pair, tmp_path: Path) -> Path:
    affine = pytest.importorskip("affine")
    values, identity = changed(ground()), affine.Affine.identity()
    write("b.tif", ground())
    cut = write(
        "cut.tif", values, tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    cut.write_bytes(cut.read_bytes()[:-5_000])
    write("a.tif", values)
    write("far.tif", values, left=100_000)
    write("bare.tif", values, crs=None, transform=identity)
    write("unprojected.tif", values, crs=None)
    write("degrees.tif", values, crs="EPSG:4326")
    (tmp_path / "text.tif").write_text("no raster")
    square = [[0, 0], [1, 0], [1, 1], [0, 0]]
    area = {"type": "Polygon", "coordinates": [square]}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    (tmp_path / "empty.geojson").write_text(
        '{"type": "FeatureCollection", "features": []}'
    )
    return tmp_path


def test_a_ground_that_is_assumed_keeps_its_place(
    refusals: Path, watcher: Watcher
) -> None:
    pair = refusals / "b.tif", refusals / "bare.tif"
    rows = list(scan(*pair, settings=ScanSettings(side=150, assume_same_grid=True)))
    assert rows[0].polygon[0] == (620_000, 3_350_000)


def test_the_damaged_window_is_named(refusals: Path, watcher: Watcher) -> None:
    pair = refusals / "b.tif", refusals / "cut.tif"
    settings = ScanSettings(side=64, batch_size=2)
    rows = scan(*pair, settings=settings)
    with pytest.raises(
        ImageError, match=r"window \d+ \(rows \d+–\d+, columns \d+–\d+\): .*cut\.tif"
    ):
        list(rows)


def test_numbers_of_python_have_the_bounds_of_flags() -> None:
    with pytest.raises(SettingsError, match="window is -1"):
        ScanSettings(window=-1)
    with pytest.raises(SettingsError, match="empty=2"):
        ScanSettings(reading=Reading(empty=2))
