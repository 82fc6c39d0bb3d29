"""Georeferenced pairs: one grid, no data, bands, windows; and what is said without
rasterio."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.images import Reading, ground, pairs, read_image, read_pair
from sencap.images.windows import PairWindows, Window, windows_of
from sencap.structures import ImagePair
from tiny_rasters import Write, ramp, write

affine = pytest.importorskip("affine", reason="rasters need the extra geo (rasterio)")
__all__ = ["write"]  # the fixture

UTM15 = "EPSG:32615"
TRANSFORM = affine.Affine(0.5, 0, 620_000, 0, -0.5, 3_350_000)
MARKS = affine.Affine


def read(write: Write, values: NDArray[Any], **more: Any) -> ImagePair:
    """The plain ramp, and a second file."""
    return read_pair(write("before.tif", ramp()), write("after.tif", values, **more))


def test_the_same_ground_in_another_cut_is_cut_to_what_both_show(write: Write) -> None:
    pair = read(write, ramp(100, 100, 20, 10), left=20, top=10)
    assert pair.images.shape == (2, 3, 90, 80)
    np.testing.assert_array_equal(pair.images[0], ramp(90, 80, 20, 10))
    np.testing.assert_array_equal(pair.images[0], pair.images[1])
    assert "share 80×90 pixels, 72% of" in pair.notes[0]
    assert pair.details["overlap"] == [0.72, 0.72]


SAME_GROUND: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "south up": (
        ramp()[:, ::-1],
        {"transform": affine.Affine(0.5, 0, 620_000, 0, 0.5, 3_349_950)},
    ),
    "east to west": (
        ramp()[:, :, ::-1],
        {"transform": affine.Affine(-0.5, 0, 620_050, 0, -0.5, 3_350_000)},
    ),
    "turned by a quarter": (
        np.ascontiguousarray(ramp().transpose(0, 2, 1)),
        {"transform": affine.Affine(0, 0.5, 620_000, -0.5, 0, 3_350_000)},
    ),
    "half pixels": (np.repeat(np.repeat(ramp(), 2, 1), 2, 2), {"pixel": 0.25}),
}


@pytest.mark.parametrize("kind", SAME_GROUND)
def test_the_same_ground_on_another_grid_is_put_on_the_first_ones(
    write: Write, kind: str
) -> None:
    values, more = SAME_GROUND[kind]
    pair = read(write, values, **more)
    assert pair.details["resampled"] == [False, True]
    assert "is resampled to the grid of" in pair.notes[-1]
    inside = pair.images[:, :, 2:-2, 2:-2].astype(int)
    assert np.abs(inside[0] - inside[1]).max() <= 1
    assert pair.details["no_data"][2] < 0.02


def test_a_first_image_stored_from_south_to_north_is_shown_upright(
    write: Write,
) -> None:
    values, more = SAME_GROUND["south up"]
    pair = read_pair(write("south.tif", values, **more), write("north.tif", ramp()))
    np.testing.assert_array_equal(pair.images[0], ramp())
    np.testing.assert_array_equal(pair.images[1], ramp())


def test_ground_control_points_tell_the_ground(write: Write) -> None:
    from rasterio.control import GroundControlPoint

    points = [
        GroundControlPoint(row, column, 620_000 + column / 2, 3_350_000 - row / 2)
        for row in (0, 100)
        for column in (0, 100)
    ]
    path = write("points.tif", ramp(), gcps=points, transform=None)
    pair = read_pair(write("before.tif", ramp()), path)
    np.testing.assert_array_equal(pair.images[1], ramp())


@pytest.mark.parametrize(
    "more", [{"left": 6000}, {"crs": UTM15}, {"left": 90}, {"top": -300}]
)
def test_no_common_ground_is_refused_with_both_extents(
    write: Write, more: dict[str, Any]
) -> None:
    with pytest.raises(
        ImageError,
        match=r"before\.tif and \S+after\.tif .*first covers x 620000 to 620050",
    ):
        read(write, ramp(), **more)


def test_one_file_without_a_ground_is_taken_for_the_others_and_told(
    write: Write,
) -> None:
    plain = {"crs": None, "transform": None}
    pair = read(write, ramp(), **plain)
    assert "only one of" in pair.notes[0]
    with pytest.raises(
        ImageError, match="only one of them says where it lies, and they differ"
    ):
        read(write, ramp(90), **plain)


@pytest.mark.parametrize("date", [0, 1])
@pytest.mark.parametrize("way", ["tag", "alpha", "mask", "nan"])
def test_no_data_of_either_date_shows_the_other(
    write: Write, way: str, date: int
) -> None:
    hole = np.zeros((100, 100), bool)
    hole[:, :30] = True
    values: NDArray[Any] = ramp() + np.uint8(1)
    more: dict[str, Any] = {}
    plain: NDArray[Any] = values
    if way == "tag":
        values, more = np.where(hole, np.uint8(255), values), {"nodata": 255}
    elif way == "alpha":
        alpha = np.where(hole, np.uint8(0), np.uint8(255))
        values = np.concatenate([np.where(hole, np.uint8(255), values), alpha[None]])
        more = {"colours": ["red", "green", "blue", "alpha"]}
    elif way == "mask":
        more = {"mask": ~hole}
        values = np.where(hole, np.uint8(255), values)
    else:
        plain = (values / 255).astype(np.float32)
        values = np.where(hole, np.float32(np.nan), plain)
    files = [write("plain.tif", plain), write("holes.tif", values, **more)]
    pair = read_pair(files[1 - date], files[date])
    np.testing.assert_array_equal(pair.images[0], ramp() + np.uint8(1))
    np.testing.assert_array_equal(pair.images[1], ramp() + np.uint8(1))
    lost = [0.3, 0, 0.3] if date == 0 else [0, 0.3, 0.3]
    assert pair.details["no_data"] == lost
    image = read_image(files[1])
    assert not image[:, :, :30].any()


def test_no_data_at_16_bits_does_not_count_for_the_scale(write: Write) -> None:
    deep = np.random.default_rng(0).integers(300, 3300, (3, 100, 100), dtype=np.uint16)
    collar = deep.copy()
    collar[:, :, :30] = 65_535
    files = write("a.tif", collar, nodata=65_535), write("b.tif", collar, nodata=65_535)
    scale = read_pair(*files).details["scale"]
    assert scale == {"low": 0, "high": collar[:, :, 30:].max(), "told_by": "range"}
    collar[:, :, 30:80] = 65_535
    files = write("a.tif", collar, nodata=65_535), write("b.tif", collar, nodata=65_535)
    with pytest.raises(ImageError, match="80% of the pair holds no data"):
        read_pair(*files)


def test_infrared_that_calls_itself_alpha_is_not_taken_for_it(write: Write) -> None:
    infrared = np.random.default_rng(0).integers(0, 256, (1, 100, 100), dtype=np.uint8)
    values = np.concatenate([ramp(), infrared])
    pair = read(write, values, colours=["red", "green", "blue", "alpha"])
    assert pair.details["no_data"] == [0, 0, 0]
    assert "band 4 calls itself alpha" in pair.notes[0]


@pytest.mark.parametrize(
    ("more", "reading", "told_by"),
    [
        ({"names": ("Blue", "Green", "Red", "NIR")}, Reading(), "names"),
        ({"names": ("B02", "B03", "B04", "B08")}, Reading(), "names"),
        ({"colours": ["blue", "green", "red", "undefined"]}, Reading(), "colours"),
        ({"photometric": "minisblack"}, Reading(bands=(3, 2, 1)), "given"),
        ({"names": ("x", "y", "z", "w")}, Reading(bands=("z", "y", "x")), "given"),
    ],
)
def test_bands_in_another_order_give_the_same_picture(
    write: Write, more: dict[str, Any], reading: Reading, told_by: str
) -> None:
    values = np.concatenate([ramp()[::-1], ramp()[:1]])
    files = write("a.tif", values, **more), write("b.tif", values, **more)
    pair = read_pair(*files, reading=reading)
    np.testing.assert_array_equal(pair.images[0], ramp())
    assert pair.details["bands"] == [[3, 2, 1]] * 2
    assert pair.details["bands_told_by"] == [told_by] * 2
    np.testing.assert_array_equal(read_image(files[0], reading=reading), ramp())


def test_grey_whose_white_is_0_and_single_bits_are_read_as_without_rasterio(
    write: Write,
) -> None:
    grey = ramp()[:1]
    white = read_image(write("white.tif", grey, photometric="miniswhite"))
    np.testing.assert_array_equal(white, np.repeat(255 - grey, 3, 0))
    bits = read_image(write("bits.tif", grey % 2, nbits=1))
    np.testing.assert_array_equal(bits, np.repeat(grey % 2 * 255, 3, 0))


def test_bands_without_names_are_told(write: Write) -> None:
    values = np.concatenate([ramp(), ramp()[:2]])
    pair = read(write, values, photometric="minisblack")
    assert "no names of its 5 bands say which are red" in pair.notes[0]
    assert "--bands" in pair.notes[0]


def test_a_damaged_raster_is_told(write: Write) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 100, 100), dtype=np.uint8)
    path = write("a.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(ImageError, match=r"a\.tif: .*get it again"):
        read_pair(path, write("b.tif", ramp()))


def test_a_world_file_beside_a_picture_is_heeded(write: Write, tmp_path: Path) -> None:
    from PIL import Image

    for name, left in (("a", 0), ("b", 20), ("c", 500)):
        Image.fromarray(ramp(left=left).transpose(1, 2, 0)).save(
            tmp_path / f"{name}.png"
        )
        lines = [0.5, 0, 0, -0.5, 1000.25 + left / 2, 1999.75]
        (tmp_path / f"{name}.pgw").write_text("\n".join(map(str, lines)))
    pair = read_pair(tmp_path / "a.png", tmp_path / "b.png")
    np.testing.assert_array_equal(pair.images[0], pair.images[1])
    with pytest.raises(
        ImageError, match="no ground in common: in an unknown projection"
    ):
        read_pair(tmp_path / "a.png", tmp_path / "c.png")


def test_without_rasterio_pixels_are_read_and_what_is_ignored_is_told(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alpha = np.full((1, 100, 100), 255, np.uint8)
    values, colours = np.concatenate([ramp(), alpha]), ["red", "green", "blue", "alpha"]
    path = write(
        "a.tif", values, nodata=7, colours=colours, names=("red", "x", "y", "z")
    )
    for module in (pairs, ground):
        monkeypatch.setattr(module, "has_rasterio", lambda: False)
    pair = read_pair(path, path)
    np.testing.assert_array_equal(pair.images[0], ramp())
    words = (
        "a projection, a transform, a no-data value, an alpha band, names of bands",
        "geo",
    )
    assert all(word in pair.notes[0] for word in words)
    with caplog.at_level(logging.WARNING):
        read_image(path)
    assert "a no-data value" in caplog.text


# --- windows


@given(
    height=st.integers(32, 900), width=st.integers(32, 900), side=st.integers(32, 300)
)
def test_windows_cover_every_pixel_and_stay_inside(
    height: int, width: int, side: int
) -> None:
    seen = np.zeros((height, width), bool)
    for row, column, rows, columns in windows_of(height, width, side):
        assert (rows, columns) == (min(side, height), min(side, width))
        assert row + rows <= height
        assert column + columns <= width
        seen[row : row + rows, column : column + columns] = True
    assert seen.all()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("placed", [False, True])
def test_windows_are_those_of_the_whole_pair(
    write: Write, deep: bool, placed: bool
) -> None:
    before: NDArray[Any] = np.random.default_rng(0).integers(40, 3000, (3, 100, 100))
    before = before.astype(np.uint16) if deep else (before % 256).astype(np.uint8)
    after = before[:, ::-1].copy()
    place = {} if placed else {"crs": None, "transform": None}
    files = write("a.tif", before, **place), write("b.tif", after, **place)
    whole = read_pair(*files)
    with PairWindows(*files) as pair:
        assert (pair.height, pair.width) == (100, 100)
        part = pair.read(Window(10, 20, 50, 40))
    assert part is not None
    np.testing.assert_array_equal(part.images, whole.images[:, :, 10:60, 20:60])


@pytest.mark.parametrize("most", [0.9, 60.0, 9_000.0])
def test_windows_of_floats_are_read_as_the_whole_raster_is(
    write: Write, most: float
) -> None:
    """Dark water beside a bright roof, which stands at the second date alone: the water
    is as dark as before, whether the values are reflectance, per cent or levels."""
    random = np.random.default_rng(0)
    ground = random.uniform(0.1 * most, most, (3, 96, 96)).astype(np.float32)
    ground[:, :48, :48] = random.uniform(0.01 * most, 0.02 * most, (3, 48, 48))
    before, after = ground, ground.copy()
    after[:, 10:14, 10:14] = most
    files = write("before.tif", before), write("after.tif", after)
    with PairWindows(*files) as pair:
        window = pair.read(Window(0, 0, 48, 48))
    assert window is not None
    water = np.ones((48, 48), bool)
    water[10:14, 10:14] = False
    dark = window.images[..., water]
    assert np.array_equal(dark[0], dark[1])
    assert dark.max() < 30
    assert window.images[1][:, 11, 11].min() > 150


def test_minus_9999_is_no_data_in_windows_too(write: Write) -> None:
    values = np.random.default_rng(1).uniform(0.1, 0.9, (3, 64, 64)).astype(np.float32)
    values[:, :32, :32] = -9999
    with PairWindows(write("a.tif", values), write("b.tif", values)) as pair:
        assert pair.read(Window(0, 0, 32, 32)) is None
        assert pair.read(Window(32, 32, 32, 32)) is not None


def test_windows_without_data_are_left_out(write: Write) -> None:
    values = ramp() + np.uint8(1)
    values[:, :, :50] = 255
    with PairWindows(
        write("a.tif", ramp()), write("b.tif", values, nodata=255)
    ) as pair:
        assert pair.read(Window(0, 0, 50, 50)) is None
        assert pair.read(Window(0, 50, 50, 50)) is not None


@pytest.mark.parametrize("silent", [0, 1])
def test_a_date_without_names_of_bands_has_those_of_the_other(
    write: Write, silent: int
) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    names = [("blue", "green", "red", "nir"), None]
    files = [
        write(
            f"{date}.tif",
            bands,
            photometric="minisblack",
            **({"names": name} if name else {}),
        )
        for date, name in enumerate(names if silent else names[::-1])
    ]
    before, after = files
    pair = read_pair(before, after)
    np.testing.assert_array_equal(pair.images[0], bands[2::-1])
    np.testing.assert_array_equal(pair.images[0], pair.images[1])
    (note,) = [note for note in pair.notes if "name" in note]
    assert f"{files[silent]} does not name its bands" in note
