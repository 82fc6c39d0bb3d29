"""Large dated rasters: one grid for rasters of many, cells of it, no data dropped."""

from __future__ import annotations

import datetime
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sencap.errors import DataError, MissingDependencyError, SettingsError
from sencap.places import Scaling, SeriesPlaces, open_places, series
from sencap.rasters import Raster

rasterio = pytest.importorskip(
    "rasterio", reason="rasters of a series need the extra geo (rasterio)"
)

DAYS = ("2019-03-01", "2019-07-01", "2019-11-01")
UTM = "EPSG:32633"


def write(
    path: Path, values: NDArray[Any], left: float = 0, top: float = 0, **more: Any
) -> Path:
    """A raster of 10 m pixels, ``left`` and ``top`` in pixels from a corner in UTM zone
    33."""
    from affine import Affine

    pixel = more.pop("pixel", 10)
    transform = Affine(pixel, 0, 300_000 + 10 * left, 0, -pixel, 5_000_000 - 10 * top)
    profile = {
        "driver": "GTiff",
        "height": values.shape[1],
        "width": values.shape[2],
        "count": len(values),
    }
    profile |= {"dtype": values.dtype, "crs": UTM, "transform": transform}
    descriptions = more.pop("descriptions", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **(profile | more)) as file:
        file.write(values)
        if descriptions:
            file.descriptions = descriptions
    return path


def ramp(height: int, width: int, left: int = 0, top: int = 0) -> NDArray[np.uint8]:
    """Bands that tell where on the ground a pixel is: its column, its row, 200."""
    rows, columns = np.mgrid[top : top + height, left : left + width]
    return np.stack([columns, rows, np.full_like(rows, 200)]).astype(np.uint8)


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    """Three rasters of one ground with other origins and sizes, on one grid; common:
    columns 4–83, rows 6–75."""
    for day, left, top, height, width in zip(
        DAYS, (0, 4, 2), (0, 3, 6), (80, 75, 70), (90, 80, 88), strict=True
    ):
        write(tmp_path / f"{day}.tif", ramp(height, width, left, top), left, top)
    return tmp_path


def test_rasters_of_other_origins_show_the_same_ground_in_a_cell(shifted: Path) -> None:
    places = open_places(shifted, size=32)
    assert isinstance(places, SeriesPlaces)
    grid = places.grids[0]
    assert (grid.width, grid.height) == (80, 70)
    assert [places.name(i) for i in range(len(places))] == [
        f"r{row:06d}-c{column:06d}" for row in (0, 32) for column in (0, 32)
    ]
    for index, (row, column) in enumerate(((0, 0), (0, 32), (32, 0), (32, 32))):
        place = places.read(index)
        assert place.dates == tuple(map(datetime.date.fromisoformat, DAYS))
        for image in place.images:
            assert np.array_equal(image, ramp(32, 32, 4 + column, 6 + row))


def test_the_stride_lets_cells_overlap(shifted: Path) -> None:
    places = SeriesPlaces(shifted, size=32, stride=16)
    assert len(places) == 4 * 3  # columns 0, 16, 32, 48 and rows 0, 16, 32
    assert np.array_equal(places.read(5).images[2], ramp(32, 32, 4 + 16, 6 + 16))


def test_a_shift_of_part_of_a_pixel_or_another_pixel_size_is_resampled(
    tmp_path: Path,
) -> None:
    write(tmp_path / f"{DAYS[0]}.tif", ramp(60, 60))
    half = ramp(62, 62).astype(float)
    half[:2] -= 1.5  # its pixels lie 1.5 further left and up
    write(
        tmp_path / f"{DAYS[1]}.tif", half.clip(0).round().astype(np.uint8), -1.5, -1.5
    )
    fine = np.stack(
        [
            np.tile((np.arange(120) - 0.5) / 2, (120, 1)),
            np.tile((np.arange(120) - 0.5) / 2, (120, 1)).T,
        ]
    )
    fine = (
        np.concatenate([fine, np.full((1, 120, 120), 200)])
        .clip(0)
        .round()
        .astype(np.uint8)
    )
    write(tmp_path / f"{DAYS[2]}.tif", fine, pixel=5)
    place = SeriesPlaces(tmp_path, size=40).read(0)
    inside = place.images[:, :, 3:-3, 3:-3].astype(int)
    assert np.abs(inside[1] - inside[0]).max() <= 1
    assert np.abs(inside[2] - inside[0]).max() <= 1


