"""SSL4EO-S12, both versions: three bands of many, time and not directory order,
clipping, only the chunks asked for."""

from __future__ import annotations

import builtins
import datetime
import importlib.util
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sencap.errors import DataError, MissingDependencyError, SettingsError
from sencap.images import read_image
from sencap.places import Scaling, SceneFolderPlaces, ShardPlaces, open_places

ROOT = Path(__file__).parents[2]
SCENES, SHARDS = (
    ROOT / "tests" / "samples" / "ssl4eo_v1_0",
    ROOT / "tests" / "samples" / "ssl4eo_v1_1",
)
NAMES = ["0000000", "0000001", "0000017"]
DATES = tuple(
    datetime.date.fromisoformat(day)
    for day in ("2018-02-10", "2018-05-31", "2018-08-24", "2018-11-12")
)
RGB = ("B4", "B3", "B2")


def needs_zarr() -> None:
    pytest.importorskip(
        "zarr", reason="the archives of SSL4EO-S12 v1.1 need the extra seasons (zarr)"
    )


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SCENES, tmp_path / "v1"))


# -- v1.0: a GeoTIFF per band ----------------------------------------------------------


def test_the_places_of_v1_0_are_its_bands_4_3_2_on_the_scale_of_reflectance() -> None:
    places = open_places(SCENES)
    assert isinstance(places, SceneFolderPlaces)
    assert [places.name(i) for i in range(len(places))] == NAMES
    for index, name in enumerate(NAMES):
        place = places.read(index)
        assert place.dates == places.dates(index) == DATES
        folders = sorted((SCENES / "s2c" / name).iterdir())
        raw = np.stack(
            [
                [read_image(folder / f"{band}.tif")[0] for band in RGB]
                for folder in folders
            ]
        ).astype(int)
        assert np.array_equal(
            place.images, np.minimum((raw * 510 + 10_000) // 20_000, 255)
        )


def test_values_above_10000_are_clipped() -> None:
    image = read_image(next((SCENES / "s2c" / "0000000").iterdir()) / "B2.tif")
    # The sample has such values; wrapped, 16,000 would become 152.
    assert image[0, 0, 0] == 65_535
    assert open_places(SCENES).read(0).images[:, :, 0, 0].tolist() == [[255] * 3] * 4


def test_only_three_bands_are_read(scenes: Path) -> None:
    others = [file for file in scenes.rglob("*.tif") if file.stem not in RGB]
    assert len(others) == 3 * 4 * 10
    for file in others:
        file.write_bytes(b"unreadable")
    assert np.array_equal(
        open_places(scenes).read(1).images, open_places(SCENES).read(1).images
    )


def test_time_and_not_the_directory_decides_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = open_places(SCENES).read(0)
    listed = Path.iterdir

    def reversed_order(path: Path) -> Iterator[Path]:
        return iter(sorted(listed(path), reverse=True))

    monkeypatch.setattr(Path, "iterdir", reversed_order)
    found = open_places(SCENES).read(0)
    assert found.dates == DATES
    assert np.array_equal(found.images, expected.images)


def test_missing_and_damaged_scenes_are_left_out_and_counted(scenes: Path) -> None:
    first, second, third, fourth = sorted((scenes / "s2c" / "0000000").iterdir())
    (first / "B3.tif").unlink()
    second.rename(second.with_name("undated_scene"))
    for scene in sorted((scenes / "s2c" / "0000001").iterdir())[1:]:
        shutil.rmtree(scene)
    damaged = sorted((scenes / "s2c" / "0000017").iterdir())
    (damaged[2] / "B4.tif").write_bytes((damaged[2] / "B4.tif").read_bytes()[:300])
    places = open_places(scenes)
    assert [places.name(i) for i in range(len(places))] == ["0000000", "0000017"]
    assert places.read(0).dates == DATES[2:]
    assert places.read(1).dates == (*DATES[:2], DATES[3])
    assert list(places.report.left_out) == ["0000001"]
    notes = " | ".join(places.report.missing["0000000"])
    assert "has no band B3" in notes
    assert "undated_scene does not begin with a date" in notes
    assert "B4.tif" in places.report.missing["0000017"][0]
    assert third != fourth


def test_any_subset_of_places_a_product_and_its_folder_will_do(scenes: Path) -> None:
    shutil.rmtree(scenes / "s2c" / "0000001")
    shutil.copytree(scenes / "s2c", scenes / "s2a")
    (scenes / "s1").mkdir()
    assert len(open_places(scenes)) == 2
    assert len(open_places(scenes / "s2a", product="s2a")) == 2
    # two products share names and dates, so their packs are told apart by their
    # settings
    assert open_places(scenes).settings() != open_places(scenes / "s2a").settings()
    shutil.rmtree(scenes / "s2c")
    assert "s2a" in SceneFolderPlaces(scenes).origin
    with pytest.raises(SettingsError, match="s1 is radar"):
        open_places(scenes, product="s1")
    with pytest.raises(SettingsError, match="did you mean 's2c'"):
        open_places(scenes, product="s2b")
    with pytest.raises(DataError, match="looked for s2c below it"):
        open_places(scenes, product="s2c")


def test_8_bit_copies_are_read_as_they_are(tmp_path: Path) -> None:
    import tifffile

    for day in ("20200604", "20201130"):
        for number, band in enumerate(RGB):
            file = tmp_path / "rgb" / "0000003" / f"{day}T054639_x" / f"{band}.tif"
            file.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(file, np.full((32, 32), 50 * (number + 1), np.uint8))
    place = open_places(tmp_path).read(0)
    assert place.images[:, :, 3, 3].tolist() == [[50, 100, 150]] * 2
    tifffile.imwrite(file, np.full((33, 32), 7, np.uint8))
    with pytest.raises(DataError, match="three bands differ in size"):
        open_places(tmp_path).read(0)


# -- v1.1: zarr archives ---------------------------------------------------------------


def test_the_places_of_v1_1_are_those_of_v1_0() -> None:
    needs_zarr()
    places = open_places(SHARDS, product="S2L1C")
    assert isinstance(places, ShardPlaces)
    assert [places.name(i) for i in range(len(places))] == NAMES
    expected = open_places(SCENES)
    for index in range(3):
        assert places.read(index).dates == DATES
        assert np.array_equal(places.read(index).images, expected.read(index).images)


def test_the_8_bit_product_is_preferred_and_read_as_it_is() -> None:
    zarr = pytest.importorskip("zarr", reason="needs the extra seasons (zarr)")
    places = open_places(SHARDS)
    assert places.settings()["product"] == "S2RGB"
    file = next((SHARDS / "val" / "S2RGB").iterdir())
    stored = zarr.open_group(zarr.storage.ZipStore(file, mode="r"), mode="r")["bands"][
        0
    ]
    assert np.array_equal(places.read(2).images, stored)


def test_split_product_folder_and_archive_choose() -> None:
    needs_zarr()
    file = next((SHARDS / "train" / "S2RGB").iterdir())
    assert len(open_places(SHARDS, split="train")) == len(open_places(file)) == 2
    assert (
        len(open_places(SHARDS / "val"))
        == len(open_places(SHARDS / "val" / "S2L1C"))
        == 1
    )
    with pytest.raises(SettingsError, match="split 'test' is unknown"):
        open_places(SHARDS, split="test")
    with pytest.raises(SettingsError, match="S1GRD is radar"):
        open_places(SHARDS, product="S1GRD")
    with pytest.raises(DataError, match=r"S2L2A/\*.zarr.zip"):
        open_places(SHARDS, product="S2L2A")


def test_only_the_chunks_of_the_wanted_place_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_zarr()
    from zarr.storage import ZipStore

    places = open_places(SHARDS, split="train")
    asked: list[str] = []
    get = ZipStore.get

    async def noted(store: ZipStore, key: str, *rest: Any, **more: Any) -> Any:
        asked.append(key)
        return await get(store, key, *rest, **more)

    monkeypatch.setattr(ZipStore, "get", noted)
    places.read(1)
    chunks = [
        key
        for key in asked
        if key.startswith("bands/") and not key.split("/")[1].startswith(".")
    ]
    assert sorted(chunks) == [f"bands/1.{time}.0.0.0" for time in range(4)]


def write_archive(
    path: Path, times: np.ndarray[Any, Any], units: str | None, names: list[str]
) -> Path:
    """An archive of places whose image at date t is uniformly 10·(t + 1)."""
    import zarr
    from zarr.storage import ZipStore

    path.parent.mkdir(parents=True, exist_ok=True)
    store = ZipStore(path, mode="w")
    group = zarr.create_group(store, zarr_format=2)
    bands = group.create_array(
        "bands", shape=(len(times), 4, 3, 8, 8), chunks=(1, 1, 3, 8, 8), dtype="uint8"
    )
    bands[:] = np.broadcast_to(
        10 * np.arange(1, 5)[None, :, None, None, None], bands.shape
    )
    for name, values in (
        ("sample", np.array(names)),
        ("band", np.array(["red", "green", "blue"])),
    ):
        group.create_array(name, shape=values.shape, dtype=values.dtype)[:] = values
    attributes: dict[str, Any] = {"units": units} if units else {}
    group.create_array(
        "time_", shape=times.shape, dtype=times.dtype, attributes=attributes
    )[:] = times
    store.close()
    return path


@pytest.mark.parametrize(
    "units", ["hours since 2020-01-01 12:00:00", "days since 2020-01-01", None]
)
def test_the_dates_of_an_archive_decide_the_order_and_one_without_is_left_out(
    tmp_path: Path, units: str | None
) -> None:
    needs_zarr()
    days = np.array([[300, 100, np.iinfo(np.int64).min, 0]])
    step = {"h": 24, "d": 1, None: 86_400 * 10**9}[units[0] if units else None]
    start = 0 if units else 18_262  # days from 1970 to 2020
    times = np.where(days < 0, days, (days + start) * step)
    file = write_archive(
        tmp_path / "ssl4eos12_val_seasonal_data_000001.zarr.zip",
        times,
        units,
        ["0000005"],
    )
    places = open_places(file)
    place = places.read(0)
    first = datetime.date(2020, 1, 1)
    assert place.dates == tuple(
        first + datetime.timedelta(days=day) for day in (0, 100, 300)
    )
    assert place.images[:, 0, 0, 0].tolist() == [40, 20, 10]
    assert places.report.missing["0000005"] == ["image 2 has no date"]


def test_a_damaged_archive_costs_its_places_only(tmp_path: Path) -> None:
    needs_zarr()
    copy = Path(shutil.copytree(SHARDS, tmp_path / "v11"))
    file = next((copy / "val" / "S2RGB").iterdir())
    file.write_bytes(file.read_bytes()[:900])
    places = open_places(copy)
    assert len(places) == 2
    assert "no whole zarr archive" in places.report.left_out[file.name]
    with pytest.raises(DataError, match="no place with images of two dates"):
        open_places(file)


def test_a_damaged_chunk_costs_its_date_only(tmp_path: Path) -> None:
    needs_zarr()
    import zipfile

    copy = tmp_path / "one.zarr.zip"
    shutil.copy(next((SHARDS / "train" / "S2RGB").iterdir()), copy)
    with zipfile.ZipFile(copy) as archive:
        info = archive.getinfo("bands/0.2.0.0.0")
    content = bytearray(copy.read_bytes())
    middle = info.header_offset + 200
    content[middle : middle + 50] = bytes(50)
    copy.write_bytes(content)
    places = open_places(copy)
    assert places.read(0).dates == (*DATES[:2], DATES[3])
    assert "is damaged" in places.report.missing["0000000"][0]
    assert places.read(1).dates == DATES


def test_archives_can_be_read_after_pickling() -> None:
    needs_zarr()
    places = open_places(SHARDS)
    first = places.read(0).images
    assert np.array_equal(pickle.loads(pickle.dumps(places)).read(0).images, first)


def test_without_zarr_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = builtins.__import__

    def without_zarr(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("zarr"):
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_zarr)
    with pytest.raises(
        MissingDependencyError, match=r"pip install 'sencap\[seasons\]'"
    ):
        open_places(SHARDS)


# -- the samples themselves ------------------------------------------------------------


def test_the_samples_are_what_the_script_cuts(shared: Path) -> None:
    needs_zarr()
    pytest.importorskip("rasterio", reason="the script needs the extra geo (rasterio)")
    spec = importlib.util.spec_from_file_location(
        "make", ROOT / "scripts" / "make_season_samples.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    cut = script.cut(shared / "s2_series")
    assert list(cut) == NAMES
    places = open_places(SCENES)
    for index, images in enumerate(cut.values()):
        assert np.array_equal(places.read(index).images, Scaling().to_uint8(images))
