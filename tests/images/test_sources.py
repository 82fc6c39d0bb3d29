"""What may be handed over as an image from Python, each kind to the same pixels; and
what is refused, in our words."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import ImageError, SencapError, ShapeError
from sencap.images import as_pair, read_pair, stretch
from sencap.structures import ImagePair

H, W = 40, 50
RNG = np.random.default_rng(11)
RGB: NDArray[np.uint8] = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
GREY: NDArray[np.uint8] = RGB[..., 0]
DEEP: NDArray[np.uint16] = RNG.integers(0, 5000, (H, W, 3), dtype=np.uint16)
FIRST = RGB.transpose(2, 0, 1)


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()


PNG = png(Image.fromarray(RGB))


def saved(folder: Path) -> str:
    (folder / "saved.png").write_bytes(PNG)
    return str(folder / "saved.png")


COLOUR: dict[str, Callable[[Path], Any]] = {
    "text": saved,
    "path": lambda folder: Path(saved(folder)),
    "bytes": lambda _: PNG,
    "bytearray": lambda _: bytearray(PNG),
    "bytes in memory": lambda _: io.BytesIO(PNG),
    "open file": lambda _: io.BufferedReader(io.BytesIO(PNG)),
    "Pillow": lambda _: Image.fromarray(RGB),
    "Pillow, not yet decoded": lambda _: Image.open(io.BytesIO(PNG)),
    "(H, W, 3)": lambda _: RGB,
    "(3, H, W)": lambda _: FIRST,
    "(3, H, W), in one piece": lambda _: np.ascontiguousarray(FIRST),
    "read-only": lambda _: np.frombuffer(RGB.tobytes(), np.uint8).reshape(H, W, 3),
    "tensor (H, W, 3)": lambda _: torch.from_numpy(RGB),
    "tensor (3, H, W)": lambda _: torch.from_numpy(RGB).permute(2, 0, 1),
    "lists": lambda _: RGB.tolist(),
    "tuples of lists": lambda _: tuple(FIRST.tolist()),
    "list of arrays": lambda _: [FIRST[0], FIRST[1], FIRST[2]],
    "masked, nothing masked": lambda _: np.ma.masked_array(RGB),
}


@pytest.mark.parametrize("kind", COLOUR)
def test_all_kinds_give_the_same_pixels(tmp_path: Path, kind: str) -> None:
    pair = as_pair(COLOUR[kind](tmp_path), COLOUR[kind](tmp_path))
    np.testing.assert_array_equal(pair.images, np.stack([FIRST, FIRST]))


@pytest.mark.parametrize("kind", COLOUR)
def test_kinds_mix(tmp_path: Path, kind: str) -> None:
    pair = as_pair(COLOUR[kind](tmp_path), RGB[::-1])
    np.testing.assert_array_equal(pair.images, np.stack([FIRST, FIRST[:, ::-1]]))


ONE_BAND = {
    "(H, W)": GREY,
    "(H, W, 1)": GREY[..., None],
    "(1, H, W)": GREY[None],
    "Pillow L": Image.fromarray(GREY),
    "lists": GREY.tolist(),
}


@pytest.mark.parametrize("kind", ONE_BAND)
def test_one_band_is_grey(kind: str) -> None:
    np.testing.assert_array_equal(
        as_pair(ONE_BAND[kind], ONE_BAND[kind]).images[0], np.stack([GREY] * 3)
    )


SIXTEEN: dict[str, Any] = {
    "(H, W, 3)": DEEP,
    "(3, H, W)": DEEP.transpose(2, 0, 1),
    "other byte order": DEEP.astype(">u2"),
    "tensor": torch.from_numpy(DEEP),
    "bytes": imagecodecs.png_encode(DEEP),
}


@pytest.mark.parametrize("kind", SIXTEEN)
def test_16_bits_are_stretched_as_in_files(kind: str) -> None:
    other = (DEEP // 2).astype(np.uint16)
    wanted = stretch(np.stack([DEEP.transpose(2, 0, 1), other.transpose(2, 0, 1)]))
    np.testing.assert_array_equal(as_pair(SIXTEEN[kind], other).images, wanted)


def test_16_bit_grey_of_pillow() -> None:
    deep = np.ascontiguousarray(DEEP[..., 0])
    wanted = stretch(np.stack([np.stack([deep] * 3)] * 2))
    image = Image.frombytes("I;16", (W, H), deep.tobytes())
    np.testing.assert_array_equal(as_pair(image, image).images, wanted)


def test_masked_pixels_are_no_data_and_show_the_other_date() -> None:
    mask = np.zeros((H, W, 3), bool)
    mask[:9] = True
    pair = as_pair(np.ma.masked_array(RGB, mask, fill_value=200), RGB)
    np.testing.assert_array_equal(pair.images[0, :, :9], pair.images[1, :, :9])
    np.testing.assert_array_equal(pair.images[0, :, 9:], FIRST[:, 9:])
    assert pair.details["no_data"][:2] == [round(9 / H, 4), 0]


def modes(kind: str) -> Image.Image:
    image = Image.fromarray(RGB)
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        content = io.BytesIO()
        image.save(content, format="PNG", exif=exif)
        return Image.open(content)
    if kind == "RGBA":
        image.putalpha(Image.fromarray(GREY))
        return image
    return image.convert(kind)


@pytest.mark.parametrize("kind", ["turned", "RGBA", "P", "1", "LA"])
def test_pillow_images_become_what_their_files_become(
    tmp_path: Path, kind: str
) -> None:
    image = modes(kind)
    exif = image.getexif()
    image.save(tmp_path / "a.png", exif=exif)
    wanted = read_pair(tmp_path / "a.png", tmp_path / "a.png").images
    np.testing.assert_array_equal(as_pair(image, image).images, wanted)


def test_the_name_is_that_of_the_first_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert as_pair(path, RGB).name == "saved.png"
    assert as_pair(path, RGB, name="plot 1").name == "plot 1"
    assert as_pair(RGB, path).name == ""


def ragged() -> list[list[int]]:
    rows: list[list[int]] = GREY.tolist()
    rows[3].pop()
    return rows


def within_itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def closed() -> BinaryIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


def at_its_end() -> BinaryIO:
    file = io.BytesIO(PNG)
    file.read()
    return file


class Elsewhere:
    """Like a tensor on a GPU, as far as we ask it."""

    device = "cuda:0"

    def __array__(self) -> NDArray[Any]:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class Secretive:
    """Has an array, and does not give it."""

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        raise RuntimeError("no")


FLOATS = (RGB / 255).astype(np.float32)
KINDS = "an image is a path, the bytes of a file"
REFUSED: dict[str, tuple[Callable[[], Any], type[SencapError], str]] = {
    "None": (lambda: None, ShapeError, f"it is None; {KINDS}"),
    "number": (lambda: 7, ShapeError, f"it is of the type int; {KINDS}"),
    "dict": (dict, ShapeError, "it is of the type dict"),
    "set": (lambda: {1, 2}, ShapeError, "it is of the type set"),
    "generator": (
        lambda: (row for row in RGB),
        ShapeError,
        "it is of the type generator",
    ),
    "numpy number": (lambda: np.uint8(7), ShapeError, r"it is uint8 \(\)"),
    "float32": (
        lambda: FLOATS,
        ShapeError,
        r"it is float32 \(40, 50, 3\).*255 \* image",
    ),
    "float tensor": (
        lambda: torch.from_numpy(FLOATS),
        ShapeError,
        r"it is float32 \(40, 50, 3\)",
    ),
    "int64": (
        lambda: RGB.astype(np.int64),
        ShapeError,
        r"it is int64 \(40, 50, 3\); an image is",
    ),
    "int8": (lambda: RGB.astype(np.int8), ShapeError, "it is int8"),
    "bool": (lambda: RGB > 9, ShapeError, "it is bool"),
    "complex": (lambda: RGB * 1j, ShapeError, "it is complex128"),
    "texts": (lambda: [["a"] * W] * H, ShapeError, "it is <U1"),
    "objects": (lambda: RGB.astype(object), ShapeError, "it is object"),
    "lists of floats": (FLOATS.tolist, ShapeError, r"it is float64 \(40, 50, 3\)"),
    "lists beyond 255": (
        lambda: [[256] * W] * H,
        ShapeError,
        "from 256 to 256; in lists they are 0–255",
    ),
    "lists below 0": (
        lambda: [[-1] * W] * H,
        ShapeError,
        "from -1 to -1; in lists they are 0–255",
    ),
    "lists of huge numbers": (lambda: [[10**40] * W] * H, ShapeError, "it is object"),
    "ragged lists": (
        ragged,
        ShapeError,
        "it cannot be made an array .lists of unequal lengths",
    ),
    "a list in itself": (within_itself, ShapeError, "it "),
    "empty list": (list, ShapeError, r"it is float64 \(0,\)"),
    "empty array": (
        lambda: np.zeros((0, 0, 3), np.uint8),
        ImageError,
        "it is 0×0 pixels",
    ),
    "one dimension": (RGB.ravel, ShapeError, r"it is uint8 \(6000,\)"),
    "a batch": (lambda: RGB[None], ShapeError, r"it is uint8 \(1, 40, 50, 3\)"),
    "both dates": (
        lambda: np.stack([FIRST, FIRST]),
        ShapeError,
        r"it is uint8 \(2, 3, 40, 50\)",
    ),
    "four bands last": (
        lambda: np.dstack([RGB, GREY]),
        ShapeError,
        r"Of four bands leave out.*image\[\.\.\., :3\]",
    ),
    "four bands first": (
        lambda: np.stack([GREY] * 4),
        ShapeError,
        "Of four bands leave out",
    ),
    "two bands": (lambda: RGB[..., :2], ShapeError, r"it is uint8 \(40, 50, 2\)"),
    "narrow": (
        lambda: RGB[:31],
        ImageError,
        "it is 50×31 pixels, but each side must have at least 32",
    ),
    # Taken for (3, H, 3).
    "three rows": (lambda: RGB[:3], ImageError, "it is 3×50 pixels, but each side"),
    "three columns": (
        lambda: RGB[:, :3].transpose(2, 0, 1),
        ImageError,
        "it is 3×40 pixels, but each side",
    ),
    "too many pixels": (
        lambda: np.broadcast_to(np.uint8(0), (8001, 8000)),
        ImageError,
        "it is 8000×8001 pixels, above 64,000,000",
    ),
    "on a GPU": (
        Elsewhere,
        ShapeError,
        r"it is on the device cuda:0: hand over .*tensor\.cpu\(\)",
    ),
    "on no device": (
        lambda: torch.empty((3, H, W), dtype=torch.uint8, device="meta"),
        ShapeError,
        "it is on the device meta",
    ),
    "with a gradient": (
        lambda: torch.zeros((3, H, W), requires_grad=True),
        ShapeError,
        r"it is a tensor that requires grad: hand over tensor\.detach\(\), as uint8",
    ),
    "bfloat16": (
        lambda: torch.zeros((3, H, W), dtype=torch.bfloat16),
        ShapeError,
        "it cannot be made an array",
    ),
    "secretive": (
        Secretive,
        ShapeError,
        "it cannot be made an array .of the type Secretive",
    ),
    "no bytes": (lambda: b"", ImageError, "the file is empty"),
    "bytes of text": (
        lambda: b"before.png",
        ImageError,
        "by its content it is no PNG, JPEG",
    ),
    "cut bytes": (lambda: PNG[:-8], ImageError, "it is cut off"),
    "text file": (
        lambda: io.StringIO("x"),
        ImageError,
        "not open in binary mode: open it with mode 'rb'",
    ),
    "closed file": (closed, ImageError, "this open file cannot be read"),
    "file at its end": (
        at_its_end,
        ImageError,
        r"this open file is at its end: go back to its start with seek\(0\)",
    ),
    "cut Pillow": (
        lambda: Image.open(io.BytesIO(PNG[:900])),
        ImageError,
        "this Pillow image cannot be decoded",
    ),
    "Pillow I": (
        lambda: Image.new("I", (W, H)),
        ImageError,
        "its values are of Pillow's mode I",
    ),
    "Pillow F": (
        lambda: Image.new("F", (W, H)),
        ImageError,
        "its values are of Pillow's mode F",
    ),
    "narrow Pillow": (
        lambda: Image.new("L", (W, 31)),
        ImageError,
        "it is 50×31 pixels",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("date", ["before", "after"])
def test_anything_else_is_refused_in_our_words(kind: str, date: str) -> None:
    make, error, reason = REFUSED[kind]
    pair = [make(), RGB] if date == "before" else [RGB, make()]
    with pytest.raises(error, match=f"(?s)^{date}: .*{reason}"):
        as_pair(*pair)


def test_sizes_that_differ_are_told_for_arrays_as_for_files(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError,
        match=r"differ in size: before is 50×40, after is 50×35 pixels\. Cut",
    ):
        as_pair(RGB, RGB[:35])
    path = saved(tmp_path)
    with pytest.raises(
        ImageError,
        match=rf"differ in size: {re.escape(path)} is 50×40, after is 35×40 pixels",
    ):
        as_pair(path, RGB[:, :35])


def test_depths_that_differ_are_told_for_arrays_as_for_files() -> None:
    with pytest.raises(
        ImageError, match=r"before has 8 bits and after 16, .*there is no common scale"
    ):
        as_pair(RGB, DEEP)


def test_the_callers_arrays_stay_as_they_are() -> None:
    before = RGB.copy()
    pair = as_pair(before, before)
    pair.images[:] = 0
    np.testing.assert_array_equal(before, RGB)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (None, "of the type NoneType"),
        ([[0]], "of the type list"),
        (torch.zeros((2, 3, H, W), dtype=torch.uint8), "of the type Tensor"),
        (np.zeros((2, 3, H, W)), "float64"),
        (np.zeros((3, H, W), np.uint8), r"uint8 \(3, 40, 50\)"),
        (np.zeros((2, 3, 0, W), np.uint8), r"uint8 \(2, 3, 0, 50\)"),
    ],
)
def test_a_pair_is_an_array_of_its_shape(images: Any, found: str) -> None:
    with pytest.raises(
        ShapeError, match=f"a uint8 array .*, before first; place is {found}"
    ):
        ImagePair(images, "place")
