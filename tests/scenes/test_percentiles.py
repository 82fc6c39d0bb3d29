"""Percentiles of a scene that the user names: which values become black and white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes_drawn import changed, ground
from sencap.cli import main
from sencap.errors import SettingsError
from sencap.images import Reading
from sencap.images.levels import Scale
from sencap.scenes import ScanSettings
from sencap.scenes.sampling import percentile_scale
from sencap.scenes.scene import Scene
from sencap.scenes.trained import Trained
from tiny_rasters import Write

LEVELS = st.lists(st.integers(0, 65_535), min_size=1, max_size=200)


@given(LEVELS, st.floats(0, 99), st.floats(0.1, 100))
def test_the_ends_are_numpys_percentiles(
    levels: list[int], low: float, more: float
) -> None:
    high = min(low + more, 100.0)
    counts = np.bincount(levels, minlength=65_536)
    scale = percentile_scale(counts, (low, high))
    ends = [
        float(np.percentile(levels, end, method="inverted_cdf")) for end in (low, high)
    ]
    # one level alone has no range
    assert [scale.low, scale.high] == [ends[0], max(ends[1], ends[0] + 1)]


def test_no_data_has_a_scale_that_is_one() -> None:
    assert percentile_scale(np.zeros(65_536, int), (2, 98)) == Scale(
        0, 1, "percentiles"
    )


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_both_dates_share_them_or_each_has_its_own(kind: str, write: Write) -> None:
    """In the units of the file, whatever these are."""
    unit = 1e-4 if kind == "float32" else 1
    dates = [
        (values.astype(np.float64) * times * unit).astype(kind)
        for values, times in ((ground(), 12), (changed(ground()), 24))
    ]
    pair = write("b.tif", dates[0]), write("a.tif", dates[1])

    def scales(**how: str) -> list[Scale]:
        settings = ScanSettings(side=150, percentiles=(5, 90), **how)  # type: ignore[arg-type]
        with Scene(*pair, settings, Trained.of(None)) as scene:
            assert scene.details()["scales"][0]["told_by"] == "percentiles"
            return [scale for scale in scene.scales if scale is not None]

    together = np.concatenate([date.ravel() for date in dates])
    wanted = [together, together], dates
    for found, values in zip(
        (scales(), scales(stretch="per-date")), wanted, strict=True
    ):
        for scale, shown in zip(found, values, strict=True):
            ends = np.percentile(shown.astype(float), (5, 90))
            # levels of a float are whole ten-thousandths
            assert [scale.low, scale.high] == pytest.approx(ends, abs=12 * unit)


def test_what_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in [
        ("98,2", "percentiles=98,2: two numbers LOW,HIGH from 0 to 100 with LOW below"),
        ("-1,50", "percentiles=-1,50: two numbers"),
        ("2,101", "percentiles=2,101: two numbers"),
        ("nan,50", "percentiles=nan,50: two numbers"),
        ("2", "two numbers LOW,HIGH, as in --percentiles 2,98"),
        ("1,2,3", "two numbers LOW,HIGH, as in --percentiles 2,98"),
        ("a,b", "two numbers LOW,HIGH, as in --percentiles 2,98"),
    ]:
        command = ["scan", "a.tif", "b.tif", "-o", str(tmp_path / "x.csv")]
        assert main([*command, f"--percentiles={words}"]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(SettingsError, match="percentiles and scale both say which"):
        ScanSettings(percentiles=(2, 98), reading=Reading(scale=(0, 3000)))
