"""Where pixels lie: what two grids share, and when the pixels of one are those of the
other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.errors import DataError
from sencap.rasters import Grid, pixel_box, share_of, shared_box
from sencap.rasters.grid import area_in, offset

affine = pytest.importorskip("affine", reason="rasters need the extra geo (rasterio)")
crs = pytest.importorskip(
    "rasterio.crs", reason="rasters need the extra geo (rasterio)"
)
UTM = crs.CRS.from_epsg(32614)


def grid(
    left: float = 0,
    top: float = 0,
    pixel: float = 0.5,
    side: int = 100,
    e: float | None = None,
) -> Grid:
    """A square grid whose upper left corner lies so many metres right and below of a
    point."""
    down = -pixel if e is None else e
    return Grid(
        UTM,
        affine.Affine(pixel, 0, 620_000 + left, 0, down, 3_350_000 - top),
        side,
        side,
    )


@given(right=st.integers(-150, 150), down=st.integers(-150, 150))
def test_grids_moved_by_whole_pixels_share_what_they_must(
    right: int, down: int
) -> None:
    one, other = grid(), grid(right / 2, down / 2)
    whole = (0.0, 0.0, 100.0, 100.0)
    box = pixel_box(other, one)
    assert box == pytest.approx((right, down, right + 100, down + 100), abs=1e-6)
    shared = one.cut(shared_box(whole, box))
    assert shared.width == max(0, 100 - abs(right))
    assert shared.height == max(0, 100 - abs(down))
    share = (100 - abs(right)) * (100 - abs(down)) / 10_000
    inside = abs(right) < 100 and abs(down) < 100
    assert area_in(other, one) == pytest.approx(10_000)
    assert share_of(shared_box(whole, box), 10_000) == pytest.approx(
        share if inside else 0
    )
    if inside:
        assert offset(one, shared) == (max(right, 0), max(down, 0))
        assert offset(other, shared) == (max(-right, 0), max(-down, 0))


@pytest.mark.parametrize(
    "other",
    [
        grid(0.2),
        grid(pixel=1.0),
        grid(pixel=0.5001),
        grid(top=50, e=0.5),
        Grid(UTM, grid().transform @ affine.Affine.rotation(10), 100, 100)
        if hasattr(affine.Affine, "__matmul__")
        else grid(0.3),
        Grid(crs.CRS.from_epsg(32615), grid().transform, 100, 100),
    ],
)
def test_other_pixels_have_to_be_resampled(other: Grid) -> None:
    assert offset(other, grid()) is None


def test_a_grid_stored_from_south_to_north_or_east_to_west_is_put_upright() -> None:
    turned = Grid(UTM, affine.Affine(-0.5, 0, 620_050, 0, 0.5, 3_349_950), 100, 100)
    assert turned.upright() == grid()
    assert grid().upright() == grid()


def test_a_ground_that_is_not_known_is_compared_by_size() -> None:
    unknown = Grid(None, affine.Affine.identity(), 100, 100)
    assert pixel_box(unknown, unknown) == (0, 0, 100, 100)
    with pytest.raises(
        DataError, match="neither says where it lies, and they have other sizes"
    ):
        pixel_box(Grid(None, affine.Affine.identity(), 100, 90), unknown)
    with pytest.raises(DataError, match="only one of them says where it lies"):
        pixel_box(grid(), unknown)


def test_an_extent_is_told_in_degrees_with_their_fractions() -> None:
    degrees = Grid(None, affine.Affine(0.0001, 0, 8.5, 0, -0.0001, 47.5), 100, 100)
    assert (
        degrees.extent((0, 0, 100, 100))
        == "x 8.50000 to 8.51000, y 47.49000 to 47.50000"
    )
    assert grid().extent((0, 0, 100, 100)) == "x 620000 to 620050, y 3349950 to 3350000"