def test_another_projection_is_brought_to_the_first_ones_grid(tmp_path: Path) -> None:
    from affine import Affine
    from rasterio.warp import Resampling, reproject, transform_bounds

    first = write(tmp_path / f"{DAYS[0]}.tif", ramp(90, 90))
    with rasterio.open(first) as file:
        left, bottom, right, top = transform_bounds(UTM, "EPSG:4326", *file.bounds)
        transform = Affine((right - left) / 110, 0, left, 0, (bottom - top) / 110, top)
        degrees = np.zeros((3, 110, 110), np.uint8)
        reproject(
            file.read(),
            degrees,
            src_transform=file.transform,
            src_crs=UTM,
            dst_transform=transform,
            dst_crs="EPSG:4326",
            resampling=Resampling.bilinear,
        )
    write(
        tmp_path / f"{DAYS[1]}.tif",
        degrees,
        crs="EPSG:4326",
        transform=transform,
        nodata=0,
    )
    places = SeriesPlaces(tmp_path, size=32, empty=0.0)
    assert len(places) >= 4
    for place in places:
        assert np.abs(place.images[0].astype(int) - place.images[1]).max() <= 3


def test_cells_without_data_are_dropped_and_dates_without_data_left_out(
    tmp_path: Path,
) -> None:
    for number, day in enumerate(DAYS):
        values = ramp(64, 64) + np.uint8(1)
        # Two dates without data: no place.
        values[:, :32, :32] = 0 if number < 2 else 77
        values[:, :32, 32:] = 0 if number == 1 else 88  # one: a place of two dates
        write(tmp_path / f"{day}.tif", values, nodata=0)
    places = SeriesPlaces(tmp_path, size=32)
    assert list(places.report.left_out) == ["r000000-c000000"]
    assert places.name(0) == "r000000-c000032"
    assert [date.isoformat() for date in places.dates(0)] == [DAYS[0], DAYS[2]]
    assert places.report.missing["r000000-c000032"] == [
        f"{DAYS[1]}: 100% of the cell holds no data"
    ]
    assert len(places.dates(1)) == len(places.dates(2)) == 3


def test_a_named_no_data_value_becomes_black_and_a_share_of_it_is_borne(
    tmp_path: Path,
) -> None:
    for day in DAYS[:2]:
        values = np.full((3, 40, 40), 5_000, np.uint16)
        values[:, :4] = 65_535
        write(tmp_path / f"{day}.tif", values, nodata=65_535)
    with pytest.raises(DataError, match="10% of the cell holds no data"):
        SeriesPlaces(tmp_path, size=40)
    place = SeriesPlaces(tmp_path, size=40, empty=0.1).read(0)
    assert place.images[0, :, 0, 0].tolist() == [0, 0, 0]
    assert place.images[0, :, 20, 0].tolist() == [128, 128, 128]


def test_bands_are_found_by_their_names_or_given(tmp_path: Path) -> None:
    values = np.stack(
        [np.full((32, 32), value, np.uint16) for value in (2_000, 4_000, 6_000, 8_000)]
    )
    for day in DAYS[:2]:
        write(
            tmp_path / f"{day}.tif", values, descriptions=("B02", "B03", "B04", "B08")
        )
    assert SeriesPlaces(tmp_path, size=32).read(0).images[0, :, 0, 0].tolist() == [
        153,
        102,
        51,
    ]
    chosen = SeriesPlaces(
        tmp_path, size=32, bands=[4, 1, 2], scaling=Scaling(white=8_000)
    )
    assert chosen.read(0).images[0, :, 0, 0].tolist() == [255, 64, 128]
    with pytest.raises(DataError, match=r"has 4 bands, but band 5 is wanted"):
        SeriesPlaces(tmp_path, size=32, bands=[5, 1, 1])


def test_other_names_and_colours_of_bands_are_known(tmp_path: Path) -> None:
    values = np.stack(
        [np.full((32, 32), value, np.uint8) for value in (10, 20, 30, 40)]
    )
    write(
        tmp_path / f"{DAYS[0]}.tif",
        values,
        descriptions=("Blue", "Green", "Red", "NIR"),
    )
    write(tmp_path / f"{DAYS[1]}.tif", values[2::-1])
    place = SeriesPlaces(tmp_path, size=32).read(0)
    assert place.images[:, :, 0, 0].tolist() == [[30, 20, 10]] * 2
    chosen = SeriesPlaces(tmp_path, size=32, bands=(1, 1, 1)).read(0)
    assert chosen.images[:, 0, 0, 0].tolist() == [10, 30]


