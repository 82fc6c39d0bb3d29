"""Dated images: the contract, dates in names, the scale of 8 bits, folders, pairs, the
synthetic world, one door."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sencap.errors import DataError, SettingsError, ShapeError
from sencap.places import (
    UNDATED,
    FolderPlaces,
    PairPlaces,
    Places,
    Scaling,
    SeasonalImages,
    SyntheticPlaces,
    open_places,
    recognise_places,
)
from sencap.synthetic import render_seasons

DAYS = (
    datetime.date(2020, 1, 5),
    datetime.date(2020, 6, 4),
    datetime.date(2020, 11, 30),
)


def write_image(path: Path, value: int, size: int = 32) -> Path:
    """An image of one grey with a darker corner, so that it is neither empty nor
    uniform."""
    pixels = np.full((size, size, 3), value, np.uint8)
    pixels[-1, -1] = value // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def greys(place: SeasonalImages) -> list[int]:
    return [int(image[0, 5, 5]) for image in place.images]


# -- what the readers hand out ---------------------------------------------------------


def test_seasonal_images_take_what_they_promise() -> None:
    place = SeasonalImages(np.zeros((3, 3, 4, 5), np.uint8), DAYS, "here")
    assert place.dates == DAYS
    same_day = SeasonalImages(np.zeros((2, 3, 4, 5), np.uint8), (DAYS[0], DAYS[0]))
    assert len(same_day.images) == 2


@pytest.mark.parametrize(
    ("images", "dates", "match"),
    [
        (np.zeros((2, 3, 4, 4), np.uint16), DAYS[:2], "uint16"),
        (np.zeros((2, 4, 4, 3), np.uint8), DAYS[:2], r"\(D, 3, H, W\)"),
        (np.zeros((3, 4, 4), np.uint8), DAYS, r"\(D, 3, H, W\)"),
        (np.zeros((2, 3, 0, 4), np.uint8), DAYS[:2], r"\(2, 3, 0, 4\)"),
        (np.zeros((1, 3, 4, 4), np.uint8), DAYS[:1], "2 dates or more; here has 1"),
        (np.zeros((2, 3, 4, 4), np.uint8), DAYS, "2 images, but 3 dates"),
        (np.zeros((2, 3, 4, 4), np.uint8), DAYS[1::-1], "sorted by time"),
    ],
)
def test_seasonal_images_refuse_all_else(
    images: np.ndarray, dates: tuple[datetime.date, ...], match: str
) -> None:
    with pytest.raises(ShapeError, match=match):
        SeasonalImages(images, dates, "here")


# -- dates and scale -------------------------------------------------------------------


def test_the_scale_clips_and_never_wraps() -> None:
    levels = np.arange(1 << 16).astype(np.uint16)
    scaled = Scaling().to_uint8(levels)
    expected = [
        min((value * 255 * 2 + 10_000) // 20_000, 255) for value in range(1 << 16)
    ]
    assert scaled.tolist() == expected
    assert (np.diff(scaled.astype(int)) >= 0).all()
    assert Scaling(black=1_000, white=4_000).to_uint8(levels)[
        [0, 1_000, 2_500, 4_000, 65_535]
    ].tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]


def test_the_scale_takes_signed_and_wide_numbers_and_leaves_8_bits() -> None:
    assert Scaling().to_uint8(
        np.array([-32_768, -1, 0, 10_000, 32_767], np.int16)
    ).tolist() == [
        0,
        0,
        0,
        255,
        255,
    ]
    assert Scaling().to_uint8(np.array([-5, 70_000, 10_000], np.int64)).tolist() == [
        0,
        255,
        255,
    ]
    eight = np.arange(256).astype(np.uint8)
    assert np.array_equal(Scaling(white=100).to_uint8(eight), eight)
    with pytest.raises(DataError, match="float64"):
        Scaling().to_uint8(np.zeros(3))


@pytest.mark.parametrize(("black", "white"), [(5, 5), (-1, 5), (0, 65_536), (9, 3)])
def test_a_scale_that_cannot_be_is_refused(black: int, white: int) -> None:
    with pytest.raises(SettingsError, match=f"black={black} and white={white}"):
        Scaling(black=black, white=white)


# -- a folder per place ----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two whole places in all three forms of dates, and four with something wrong."""
    root = tmp_path / "dated"
    for name, form in (("alpha", "%Y-%m-%d.png"), ("beta", "sensor_%Y%m%d_x.jpg")):
        for number, day in enumerate(DAYS):
            write_image(root / name / day.strftime(form), 60 * (number + 1))
    write_image(root / "gaps" / "2020_01_05.png", 50)
    write_image(root / "gaps" / "2020_06_04.png", 100)
    (root / "gaps" / "2020_11_30.png").write_bytes(b"no image")
    write_image(root / "gaps" / "undated.png", 100)
    write_image(root / "lonely" / "2020_01_05.png", 50)
    write_image(root / "sizes" / "2020-01-05.png", 50)
    write_image(root / "sizes" / "2020-06-04.png", 90, size=40)
    write_image(root / "sizes" / "2020-11-30.png", 120)
    (root / "empty").mkdir()
    (root / ".hidden.png").write_bytes(b"")
    return root


