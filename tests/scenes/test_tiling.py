"""Where a scene's windows lie: all of the ground is shown, and none of it counted
twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sencap.errors import SettingsError
from sencap.scenes.tiling import Tiling

lengths = st.integers(1, 300)
tilings = st.builds(Tiling, lengths, lengths, st.integers(32, 200), st.floats(0, 0.9))


@settings(deadline=None)
@given(tilings)
def test_every_pixel_is_in_a_window_and_its_own_in_exactly_one(tiling: Tiling) -> None:
    seen = np.zeros((tiling.height, tiling.width), np.int64)
    own = np.zeros_like(seen)
    for number in range(len(tiling)):
        row, column, height, width = tiling.window(number)
        assert row >= 0
        assert column >= 0
        assert row + height <= tiling.height
        assert column + width <= tiling.width
        seen[row : row + height, column : column + width] += 1
        top, left, rows, columns = tiling.cell(number)
        assert row <= top <= top + rows <= row + height
        assert column <= left <= left + columns <= column + width
        own[top : top + rows, left : left + columns] += 1
    assert seen.min() >= 1
    assert (own == 1).all()


@settings(deadline=None)
@given(tilings, st.data())
def test_the_windows_over_a_point_are_those_that_show_it(
    tiling: Tiling, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, tiling.height - 1))
    column = data.draw(st.integers(0, tiling.width - 1))
    shown = []
    for number in range(len(tiling)):
        window = tiling.window(number)
        inside = (
            0 <= row - window.row < window.height
            and 0 <= column - window.column < window.width
        )
        if inside:
            shown.append(number)
    assert tiling.over(row, column) == shown


def test_windows_overlap_by_the_share_asked_for() -> None:
    tiling = Tiling(1000, 256, 256, 0.25)
    assert tiling.tops == [0, 192, 384, 576, 744]
    assert tiling.lefts == [0]
    assert [tiling.place(number) for number in (0, 4)] == [(0, 0), (4, 0)]


@pytest.mark.parametrize(
    ("side", "overlap"), [(31, 0.25), (4097, 0.25), (256, 1), (256, -0.1)]
)
def test_sides_and_overlaps_have_bounds(side: int, overlap: float) -> None:
    with pytest.raises(SettingsError, match=r"side is|overlap is"):
        Tiling(1000, 1000, side, overlap)