def test_a_raster_stored_from_south_to_north_is_put_on_the_grid(tmp_path: Path) -> None:
    from affine import Affine

    write(tmp_path / f"{DAYS[0]}.tif", ramp(64, 64))
    south = Affine(10, 0, 300_000, 0, 10, 5_000_000 - 640)
    write(tmp_path / f"{DAYS[1]}.tif", ramp(64, 64)[:, ::-1], transform=south)
    place = SeriesPlaces(tmp_path, size=64).read(0)
    assert np.array_equal(place.images[0], ramp(64, 64))
    assert np.array_equal(place.images[1], ramp(64, 64))


def test_pixels_of_alpha_0_hold_no_data(tmp_path: Path) -> None:
    alpha = np.full((1, 64, 64), 255, np.uint8)
    alpha[:, :, :32] = 0
    for number, day in enumerate(DAYS):
        values = np.concatenate([ramp(64, 64), alpha]) if number == 1 else ramp(64, 64)
        path = write(tmp_path / f"{day}.tif", values)
        if number == 1:
            with rasterio.open(path, "r+") as file:
                kinds = rasterio.enums.ColorInterp
                file.colorinterp = [kinds.red, kinds.green, kinds.blue, kinds.alpha]
    places = SeriesPlaces(tmp_path, size=32)
    missing = places.report.missing
    assert set(missing) == {"r000000-c000000", "r000032-c000000"}
    assert missing["r000000-c000000"] == [f"{DAYS[1]}: 100% of the cell holds no data"]


def test_dated_files_of_a_place_are_put_on_the_grid_of_its_first(
    tmp_path: Path,
) -> None:
    """In a folder for each place, and in pairs."""
    root, pairs = tmp_path / "places", tmp_path / "pairs"
    write(root / "north" / f"{DAYS[0]}.tif", ramp(64, 64))
    write(root / "north" / f"{DAYS[1]}.tif", ramp(64, 64, 8, 4), 8, 4)
    write(root / "north" / f"{DAYS[2]}.tif", ramp(64, 64), 200)
    write(pairs / "A" / "x.tif", ramp(64, 64))
    write(pairs / "B" / "x.tif", ramp(64, 64, 8, 4), 8, 4)
    for places in (open_places(root, kind="folder"), open_places(pairs, kind="pairs")):
        images = places.read(0).images
        assert images.shape[:2] == (2, 3)
        assert np.array_equal(images[0, :, 4:, 8:], images[1, :, 4:, 8:])
    folder = open_places(root, kind="folder")
    folder.read(0)
    assert "100% of the ground of" in folder.report.missing["north"][0]


def test_floats_are_reflectance(tmp_path: Path) -> None:
    values = np.full((3, 32, 32), 0.5, np.float32)
    values[:, 0, 0] = 1.7
    values[:, 0, 1] = np.nan
    for day in DAYS[:2]:
        write(tmp_path / f"{day}.tif", values, nodata=np.nan)
    image = SeriesPlaces(tmp_path, size=32).read(0).images[0, 0]
    assert (image[5, 5], image[0, 0], image[0, 1]) == (128, 255, 0)


def test_chosen_dates_leave_out_the_cloudy_ones_and_damaged_rasters_are_told(
    shifted: Path,
) -> None:
    chosen = [datetime.date.fromisoformat(day) for day in DAYS[:2]]
    assert SeriesPlaces(shifted, size=32, dates=chosen).dates(0) == tuple(chosen)
    (shifted / f"{DAYS[1]}.tif").write_bytes(b"II*\\0 and nothing")
    places = SeriesPlaces(shifted, size=32)
    assert len(places.dates(0)) == 2
    assert "no raster that can be read" in places.report.missing[places.name(0)][0]
    with pytest.raises(DataError, match="needs 2 dated rasters"):
        SeriesPlaces(shifted, size=32, dates=chosen)


def test_several_series_in_folders_are_one_source(
    shifted: Path, tmp_path: Path
) -> None:
    root = tmp_path / "areas"
    root.mkdir()
    for name in ("north", "south"):
        for file in sorted(shifted.glob("*.tif")):
            (root / name).mkdir(exist_ok=True)
            (root / name / file.name).write_bytes(file.read_bytes())
    write(root / "small" / f"{DAYS[0]}.tif", ramp(20, 20))
    write(root / "small" / f"{DAYS[1]}.tif", ramp(20, 20))
    places = open_places(root, kind="series", size=40)
    assert [places.name(i) for i in range(len(places))] == [
        f"{area}-r000000-c{column:06d}"
        for area in ("north", "south")
        for column in (0, 40)
    ]
    assert "20×20 pixels" in places.report.left_out["small"]


