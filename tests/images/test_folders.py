"""Pairs are found in the layouts that people have, and never made of what is none."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.errors import DataError
from sencap.images.folders import find_pairs, holds_pairs
from sencap.images.marks import MARK_KINDS, read_mark, two_dates
from sencap.places import recognise_places


def touch(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found_in(folder: Path) -> list[tuple[str, str, str]]:
    """The pairs with paths as they are written in the tests."""
    found = []
    for before, after, name in find_pairs(folder):
        first, second = (
            path.relative_to(folder).as_posix() for path in (before, after)
        )
        found.append((first, second, name))
    return found


TWO_FOLDERS = [
    ("A", "B"), ("a", "b"), ("before", "after"), ("Before", "After"), ("pre", "post"),
    ("T1", "T2"), ("t1", "t2"), ("t0", "t1"), ("im1", "im2"), ("Image1", "Image2"),
    ("img_A", "img_B"), ("time1", "time2"), ("1", "2"), ("2018", "2019"), ("2018-06", "2019-06"),
    ("2018-06-04", "2018-07-01"), ("pre_disaster", "post_disaster"), ("pre-event", "post-event"),
    ("images_before", "images_after"), ("old", "new"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), TWO_FOLDERS)
def test_two_folders_of_dates_are_found(
    tmp_path: Path, first: str, second: str
) -> None:
    touch(
        tmp_path,
        [f"{first}/x.png", f"{second}/x.png", f"{first}/1.png", f"{second}/1.tif"],
    )
    touch(
        tmp_path,
        ["label/x.png", "label1/x.png", "label2/x.png", "masks/1.png", "notes.txt"],
    )
    assert found_in(tmp_path) == [
        (f"{first}/1.png", f"{second}/1.tif", "1"),
        (f"{first}/x.png", f"{second}/x.png", "x"),
    ]
    assert recognise_places(tmp_path) in ("pairs", "folder")


@pytest.mark.parametrize(("first", "second"), TWO_FOLDERS[:14])
def test_they_are_found_in_splits_and_with_splits_within(
    tmp_path: Path, first: str, second: str
) -> None:
    splits = ("train", "val")
    touch(tmp_path / "in", [f"{s}/{d}/x.png" for s in splits for d in (first, second)])
    touch(
        tmp_path / "over", [f"{d}/{s}/x.png" for s in splits for d in (first, second)]
    )
    for folder in ("in", "over"):
        assert [name for *_, name in found_in(tmp_path / folder)] == [
            "train/x",
            "val/x",
        ]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("fire_01_pre_disaster.png", "fire_01_post_disaster.png", "fire_01"),
        ("x_before.png", "x_after.tif", "x"),
        ("before_x.png", "after_x.png", "x"),
        ("x_T1.png", "x_T2.png", "x"),
        ("im1_x.png", "im2_x.png", "x"),
        ("x_2018.png", "x_2019.png", "x"),
        ("x_20180604T105031_rgb.png", "x_20190604T105029_rgb.png", "x_rgb"),
        ("x-a.png", "x-b.png", "x"),
        ("x_1_1.png", "x_1_2.png", "x_1"),
        ("new_x_1.png", "new_x_2.png", "new_x"),
        ("2018.png", "2019.png", "site"),
        ("pre/x_pre.png", "post/x_post.png", "x"),
        ("A/x_A.png", "B/x_B.png", "x"),
        ("one/before.png", "one/after.png", "one"),
        ("one/2018-06-04.png", "one/2019-06-04.png", "one"),
        (
            "train/images/x_pre_disaster.png",
            "train/images/x_post_disaster.png",
            "train/images/x",
        ),
    ],
)
def test_one_pair_is_found_by_its_marks(
    tmp_path: Path, first: str, second: str, name: str
) -> None:
    folder = tmp_path / "site"
    touch(
        folder,
        [first, second, "train/targets/x_pre_disaster_target.png", "train/masks/y.png"],
    )
    assert found_in(folder) == [(first, second, name)]


@pytest.mark.parametrize(("first", "second"), TWO_FOLDERS)
@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "2.png"),
        ("a.png", "b.png"),
        ("0.png", "1.png"),
        ("img_1.png", "img_2.png"),
    ],
)
def test_numbers_and_letters_in_two_folders_are_places(
    tmp_path: Path, first: str, second: str, names: tuple[str, ...]
) -> None:
    """A/1.png and A/2.png are two places, and no pair of two dates of a place A."""
    touch(
        tmp_path, [f"{folder}/{name}" for folder in (first, second) for name in names]
    )
    found = find_pairs(tmp_path)
    wanted = [(tmp_path / first / name, tmp_path / second / name) for name in names]
    assert [pair[:2] for pair in found] == wanted


def test_two_places_are_not_taken_for_two_dates(tmp_path: Path) -> None:
    for number, places in enumerate((("1", "2"), ("A", "B"), ("2018", "2019"))):
        folder = tmp_path / f"case{number}"
        touch(folder, [f"{p}/{d}.png" for p in places for d in ("before", "after")])
        assert [name for *_, name in found_in(folder)] == list(places)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            ["2017/x.png", "2018/x.png", "2019/x.png"],
            r"holds no pairs(.|\n)*2017/ \(1 image\)",
        ),
        (["1/x.png", "2/x.png", "3/x.png"], "holds no pairs"),
        (
            ["A/x.png", "B/x.png", "T1/x.png", "T2/x.png"],
            r"T1 and T2; A and B\); give a CSV file",
        ),
        (
            ["one/before.png", "one/after.png", "two/x.png"],
            "two holds 1 image, and no pair",
        ),
        (["x_2017.png", "x_2018.png", "x_2019.png"], "holds no pairs"),
        (
            ["x_2018.png", "x_2019.png", "y_2018.png"],
            r"y_2018.png has no image of another date",
        ),
        (
            ["frame_1.png", "frame_2.png", "frame_3.png"],
            "frame_3.png is of neither date",
        ),
        (["plan.png", "x.png"], r"seen: plan.png, x.png\n(.|\n)*before,after,name"),
    ],
)
def test_what_is_no_pair_is_told_and_never_guessed(
    tmp_path: Path, names: Sequence[str], reason: str
) -> None:
    touch(tmp_path, names)
    with pytest.raises(DataError, match=reason):
        find_pairs(tmp_path)


def test_a_thousand_problems_are_told_in_few_lines(tmp_path: Path) -> None:
    touch(tmp_path, [f"A/{number}.png" for number in range(1000)])
    touch(tmp_path, ["B/x.png"])
    with pytest.raises(DataError, match="… and 981 problems more") as caught:
        find_pairs(tmp_path)
    assert len(str(caught.value).splitlines()) < 30


@pytest.mark.parametrize(
    "titles", ["pre,post", "T1,T2", "image_before,image_after", "A,B"]
)
def test_the_columns_of_a_table_may_have_other_marks(
    tmp_path: Path, titles: str
) -> None:
    touch(tmp_path, ["x.png", "y.png"])
    (tmp_path / "pairs.csv").write_text(f"{titles},mask\nx.png,y.png,z.png\n")
    assert found_in_table(tmp_path / "pairs.csv") == [("x.png", "y.png")]


def found_in_table(table: Path) -> list[tuple[str, str]]:
    return [(before.name, after.name) for before, after, _ in find_pairs(table)]


@pytest.mark.parametrize(
    "source",
    ["https://example.org/pairs", "s3://bucket/pairs.csv", "/vsicurl/https://x.org/a"],
)
def test_an_address_is_told_as_one(tmp_path: Path, source: str) -> None:
    reason = f"it is an address, and sencap reads files only; fetch {re.escape(source)} first"
    with pytest.raises(DataError, match=reason):
        find_pairs(source)
    with pytest.raises(DataError, match=reason):
        find_pairs(Path(source))
    (tmp_path / "pairs.csv").write_text(f"before,after\n{source},{source}\n")
    with pytest.raises(DataError, match=f"line 2: before .* is no file: {reason}"):
        find_pairs(tmp_path / "pairs.csv")


@given(st.text(max_size=30), st.sampled_from(MARK_KINDS))
def test_any_name_has_a_mark_or_none(name: str, kind: str) -> None:
    mark = read_mark(name, kind)
    assert mark is None or len(mark.rest) < len(name)


@given(
    st.lists(
        st.sampled_from([name for two in TWO_FOLDERS for name in two]), unique=True
    )
)
def test_two_dates_are_different_names_that_were_given(names: list[str]) -> None:
    for _, first, second in two_dates(names):
        assert first != second
        assert {first, second} <= set(names)


def test_a_layout_with_mistakes_is_known_all_the_same(tmp_path: Path) -> None:
    touch(tmp_path, ["A/x.png", "B/y.png"])
    assert holds_pairs(tmp_path)


def test_folders_that_one_may_not_look_into_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of /proc, of whoever asks."""
    touch(tmp_path, ["A/x.png", "B/x.png", "secret/x.png"])
    real = os.stat

    def stat(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if Path(path).name == "secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert found_in(tmp_path) == [("A/x.png", "B/x.png", "x")]