def test_a_folder_of_dated_images_is_read_in_the_order_of_time(folder: Path) -> None:
    places = FolderPlaces(folder)
    assert [places.name(i) for i in range(len(places))] == [
        "alpha",
        "beta",
        "gaps",
        "sizes",
    ]
    for index in (0, 1):
        assert places.dates(index) == DAYS
        place = places.read(index)
        assert place.dates == DAYS
        assert np.abs(np.array(greys(place)) - [60, 120, 180]).max() <= 2  # JPEG
    with pytest.raises(IndexError):
        places.name(4)


def test_dated_tiffs_are_read_too(tmp_path: Path) -> None:
    for number, day in enumerate(DAYS):
        write_image(tmp_path / "place" / f"{day}.tif", 60 * (number + 1))
    place = FolderPlaces(tmp_path).read(0)
    assert (place.dates, greys(place)) == (DAYS, [60, 120, 180])


def test_a_place_is_used_with_what_it_has_and_the_report_counts_the_rest(
    folder: Path,
) -> None:
    places = FolderPlaces(folder)
    assert list(places.report.left_out) == ["lonely"]
    assert "1 of its images" in places.report.left_out["lonely"]
    assert places.report.missing["gaps"] == [
        "undated.png has no date like 2020-06-04, 20200604 or 2020156 in its name"
    ]
    gaps, sizes = places.read(2), places.read(3)
    assert gaps.dates == DAYS[:2]
    assert greys(gaps) == [50, 100]
    assert sizes.dates == (DAYS[0], DAYS[2])
    assert any("2020_11_30.png" in why for why in places.report.missing["gaps"])
    assert places.report.missing["sizes"] == [
        "2020-06-04: it is 40×40 pixels, but most are 32×32"
    ]
    places.read(2)
    assert len(places.report.missing["gaps"]) == 2  # noted once
    text = str(places.report)
    assert text.startswith(
        "4 places with 10 images; left out: 1 places, and 3 images of 2 places that "
        "are used"
    )
    assert "lonely is left out" in text


def test_a_place_that_turns_out_to_have_one_image_is_refused_with_the_reasons(
    folder: Path,
) -> None:
    (folder / "gaps" / "2020_06_04.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"place gaps: 1 of its images can be used.*2020-06-04: .*empty"
    ):
        FolderPlaces(folder).read(2)


def test_going_through_all_places_leaves_out_what_turns_out_unusable_and_counts_it(
    folder: Path,
) -> None:
    (folder / "gaps" / "2020_06_04.png").write_bytes(b"")
    places = FolderPlaces(folder)
    for _ in range(2):  # counted once
        assert "gaps" not in [place.name for place in places]
        text = str(places.report)
        assert text.startswith(
            "3 places with 8 images; left out: 2 places, and 1 images of 1 places"
        )
        assert "gaps is left out: 1 of its images can be used" in text


def test_an_image_without_data_does_not_count(tmp_path: Path) -> None:
    for day in DAYS:
        write_image(tmp_path / "a" / f"{day}.png", 0 if day == DAYS[0] else 90)
    assert FolderPlaces(tmp_path).read(0).dates == DAYS[1:]