@pytest.mark.skipif(os.name == "nt", reason="Windows takes no colon in a name")
def test_a_folder_is_named_whole_whatever_it_is_called(
    shifted: Path, tmp_path: Path
) -> None:
    root = tmp_path / "areas"
    (root / "north").mkdir(parents=True)
    for file in sorted(shifted.glob("*.tif")):
        (root / "north" / file.name).write_bytes(file.read_bytes())
    write(root / "south: ridge" / f"{DAYS[0]}.tif", ramp(20, 20))
    report = open_places(root, kind="series", size=40).report
    assert list(report.left_out) == ["south: ridge"]
    assert report.left_out["south: ridge"].startswith("1 dated rasters can be used")


def test_more_dates_than_may_be_open_are_not_opened_for_every_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [f"2019-{month:02d}-01" for month in range(1, 9)]
    for day in days:
        write(tmp_path / f"{day}.tif", ramp(128, 128))
    opened: list[str] = []

    def counted(file: Path, **more: Any) -> Raster:
        opened.append(file.stem)
        return Raster(file, **more)

    monkeypatch.setattr(series, "Raster", counted)
    monkeypatch.setattr(series, "_OPEN", 6)
    places = SeriesPlaces(tmp_path, size=32)
    assert len(places) == 16
    # Once to find the common grid; the two that had to be closed once more for the
    # cells.
    assert len(opened) <= 8 + 3
    opened.clear()
    for place in places:
        assert [date.isoformat() for date in place.dates] == days
    # Five stay open all the time; the last three dates take turns.
    assert len(opened) <= 3 * 16
    assert len(places._open) == 6


def test_rasters_without_a_projection_must_have_one_size(tmp_path: Path) -> None:
    from PIL import Image

    for day in DAYS[:2]:
        Image.fromarray(ramp(40, 40).transpose(1, 2, 0)).save(tmp_path / f"{day}.png")
    assert np.array_equal(
        SeriesPlaces(tmp_path, size=40).read(0).images[1], ramp(40, 40)
    )
    Image.fromarray(ramp(41, 40).transpose(1, 2, 0)).save(tmp_path / f"{DAYS[1]}.png")
    with pytest.raises(DataError, match="other sizes: 40×40 and 40×41 pixels"):
        SeriesPlaces(tmp_path, size=40)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"stride": -1},
        {"stride": 0},
        {"empty": float("nan")},
        {"empty": 1.5},
        {"bands": [1, 2]},
        {"bands": [0, 1, 2]},
    ],
)
def test_settings_that_cannot_be_are_refused(
    shifted: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        SeriesPlaces(shifted, **({"size": 32} | wrong))


def test_dates_that_no_raster_has_are_told(shifted: Path) -> None:
    chosen = [datetime.date.fromisoformat(day) for day in (*DAYS[:2], "2019-03-02")]
    with pytest.raises(
        SettingsError,
        match=r"no raster of 2019-03-02; .* are 2019-03-01, 2019-07-01, 2019-11",
    ):
        SeriesPlaces(shifted, size=32, dates=chosen)


def test_a_band_that_no_raster_has_is_told_once_and_not_for_each_cell(
    shifted: Path,
) -> None:
    with pytest.raises(DataError) as caught:
        SeriesPlaces(shifted, size=32, stride=1, bands=[1, 2, 99])
    assert str(caught.value).count("it has 3 bands, but band 99 is wanted") == len(DAYS)


def test_more_cells_than_any_source_has_are_refused_before_they_are_read(
    shifted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sencap.places.series._MOST_CELLS", 100)
    with pytest.raises(
        SettingsError,
        match=r"stride=1 cut \S+ into 1,911 cells, .* give a larger stride",
    ):
        SeriesPlaces(shifted, size=32, stride=1)


def test_a_series_can_be_pickled_and_names_the_extra_it_needs(
    shifted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = SeriesPlaces(shifted, size=32)
    again = pickle.loads(pickle.dumps(places))
    assert np.array_equal(again.read(3).images, places.read(3).images)
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'sencap\[geo\]'"):
        SeriesPlaces(shifted, size=32)


def test_the_rasters_at_hand_are_cut(shared: Path) -> None:
    naip = open_places(shared / "naip", size=256)
    assert len(naip) == 6
    assert len(naip.dates(0)) == 5
    images = naip.read(4).images.astype(float)
    centred = (images - images.mean((2, 3), keepdims=True)).mean(1)
    first, last = centred[0].ravel(), centred[-1].ravel()
    here = np.corrcoef(first, last)[0, 1]
    away = np.corrcoef(first, np.roll(centred[-1], (40, 40), (0, 1)).ravel())[0, 1]
    assert here > away + 0.1  # the same ground, eleven years apart
    clear = [datetime.date(2018, 5, 31), datetime.date(2018, 8, 24)]
    assert open_places(shared / "s2_series", size=128, dates=clear).dates(3) == tuple(
        clear
    )
