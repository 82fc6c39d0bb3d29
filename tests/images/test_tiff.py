"""TIFFs made by hand whose directories run in circles or claim too much: refused at
once and in little memory."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from sencap.errors import ImageError
from sencap.images import as_pair, read_image

SIDE = 32
SHORT, LONG, IFD, LONG8 = 3, 4, 13, 16
PIXELS = bytes(range(256)) * (SIDE * SIDE // 256)
Tag = tuple[int, int, int, int]  # code, type, count, value or its place
START = 16  # of the pixels, behind either header

GREY: list[Tag] = [
    (256, SHORT, 1, SIDE),
    (257, SHORT, 1, SIDE),
    (258, SHORT, 1, 8),
    (259, SHORT, 1, 1),
    (262, SHORT, 1, 1),
    (273, LONG, 1, START),
    (277, SHORT, 1, 1),
    (278, SHORT, 1, SIDE),
    (279, LONG, 1, len(PIXELS)),
]


def place_of(number: int, *, tags: int = len(GREY), big: bool = False) -> int:
    """Where the directory of this number lies if all have so many tags."""
    size = (8 + tags * 20 + 8) if big else (2 + tags * 12 + 4)
    return START + len(PIXELS) + number * size


def hand_made(
    pages: Sequence[tuple[Sequence[Tag], int]],
    *,
    big: bool = False,
    order: str = "<",
    first: int | None = None,
) -> bytes:
    """A TIFF of 8-bit grey: the pixels, then a directory for each page, (its tags, the
    place of the next)."""
    start = place_of(0) if first is None else first
    mark = b"II" if order == "<" else b"MM"
    version = (43, 8, 0, start) if big else (42, start)
    head = mark + struct.pack(order + ("HHHQ" if big else "HI"), *version)
    parts = []
    for tags, following in pages:
        parts.append(struct.pack(order + ("Q" if big else "H"), len(tags)))
        for number, kind, count, value in tags:
            parts.append(
                struct.pack(order + ("HHQ" if big else "HHI"), number, kind, count)
            )
            code = {SHORT: "H", LONG: "I"}.get(kind, "")
            if count > 1 or not code:  # the place of the values
                code = "Q" if big else "I"
            parts.append(struct.pack(order + code, value).ljust(8 if big else 4, b"\0"))
        parts.append(struct.pack(order + ("Q" if big else "I"), following))
    return head.ljust(START, b"\0") + PIXELS + b"".join(parts)


def thumbnail(tags: Sequence[Tag] = GREY) -> list[Tag]:
    return [(254, LONG, 1, 1), *tags]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sound_one_is_read(tmp_path: Path, big: bool, order: str) -> None:
    (tmp_path / "a.tif").write_bytes(hand_made([(GREY, 0)], big=big, order=order))
    wanted = np.frombuffer(PIXELS, np.uint8).reshape(SIDE, SIDE)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif"), np.stack([wanted] * 3)
    )


def chain(count: int, last: int, *, big: bool = False) -> bytes:
    """So many pages, all but the first reduced images, the last of which leads to the
    page of number ``last``."""
    wide = len(GREY) + 1
    following = [place_of(number + 1, tags=wide, big=big) for number in range(count)]
    following[-1] = place_of(last, tags=wide, big=big) if last >= 0 else 0
    full: list[Tag] = [(254, LONG, 1, 0), *GREY]
    tags = [full] + [thumbnail()] * (count - 1)
    return hand_made(list(zip(tags, following, strict=True)), big=big)


CIRCLE = r"it is damaged: its pages lead back to the one at byte \d+; get it again"
MANY = "it holds more than 64 pages: save the one that you mean"
CLAIMS = r"it is damaged: its tag {} claims {} values; get it again"


def with_tag(code: int, kind: int, count: int, value: int) -> bytes:
    tags = [tag for tag in GREY if tag[0] != code]
    return hand_made([(sorted([*tags, (code, kind, count, value)]), 0)])


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a page to itself": (chain(1, 0), CIRCLE),
    "a page to itself, BigTIFF": (chain(1, 0, big=True), CIRCLE),
    "two to each other": (chain(2, 0), CIRCLE),
    "the last to itself": (chain(3, 2), CIRCLE),
    "a circle behind a tail": (chain(40, 20), CIRCLE),
    "a long circle": (chain(500, 100), MANY),
    "ten thousand pages": (chain(10_000, -1), MANY),
    "a billion strips": (
        with_tag(273, LONG, 1_000_000_000, START),
        CLAIMS.format(273, "1,000,000,000"),
    ),
    "four billion lengths": (
        with_tag(279, SHORT, 2**32 - 1, START),
        CLAIMS.format(279, "4,294,967,295"),
    ),
    "a billion SubIFDs": (
        with_tag(330, IFD, 1_000_000_000, START),
        CLAIMS.format(330, "1,000,000,000"),
    ),
    "a text of 4 GB": (
        with_tag(270, 2, 2**32 - 1, START),
        CLAIMS.format(270, "4,294,967,295"),
    ),
    "strips behind the end": (
        with_tag(273, LONG, 100_000, START),
        "it does not say where its data are",
    ),
    "fewer lengths than strips": (
        with_tag(273, LONG, 100, START),
        "it is cut off: it ends before its data do",
    ),
    "no strips": (
        hand_made([([tag for tag in GREY if tag[0] != 273], 0)]),
        "it does not say where its data",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_ones_are_refused_at_once_and_in_little_memory(
    tmp_path: Path, kind: str
) -> None:
    content, reason = HOSTILE[kind]
    (tmp_path / "bad.tif").write_bytes(content)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ImageError, match=rf"bad\.tif: .*{reason}"):
        read_image(tmp_path / "bad.tif")
    seconds = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 2 << 20


def test_claims_that_a_sparse_file_would_fill_are_refused(tmp_path: Path) -> None:
    """A file of 3 GB that takes no room on the disk: the billion zeros that it claims
    are there."""
    (tmp_path / "bad.tif").write_bytes(with_tag(273, LONG, 500_000_000, START))
    with (tmp_path / "bad.tif").open("r+b") as file:
        file.truncate(3 << 30)
    with pytest.raises(ImageError, match="its tag 273 claims 500,000,000 values"):
        read_image(tmp_path / "bad.tif")


def test_small_claims_of_many_pages_are_added_up(tmp_path: Path) -> None:
    wide = len(GREY) + 1
    tags = [
        (254, LONG, 1, 1),
        *[(273, LONG, 1 << 20, 8) if tag[0] == 273 else tag for tag in GREY],
    ]
    pages = [(tags, place_of(number + 1, tags=wide)) for number in range(50)]
    (tmp_path / "bad.tif").write_bytes(hand_made(pages))
    with pytest.raises(ImageError, match="its tag 273 claims 1,048,576 values"):
        read_image(tmp_path / "bad.tif")


def test_sub_directories_are_never_followed(tmp_path: Path) -> None:
    """One that is the page itself, so that whoever follows it never ends."""
    tags = [*GREY, (330, IFD, 1, place_of(0))]
    (tmp_path / "a.tif").write_bytes(hand_made([(tags, 0)]))
    assert read_image(tmp_path / "a.tif").shape == (3, SIDE, SIDE)


def test_overviews_and_masks_of_one_image_are_few_enough(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(chain(60, -1))
    assert read_image(tmp_path / "a.tif").shape == (3, SIDE, SIDE)


def test_many_strips_are_read(tmp_path: Path) -> None:
    """One row a strip, and tiles of 16 × 16: what real files have is far below the
    bound."""
    image = np.arange(2000 * 40, dtype=np.uint32).astype(np.uint8).reshape(2000, 40)
    tifffile.imwrite(tmp_path / "rows.tif", image, rowsperstrip=1)
    np.testing.assert_array_equal(read_image(tmp_path / "rows.tif")[0], image)
    tifffile.imwrite(tmp_path / "tiles.tif", image, tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / "tiles.tif")[0], image)


CODES = sorted(
    {tag[0] for tag in GREY}
    | {254, 270, 320, 322, 323, 324, 325, 330, 338, 339, 347, 32997, 34665}
)
TAGS = st.tuples(
    st.sampled_from(CODES),
    st.sampled_from([1, 2, SHORT, LONG, 5, 12, IFD, LONG8, 99]),
    st.sampled_from([0, 1, 2, 3, 1000, 1 << 20, 2**31, 2**32 - 1]),
    st.one_of(st.integers(0, 4000), st.integers(0, 2**32 - 1)),
)
PAGES = st.lists(
    st.tuples(st.lists(TAGS, max_size=12), st.integers(0, 3000)), min_size=1, max_size=5
)


@settings(max_examples=150, deadline=1000)
@given(pages=PAGES, whole=st.booleans(), first=st.integers(0, 3000))
def test_any_directories_end_in_an_image_or_a_refusal(
    pages: list[tuple[list[Tag], int]], whole: bool, first: int
) -> None:
    safe = [
        (
            [
                (code, kind, count, value % 2**16 if kind == SHORT else value)
                for code, kind, count, value in tags
            ],
            to,
        )
        for tags, to in pages
    ]
    if whole:  # a sound page first, so that more of them come to be read
        safe = [(GREY, place_of(1)), *safe]
        first = place_of(0)
    content = hand_made(safe, first=first)
    with contextlib.suppress(ImageError):
        assert as_pair(content, io.BytesIO(content)).images.dtype == np.uint8
