"""More than two dates: their order, their common windows, and when each window
changed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes_drawn import Watcher, ground
from sencap.cli import main
from sencap.errors import DataError, SettingsError
from sencap.scenes import ScanSettings, write_series
from sencap.scenes.series import find_images
from sencap.scenes.stac import stac_images
from tiny_rasters import Write

SMALL = ScanSettings(side=100, overlap=0, batch_size=8)


def _with(values: NDArray[np.uint8], *places: tuple[int, int]) -> NDArray[np.uint8]:
    """The ground with buildings of 60 × 60 pixels."""
    built = values.copy()
    for row, column in places:
        built[:, row : row + 60, column : column + 60] = 250
    return built


@pytest.fixture
def series(write: Write) -> list[Path]:
    """Four dates, named out of their order: one building in 2016, another in 2018, none
    in 2020.

    The third lies two pixels further east and south, so that all share a little less.
    """
    values = ground()
    first, both = _with(values, (120, 120)), _with(values, (120, 120), (320, 420))
    moved = np.pad(both, ((0, 0), (0, 2), (0, 2)), mode="edge")[:, 2:, 2:]
    return [
        write("z_2015-01-01.tif", values),
        write("c_20180303.tif", moved, left=2, top=2),
        write("d_2016-02-02.tif", first),
        write("a_2020-04-04.tif", both),
    ]


def _layer(path: Path, name: str) -> list[dict[str, Any]]:
    raw = pytest.importorskip("pyogrio.raw")
    about, _, _, fields = raw.read(path, layer=name)
    return [
        dict(zip(about["fields"], row, strict=True))
        for row in zip(*fields, strict=True)
    ]


def test_each_step_is_a_layer_and_each_window_knows_when_it_changed(
    series: list[Path], watcher: Watcher, tmp_path: Path
) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    out = tmp_path / "series.gpkg"
    steps = write_series(series, out, settings=SMALL)
    dates = ["2015-01-01", "2016-02-02", "2018-03-03", "2020-04-04"]
    expected = list(pairwise(dates))
    assert [(step.before, step.after) for step in steps] == expected
    names = [f"changes_{one}_{other}" for one, other in expected]
    layers = [str(name) for name, _ in pyogrio.list_layers(out)]
    assert layers == [*names, "summary", "when", "layer_styles"]
    assert [bool(step.summary.changed) for step in steps] == [True, True, False]
    assert [row["date_after"] for row in _layer(out, "summary")] == dates[1:]
    when = _layer(out, "when")
    assert len(when) == steps[0].summary.windows
    told = {row["first"] for row in when if row["changes"]}
    assert told == {"2015-01-01/2016-02-02", "2016-02-02/2018-03-03"}
    # all steps have the same windows
    corners = [
        [(row["row"], row["column"]) for row in _layer(out, name)] for name in names
    ]
    assert corners[0] == corners[1] == corners[2]


def test_against_the_first_what_was_built_stays_a_change(
    series: list[Path], watcher: Watcher, tmp_path: Path
) -> None:
    out = tmp_path / "series.csv"
    steps = write_series(series, out, settings=SMALL, against="first")
    assert {step.before for step in steps} == {"2015-01-01"}
    changed = [step.summary.changed for step in steps]
    assert 0 < changed[0] < changed[1] == changed[2]
    lines = out.read_text().splitlines()
    assert len(lines) == 1 + sum(step.summary.captioned for step in steps)


def test_a_stopped_series_goes_on_to_an_equal_file(
    series: list[Path], watcher: Watcher, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.gpkg", tmp_path / "out.gpkg"
    before = set(tmp_path.iterdir())
    write_series(series, whole, settings=SMALL)
    needed = watcher.batches
    watcher.batches, watcher.stop_after = 0, needed // 2
    with pytest.raises(KeyboardInterrupt):
        write_series(series, out, settings=SMALL)
    watcher.batches, watcher.stop_after = 0, None
    write_series(series, out, settings=SMALL)
    assert watcher.batches == needed - needed // 2
    assert out.read_bytes() == whole.read_bytes()
    assert set(tmp_path.iterdir()) - before == {whole, out}


def test_a_folder_is_a_series(
    series: list[Path],
    watcher: Watcher,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in series:
        path.rename(folder / path.name)
    words = [
        "scan",
        str(folder),
        "-o",
        str(tmp_path / "s.geojson"),
        "--side",
        "100",
        "--quiet",
    ]
    assert main(words) == 0
    assert "2016-02-02 to 2018-03-03: " in capsys.readouterr().out
    assert main([*words, "--page", "x.html"]) == 2
    assert "page and probability are of two images" in capsys.readouterr().err
    assert main([*words, "--against", "last"]) == 2


def test_dates_that_are_not_known_are_not_guessed(
    write: Write, series: list[Path], watcher: Watcher, tmp_path: Path
) -> None:
    unknown = write("scene.tif", ground())
    with pytest.raises(
        SettingsError, match=r"scene\.tif does not say when it was taken.*--dates"
    ):
        write_series([*series, unknown], tmp_path / "a.csv", settings=SMALL)
    again = write("again_2016-02-02.tif", ground())
    with pytest.raises(SettingsError, match="are both of 2016-02-02: give one of them"):
        write_series([*series, again], tmp_path / "a.csv", settings=SMALL)


def _item(
    name: str, date: str, href: str = "a.tif", asset: str = "visual"
) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "properties": {"datetime": date},
            "assets": {asset: {"href": href}}}  # fmt: skip


def test_a_stac_collection_names_images_and_dates(
    series: list[Path], watcher: Watcher, tmp_path: Path
) -> None:
    items = [
        _item("two", "2019-05-05T10:00:00Z", series[2].name),
        _item("one", "2011-01-01T10:00:00Z", "./" + series[0].name),
    ]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    paths, dates = find_images([path])
    assert [found.resolve() for found in paths] == [series[0], series[2]]
    assert dates == ("2011-01-01", "2019-05-05")
    words = [
        "scan",
        str(path),
        "-o",
        str(tmp_path / "s.geojson"),
        "--side",
        "100",
        "--quiet",
    ]
    assert main(words) == 0
    told = json.loads((tmp_path / "s.geojson").read_text())["features"][0]["properties"]
    assert (told["date_before"], told["date_after"]) == dates


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": 1}, "is no STAC item"),
        ([], "is no STAC item"),
        ({"features": [{}]}, "is no STAC item"),
        (
            _item("x", "2018-01-01", asset="B04"),
            r"item 'x' has no asset 'visual'; .*'B04'.*--asset",
        ),
        (_item("x", "some day"), "item 'x' has no datetime"),
        (
            _item("x", "2018-01-01", "https://example.org/a.tif"),
            "lies at https://.*; fetch it",
        ),
        (
            {**_item("x", "2018-01-01"), "assets": {"visual": 3}},
            r"has no link \(href\)",
        ),
    ],
)
def test_what_is_no_item_is_refused(content: object, told: str, tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=told):
        stac_images(path)


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (["b.tif"], "needs two images or more"),
        (["one.tif"], "does not exist"),
        (["."], "holds 0 TIFF files"),
    ],
)
def test_one_image_is_no_series(
    sources: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if sources == ["b.tif"]:
        Path("b.tif").write_bytes(b"II")
    with pytest.raises(SettingsError, match=told):
        find_images(sources)