def test_a_second_image_of_a_date_and_a_folder_without_places_are_told(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "a" / "2020-01-05.png", 10)
    write_image(tmp_path / "a" / "20200105.png", 10)
    with pytest.raises(
        DataError,
        match=r"no place with images of two dates\n.*20200105.png has the date of 2020-0",
    ):
        FolderPlaces(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        FolderPlaces(tmp_path / "nothing")


def test_dates_may_stand_in_a_file_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "city" / "1.png", 200)
    write_image(tmp_path / "city" / "2.png", 100)
    (tmp_path / "city" / "dates.txt").write_text(
        "date_1: 20171003\n2 = 2015-08-20\nnonsense\n", encoding="utf-8"
    )
    place = FolderPlaces(tmp_path).read(0)
    assert place.dates == (datetime.date(2015, 8, 20), datetime.date(2017, 10, 3))
    assert greys(place) == [100, 200]


# -- pairs, the synthetic world, subsets -----------------------------------------------


def test_pairs_without_dates_keep_their_order(tmp_path: Path) -> None:
    for side, value in (("A", 200), ("B", 100)):
        write_image(tmp_path / side / "x.png", value)
    places = PairPlaces(tmp_path)
    assert places.dates(0) == UNDATED
    assert greys(places.read(0)) == [200, 100]


def test_the_synthetic_world_is_a_source_of_places() -> None:
    places = SyntheticPlaces(3, seed=5, size=64)
    place = places.read(2)
    assert place.images.shape == (4, 3, 64, 64)
    assert place.dates == tuple(sorted(place.dates)) == places.dates(2)
    assert place.name == "synthetic-5-000002"
    drawn = render_seasons(5 * 1_000_003 + 2, 64)
    assert np.array_equal(place.images[1], drawn[1][1].transpose(2, 0, 1))
    assert not np.array_equal(
        place.images, SyntheticPlaces(3, seed=6, size=64).read(2).images
    )
    with pytest.raises(IndexError):
        places.read(3)


@pytest.mark.parametrize(
    ("count", "seed", "size"), [(0, 0, 64), (1, -1, 64), (1, 0, 16)]
)
def test_the_synthetic_world_refuses_what_cannot_be_drawn(
    count: int, seed: int, size: int
) -> None:
    with pytest.raises(SettingsError, match=r"must be|at least"):
        SyntheticPlaces(count, seed=seed, size=size)


def test_readers_can_be_pickled(folder: Path) -> None:
    readers: list[Places] = [FolderPlaces(folder), SyntheticPlaces(2, size=32)]
    for places in readers:
        again = pickle.loads(pickle.dumps(places))
        assert np.array_equal(again.read(0).images, places.read(0).images)
        assert again.fingerprint() == places.fingerprint()


# -- one door --------------------------------------------------------------------------


def test_the_layout_is_told_by_the_content(folder: Path, tmp_path: Path) -> None:
    assert recognise_places(folder) == "folder"
    assert open_places(folder).kind == "folder"
    write_image(tmp_path / "pairs" / "A" / "x.png", 9)
    write_image(tmp_path / "pairs" / "B" / "x.png", 9)
    assert recognise_places(tmp_path / "pairs") == "pairs"
    for day in DAYS:
        write_image(tmp_path / "rasters" / f"{day}.png", 9)
    assert recognise_places(tmp_path / "rasters") == "series"
    places = open_places("synthetic:12:3", size=32)
    assert (len(places), places.kind, places.read(1).images.shape) == (
        12,
        "synthetic",
        (4, 3, 32, 32),
    )


def test_the_scale_reaches_the_reader(tmp_path: Path) -> None:
    for day in DAYS:
        path = tmp_path / "a" / f"{day}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32), 2_000, np.uint16)).save(path)
    assert greys(open_places(tmp_path).read(0)) == [51] * 3
    assert (
        greys(open_places(tmp_path, scaling=Scaling(white=2_000)).read(0)) == [255] * 3
    )


def test_what_is_not_known_is_refused_with_what_was_looked_for(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"looked for(.|\n)*B4.tif(.|\n)*zarr.zip|zarr.zip(.|\n)*B4.tif"
    ):
        open_places(tmp_path / "text")
    with pytest.raises(DataError, match="neither an archive"):
        open_places(tmp_path / "text" / "a.txt")
    with pytest.raises(DataError, match="does not exist"):
        open_places(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="did you mean 'folder'"):
        open_places(folder, kind="foldr")
    with pytest.raises(
        SettingsError, match="kind folder, which takes no product, stride"
    ):
        open_places(folder, product="s2c", stride=3)
    with pytest.raises(SettingsError, match="synthetic:COUNT"):
        open_places("synthetic:many")
