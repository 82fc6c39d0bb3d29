"""Every kind of image file, made on the fly, is read right or refused with its
reason."""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile

from sencap.errors import DataError, ImageError, SettingsError, ShapeError
from sencap.images import MAX_PIXELS, find_pairs, read_image, read_pair, resize, stretch
from sencap.structures import ImagePair

H, W = 40, 50
RNG = np.random.default_rng(7)
RGB8: NDArray[np.uint8] = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB16: NDArray[np.uint16] = RNG.integers(0, 1 << 16, (H, W, 3), dtype=np.uint16)
SMOOTH: NDArray[np.uint8] = np.dstack(
    [
        np.tile(np.linspace(0, 255, W), (H, 1)),
        np.tile(np.linspace(200, 40, H)[:, None], (1, W)),
        np.full((H, W), 90),
    ]
).astype(np.uint8)


def bands_first(image: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(image, -1, 0)


def chunk(kind: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
    )


def png(
    width: int, height: int, stream: bytes, bits: int = 8, colour: int = 2
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", stream)
        + chunk(b"IEND", b"")
    )


# --- read_image: pictures of 8 bits


@pytest.mark.parametrize(
    ("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True})]
)
def test_lossless_pictures_come_back_exactly(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    Image.fromarray(RGB8).save(tmp_path / name, **options)
    image = read_image(tmp_path / name)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, bands_first(RGB8))


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_pictures_come_back_nearly(tmp_path: Path, name: str) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / name, quality=95)
    difference = read_image(tmp_path / name).astype(int) - bands_first(SMOOTH)
    assert np.abs(difference).mean() < 3


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), bands_first(RGB8))


def test_grey_and_one_bit_become_three_equal_bands(tmp_path: Path) -> None:
    grey = RGB8[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "grey.png"), np.stack([grey] * 3)
    )
    Image.fromarray(grey > 127).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "bit.png"), np.stack([(grey > 127) * np.uint8(255)] * 3)
    )


def test_palette_gives_its_colours(tmp_path: Path) -> None:
    indexed = Image.new("P", (W, H), 1)
    indexed.putpalette([9, 8, 7, 250, 128, 3, 0, 0, 255])
    ImageDraw.Draw(indexed).rectangle((0, 0, 9, 9), fill=2)
    indexed.save(tmp_path / "p.png")
    image = read_image(tmp_path / "p.png")
    assert image[:, 0, 0].tolist() == [0, 0, 255]
    assert image[:, 20, 20].tolist() == [250, 128, 3]


def test_palette_with_transparency_in_bytes_gives_black_without_a_warning(
    tmp_path: Path,
) -> None:
    indexed = Image.new("P", (W, H), 1)
    indexed.putpalette([9, 8, 7, 250, 128, 3])
    ImageDraw.Draw(indexed).rectangle((0, 0, 9, 9), fill=0)
    indexed.save(tmp_path / "p.png", transparency=b"\x00\xff")
    image = read_image(tmp_path / "p.png")
    assert image[:, 0, 0].tolist() == [0, 0, 0]
    assert image[:, 20, 20].tolist() == [250, 128, 3]


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_alpha_lies_over_black(tmp_path: Path, name: str) -> None:
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    Image.fromarray(np.dstack([RGB8, alpha])).save(
        tmp_path / name, lossless=True, exact=True
    )
    image = read_image(tmp_path / name).astype(int)
    assert not image[:, :10].any()
    assert (
        np.abs(
            image[:, 10:20] - bands_first(RGB8)[:, 10:20].astype(int) * 128 / 255
        ).max()
        <= 1
    )
    np.testing.assert_array_equal(image[:, 20:], bands_first(RGB8)[:, 20:])


def test_grey_with_alpha(tmp_path: Path) -> None:
    grey = np.dstack([RGB8[..., 0], np.full((H, W), 255, np.uint8)])
    grey[:5, :, 1] = 0
    Image.fromarray(grey).save(tmp_path / "la.png")
    image = read_image(tmp_path / "la.png")
    assert not image[:, :5].any()
    np.testing.assert_array_equal(image[2, 5:], RGB8[5:, :, 0])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (W, H), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    red = read_image(tmp_path / "c.jpg").mean((1, 2))
    assert red[0] > 245
    assert red[1] < 10
    assert red[2] < 10


# where EXIF puts pixel (0, 0) of the file: top or bottom, left or right; and whether
# rows become columns
TURNS = {
    1: ("tl", 0),
    2: ("tr", 0),
    3: ("br", 0),
    4: ("bl", 0),
    5: ("tl", 1),
    6: ("tr", 1),
    7: ("br", 1),
    8: ("bl", 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_exif_really_turns(tmp_path: Path, name: str, orientation: int) -> None:
    picture = np.zeros((H, W, 3), np.uint8)
    picture[:16, :16] = 255  # one white corner, at the file's first pixel
    picture[:16, 34:] = 128  # and a grey one, at the end of its first row
    if name.endswith("tif"):
        tifffile.imwrite(
            tmp_path / name,
            picture,
            photometric="rgb",
            extratags=[(274, "H", 1, orientation, True)],
        )
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture).save(tmp_path / name, exif=exif, quality=95)
    image = read_image(tmp_path / name)[0].astype(int)
    corner, transposed = TURNS[orientation]
    assert image.shape == ((W, H) if transposed else (H, W))
    places = {"tl": (8, 8), "tr": (8, -8), "bl": (-8, 8), "br": (-8, -8)}
    across = corner.translate(
        str.maketrans("tb", "bt") if transposed else str.maketrans("lr", "rl")
    )
    for place, where in places.items():
        wanted = {corner: 255, across: 128}.get(place, 0)
        assert abs(image[where] - wanted) < 12, (place, image[where])


# --- read_image: 16 bits


@pytest.mark.parametrize("bands", [1, 3])
def test_16_bit_png_keeps_its_low_bytes(tmp_path: Path, bands: int) -> None:
    data = np.ascontiguousarray(RGB16[..., :bands].squeeze())
    (tmp_path / "d.png").write_bytes(imagecodecs.png_encode(data))
    image = read_image(tmp_path / "d.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(
        image, np.broadcast_to(bands_first(np.atleast_3d(data)), (3, H, W))
    )


def test_16_bit_png_with_alpha_lies_over_black(tmp_path: Path) -> None:
    alpha = np.full((H, W), 65535, np.uint16)
    alpha[:10], alpha[10:20] = 0, 32768
    (tmp_path / "d.png").write_bytes(imagecodecs.png_encode(np.dstack([RGB16, alpha])))
    image = read_image(tmp_path / "d.png").astype(int)
    assert not image[:, :10].any()
    assert (
        np.abs(image[:, 10:20] - bands_first(RGB16)[:, 10:20] * (32768 / 65535)).max()
        <= 1
    )
    np.testing.assert_array_equal(image[:, 20:], bands_first(RGB16)[:, 20:])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"compression": "zstd"},
        {"tile": (16, 16), "compression": "lzw", "byteorder": ">"},
        {"rowsperstrip": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [RGB8, RGB16], ids=["uint8", "uint16"])
def test_tiff_of_every_layout(
    tmp_path: Path, data: NDArray[Any], options: dict[str, Any]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == data.dtype
    assert image.dtype.isnative
    np.testing.assert_array_equal(image, bands_first(data))


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_tiff_with_bands_first(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        bands_first(RGB16),
        photometric="rgb",
        planarconfig="separate",
        compression=compression,
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), bands_first(RGB16))


@pytest.mark.parametrize("kind", ["unspecified", "unassalpha"])
def test_a_fourth_tiff_band_is_not_alpha(tmp_path: Path, kind: str) -> None:
    infrared = RGB8[..., :1] // 2
    tifffile.imwrite(
        tmp_path / "n.tif",
        np.dstack([RGB8, infrared]),
        photometric="rgb",
        extrasamples=[kind],
    )
    np.testing.assert_array_equal(read_image(tmp_path / "n.tif"), bands_first(RGB8))


def test_many_grey_bands_are_rgb_and_more(tmp_path: Path) -> None:
    data = RNG.integers(0, 9999, (6, H, W), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "m.tif", data, photometric="minisblack", planarconfig="separate"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "m.tif"), data[:3])


def test_grey_white_is_zero_one_bit_and_palette_tiff(tmp_path: Path) -> None:
    grey = RGB8[..., 0]
    tifffile.imwrite(tmp_path / "g.tif", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "g.tif"), np.stack([grey] * 3))
    tifffile.imwrite(tmp_path / "w.tif", grey, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "w.tif")[0], 255 - grey)
    tifffile.imwrite(tmp_path / "b.tif", grey > 127, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif")[1], (grey > 127) * 255)
    colours = RNG.integers(0, 256, (3, 256), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "p.tif", grey, photometric="palette", colormap=colours * 257
    )
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), colours[:, grey])


def test_jpeg_in_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "j.tif",
        SMOOTH,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 95},
    )
    with tifffile.TiffFile(tmp_path / "j.tif") as file:
        assert file.pages[0].photometric == 6  # YCbCr, as JPEG has it
    assert (
        np.abs(read_image(tmp_path / "j.tif").astype(int) - bands_first(SMOOTH)).mean()
        < 2
    )


def test_signed_tiff_loses_what_is_below_zero(tmp_path: Path) -> None:
    data = RNG.integers(-9999, 9999, (H, W, 3), dtype=np.int16)
    tifffile.imwrite(tmp_path / "i.tif", data, photometric="rgb")
    np.testing.assert_array_equal(
        read_image(tmp_path / "i.tif"), bands_first(data.clip(0))
    )


def test_float_tiff_is_reflectance(tmp_path: Path) -> None:
    data = RNG.uniform(0, 1.2, (H, W, 3)).astype(np.float32)
    data[0, 0] = -0.01, 0.5, 1.0
    tifffile.imwrite(tmp_path / "f.tif", data, photometric="rgb")
    image = read_image(tmp_path / "f.tif")
    assert image.dtype == np.uint16
    assert image[:, 0, 0].tolist() == [0, 5000, 10000]


def test_overviews_and_masks_are_not_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "cog.tif") as file:
        file.write(RGB8, photometric="rgb", metadata=None)
        file.write(
            np.ascontiguousarray(RGB8[::2, ::2]),
            photometric="rgb",
            subfiletype=1,
            metadata=None,
        )
        file.write(
            RGB8[..., 0] > 0, photometric="minisblack", subfiletype=4, metadata=None
        )
    # With rasterio the mask is heeded.
    shown = np.where(RGB8[..., 0] > 0, bands_first(RGB8), 0)
    wanted = shown if importlib.util.find_spec("rasterio") else bands_first(RGB8)
    np.testing.assert_array_equal(read_image(tmp_path / "cog.tif"), wanted)


# --- read_image: refusals


FRAMES = [Image.fromarray(RGB8), Image.fromarray(RGB8[::-1].copy())]
FLOATS = RGB8.astype(np.float32)
BAD_TIFFS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "narrow tiff": (RGB8[:31], {"photometric": "rgb"}),
    "pages": (np.stack([RGB8, RGB8]), {"photometric": "rgb"}),
    "two bands": (
        RGB16[..., :2],
        {"planarconfig": "contig", "photometric": "minisblack"},
    ),
    "decibels": (FLOATS / 10 - 30, {"photometric": "rgb"}),
    "large floats": (FLOATS * 1000, {"photometric": "rgb"}),
    "uint32": (RGB8.astype(np.uint32) * 1000, {"photometric": "rgb"}),
    "all negative": (RGB8.astype(np.int16) - 300, {"photometric": "rgb"}),
    "complex": (FLOATS.astype(np.complex64), {"photometric": "rgb"}),
    "cielab": (RGB8, {"photometric": "cielab"}),
}


def write_large_jpeg(path: Path) -> None:
    Image.fromarray(RGB8).save(path, format="JPEG")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 30000, 30001)
    path.write_bytes(data)


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "empty": Path.touch,
    "text": lambda path: path.write_text("no image at all\n" * 50),
    "gif": lambda path: FRAMES[0].save(path, format="GIF"),
    "1×1": lambda path: Image.fromarray(RGB8[:1, :1]).save(path),
    "narrow": lambda path: Image.fromarray(RGB8[:31]).save(path),
    "zero": lambda path: path.write_bytes(png(0, 0, zlib.compress(bytes(1000)))),
    "large jpeg": write_large_jpeg,
    "animation": lambda path: FRAMES[0].save(
        path, save_all=True, append_images=FRAMES[1:]
    ),
    "webp animation": lambda path: FRAMES[0].save(
        path, "WEBP", save_all=True, append_images=FRAMES[1:]
    ),
}


REFUSALS = {
    "missing": r"bad\.png: it does not exist: give an image file",
    "folder": r"bad\.png: it is a folder: give an image file",
    "empty": r"bad\.png: the file is empty",
    "text": r"bad\.png: by its content it is no PNG, JPEG, WebP or TIFF image: convert it first",
    "gif": r"by its content it is no PNG",
    "1×1": r"bad\.png: it is 1×1 pixels, but each side must have at least 32",
    "narrow": r"it is 50×31 pixels",
    "narrow tiff": r"it is 50×31 pixels",
    "zero": r"it is 0×0 pixels",
    "large jpeg": r"it is 30001×30000 pixels, above 64,000,000: cut it into tiles first",
    "pages": r"it holds 2 pages: save the one that you mean",
    "animation": r"it is an animation: save the one frame",
    "webp animation": r"it is an animation: save the one frame",
    "two bands": r"it has 2 bands: neither grey",
    "decibels": r"most of its values are below 0 \(they go from -30 to -4\.5\), .*--scale LOW",
    "large floats": r"its values reach 255000, which no light has; .*--scale LOW,HIGH",
    "uint32": r"its values reach 255000, more than 16 bits hold; .*--scale LOW,HIGH",
    "all negative": r"most of its values are below 0 \(they go from -300 to -45\)",
    "complex": r"its values are complex64: store them as uint8 or uint16",
    "cielab": r"its colours are CIELAB: convert it to RGB",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_say_why(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.png"
    if kind in BAD_TIFFS:
        data, options = BAD_TIFFS[kind]
        tifffile.imwrite(path, data, **options)
    else:
        BAD_FILES[kind](path)
    with pytest.raises(ImageError, match=REFUSALS[kind]):
        read_image(path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_permission_denied(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(
        ImageError, match="Permission denied: give an image file that you may read"
    ):
        read_image(tmp_path / "a.png")


def test_permission_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        ImageError,
        match=r"a\.png: Permission denied: give an image file that you may read",
    ):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_huge_png_is_refused_from_its_header(tmp_path: Path, bits: int) -> None:
    side, row = 30_000, bytes(1 + 30_000 * 3 * bits // 8)
    packer = zlib.compressobj(1)
    # The first rows will do.
    stream = b"".join(packer.compress(row) for _ in range(200)) + packer.flush()
    (tmp_path / "huge.png").write_bytes(png(side, side, stream, bits))
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(
        ImageError,
        match=r"huge\.png: it is 30000×30000 pixels, above 64,000,000: cut it into tiles",
    ):
        read_image(tmp_path / "huge.png")
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 1 << 20


def test_a_huge_tiff_is_refused_from_its_header(tmp_path: Path) -> None:
    data = np.broadcast_to(np.uint8(0), (8001, 8000))
    tifffile.imwrite(tmp_path / "huge.tif", data, compression="zlib", rowsperstrip=8001)
    assert data.size > MAX_PIXELS
    tracemalloc.start()
    with pytest.raises(ImageError, match="it is 8000×8001 pixels, above 64,000,000"):
        read_image(tmp_path / "huge.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (
            b"VP8X",
            bytes(4) + (16382).to_bytes(3, "little") + (9999).to_bytes(3, "little"),
        ),
        (b"VP8L", b"\x2f" + (16382 | 9999 << 14).to_bytes(4, "little") + bytes(9)),
        (b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 16383, 10000)),
    ],
)
def test_a_huge_webp_is_refused_from_its_header(
    tmp_path: Path, kind: bytes, body: bytes
) -> None:
    data = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    (tmp_path / "huge.webp").write_bytes(b"RIFF" + struct.pack("<I", len(data)) + data)
    with pytest.raises(ImageError, match="it is 16383×10000 pixels, above"):
        read_image(tmp_path / "huge.webp")


def small_files(folder: Path) -> list[Path]:
    """One sound file of each kind."""
    Image.fromarray(RGB8).save(folder / "a.png")
    Image.fromarray(RGB8).save(folder / "a.jpg")
    Image.fromarray(RGB8).save(folder / "a.webp")
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(RGB16))
    tifffile.imwrite(folder / "plain.tif", RGB16, photometric="rgb")
    tifffile.imwrite(
        folder / "zip.tif", RGB8, photometric="rgb", compression="zlib", rowsperstrip=8
    )
    tifffile.imwrite(
        folder / "tiles.tif", RGB8, photometric="rgb", compression="lzw", tile=(16, 16)
    )
    return sorted(folder.iterdir())


def test_a_file_cut_anywhere_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    for file in small_files(tmp_path):
        data = file.read_bytes()
        for share in (0.01, 0.1, 0.5, 0.9, 0.98):
            cut = file.with_name("cut_" + file.name)
            cut.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(
                ImageError,
                match=r"cut_.*(damaged or cut off|cut off|no PNG|0 pages|pixels)",
            ):
                read_image(cut)
        cut.write_bytes(data[:-8])
        with pytest.raises(ImageError, match=r"cut_.*cut off"):
            read_image(cut)
    assert capfd.readouterr().err == ""


def test_broken_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    """500 files with a few bytes changed: an image, or an ImageError, and never a
    warning."""
    rng = np.random.default_rng(3)
    files = small_files(tmp_path)
    refused: list[str] = []
    for turn in range(500):
        data = bytearray(files[turn % len(files)].read_bytes())
        for at in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        (tmp_path / "broken").write_bytes(data)
        try:
            assert read_image(tmp_path / "broken").shape[0] == 3
        except ImageError as error:
            refused.append(str(error))
    assert 50 < len(refused) < 500
    assert all(text.startswith(str(tmp_path / "broken: ")) for text in refused)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_a_tiff_cut_between_strips_is_refused(
    tmp_path: Path, compression: str | None
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        RGB16,
        photometric="rgb",
        compression=compression,
        rowsperstrip=8,
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        end = file.pages[0].dataoffsets[-1]
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:end])
    with pytest.raises(
        ImageError, match=r"a\.tif: it is cut off: it ends before its data do"
    ):
        read_image(tmp_path / "a.tif")


def test_a_damaged_tiff_is_told_once(tmp_path: Path) -> None:
    """What tifffile logs must not reach stderr beside our own error (pytest's log
    handler would hide it)."""
    tifffile.imwrite(
        tmp_path / "a.tif", RGB8, photometric="rgb", compression="zlib", rowsperstrip=8
    )
    data = (tmp_path / "a.tif").read_bytes()
    for length in range(10, 400, 10):
        (tmp_path / f"cut{length}.tif").write_bytes(data[:length])
    code = (
        "import sys, sencap.errors, sencap.images\n"
        "for path in sys.argv[1:]:\n"
        "    try: sencap.images.read_image(path)\n"
        "    except sencap.errors.ImageError: print('refused')"
    )
    command = [sys.executable, "-c", code, *map(str, tmp_path.glob("cut*.tif"))]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (run.stdout.count("refused"), run.stderr) == (39, "")


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys, sencap.images, sencap.data.check; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- read_pair, stretch


def test_a_pair_of_pictures(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    Image.fromarray(RGB8[::-1].copy()).save(tmp_path / "b.png")
    pair = read_pair(tmp_path / "a.png", tmp_path / "b.png")
    assert pair.name == "a.png"
    np.testing.assert_array_equal(pair.images[0], bands_first(RGB8))
    np.testing.assert_array_equal(pair.images[1], bands_first(RGB8[::-1]))
    assert (
        read_pair(tmp_path / "a.png", tmp_path / "b.png", name="place").name == "place"
    )


def test_sizes_that_differ_are_both_told(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    Image.fromarray(RGB8[:35]).save(tmp_path / "b.png")
    with pytest.raises(
        ImageError,
        match=r"differ in size: \S*a\.png is 50×40, \S*b\.png is 50×35 pixels",
    ):
        read_pair(tmp_path / "a.png", tmp_path / "b.png")


def test_depths_that_differ_are_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", RGB16, photometric="rgb")
    with pytest.raises(
        ImageError,
        match=r"a\.png has 8 bits and \S*b\.tif 16, .*there is no common scale",
    ):
        read_pair(tmp_path / "a.png", tmp_path / "b.tif")


def test_deep_pairs_share_one_stretch(tmp_path: Path) -> None:
    before = RNG.integers(400, 3000, (H, W, 3), dtype=np.uint16)
    after = before.copy()
    after[:10] = 9000  # a new bright roof must not darken the rest of one date only
    tifffile.imwrite(tmp_path / "a.tif", before, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", after, photometric="rgb")
    images = read_pair(tmp_path / "a.tif", tmp_path / "b.tif").images
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[0, :, 10:], images[1, :, 10:])
    assert (images[1, :, :10] == 255).all()
    assert np.ptp(images[0]) > 60


def test_stretch_is_wider_than_the_percentiles_by_half_of_their_range() -> None:
    """And one for all bands; the values themselves go further, in a few pixels."""
    deep = RNG.normal(8000, 1000, (2, 3, H, W)).clip(1).astype(np.uint16)
    deep[0, 0, 0, :2] = 1, 60_000
    low, high = np.percentile(deep, [2, 98], method="inverted_cdf")
    start, end = low - (high - low) / 2, high + (high - low) / 2
    wanted = ((deep - start) * (255 / (end - start))).clip(0, 255).round()
    np.testing.assert_array_equal(stretch(deep), wanted)


def test_stretch_leaves_no_data_out_and_black() -> None:
    deep = RNG.integers(1000, 2000, (2, 3, H, W), dtype=np.uint16)
    whole = stretch(deep)
    wider = np.concatenate([deep, np.zeros_like(deep)], axis=-1)
    np.testing.assert_array_equal(stretch(wider)[..., :W], whole)
    assert not stretch(wider)[..., W:].any()


def test_stretch_of_one_value_and_of_8_bits() -> None:
    assert not stretch(np.full((2, 3, H, W), 700, np.uint16)).any()
    assert not stretch(np.zeros((2, 3, H, W), np.uint16)).any()
    np.testing.assert_array_equal(stretch(bands_first(RGB8)), bands_first(RGB8))
    with pytest.raises(
        ShapeError,
        match=r"expected uint8 or uint16 \(…, 3, H, W\); got float64 \(3, 40, 50\)",
    ):
        stretch(bands_first(RGB8).astype(float))


# --- resize


def test_resize_is_identity_at_its_size() -> None:
    images = RNG.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    assert resize(images, 64) is images


def test_resize_averages_and_keeps_bands_and_order() -> None:
    images = np.zeros((2, 3, 64, 64), np.uint8)
    images[0, 0], images[1, 2] = 200, 100
    images[0, 1, :, ::2] = 255  # stripes: antialiased, they become even grey
    small = resize(images, 32)
    assert small.shape == (2, 3, 32, 32)
    assert small.dtype == np.uint8
    assert (small[0, 0] == 200).all()
    assert (small[1, 2] == 100).all()
    assert not small[1, :2].any()
    assert np.ptp(small[0, 1, :, 1:-1].astype(int)) < 40
    assert 110 < small[0, 1].mean() < 145


def test_resize_agrees_with_pillow() -> None:
    wanted = np.asarray(
        Image.fromarray(RGB8).resize((48, 48), Image.Resampling.BILINEAR)
    )
    np.testing.assert_array_equal(resize(bands_first(RGB8), 48), bands_first(wanted))


def test_resize_takes_pairs_and_refuses_the_rest() -> None:
    pair = ImagePair(np.zeros((2, 3, 40, 50), np.uint8), "place")
    small = resize(pair, 32)
    assert small.images.shape == (2, 3, 32, 32)
    assert small.name == "place"
    with pytest.raises(SettingsError, match="size is 0 pixels"):
        resize(pair, 0)
    with pytest.raises(ShapeError, match=r"expected uint8 .* got uint8 \(40, 50, 3\)"):
        resize(RGB8, 32)


# --- find_pairs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "dates", [("A", "B"), ("before", "after"), ("Before", "After"), ("1", "2")]
)
def test_pairs_in_two_folders(tmp_path: Path, dates: tuple[str, str]) -> None:
    first, second = (tmp_path / date for date in dates)
    touch(first, "y.png", "x.png", "notes.txt", ".hidden.png")
    touch(second, "x.png", "y.jpg")
    assert find_pairs(tmp_path) == [
        (first / "x.png", second / "x.png", "x"),
        (first / "y.png", second / "y.jpg", "y"),
    ]


@pytest.mark.parametrize(
    "marks", [("_before", "_after"), ("_A", "_B"), ("-a", "-b"), ("_1", "_2")]
)
def test_pairs_in_one_folder(tmp_path: Path, marks: tuple[str, str]) -> None:
    touch(tmp_path, *(f"site_{n}{mark}.tif" for n in (1, 2) for mark in marks))
    found = find_pairs(tmp_path)
    assert [name for *_, name in found] == ["site_1", "site_2"]
    assert (found[0][0].name, found[0][1].name) == (
        f"site_1{marks[0]}.tif",
        f"site_1{marks[1]}.tif",
    )


def test_a_folder_with_one_nameless_pair(tmp_path: Path) -> None:
    touch(tmp_path / "beirut", "1.tif", "2.tif")
    folder = tmp_path / "beirut"
    assert find_pairs(folder) == [(folder / "1.tif", folder / "2.tif", "beirut")]


def test_all_files_without_a_partner_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.png", "A/y.png", "B/y.png", "B/z.png", "B/z.jpg")
    with pytest.raises(DataError) as caught:
        find_pairs(tmp_path)
    told = str(caught.value).replace("\\", "/")
    assert "A/x.png has no image after" in told
    assert "B/z.jpg has no image before" in told
    assert "B/z.png and z.jpg have the same name" in told


def test_files_of_neither_date_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "x_before.png", "x_after.png", "y_after.png", "map.png")
    with pytest.raises(
        DataError,
        match=r"(?s)map\.png is of neither date.*y_after\.png has no image before",
    ):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            (),
            r"holds no pairs of images(.|\n)*seen: nothing(.|\n)*looked for: two folders",
        ),
        (
            ("x.png", "z/y.png"),
            r"seen: x.png, z/ \(1 image\)\n(.|\n)*or give a CSV file",
        ),
        (("A/readme.txt", "B/readme.txt"), "its two folders A and B hold no images"),
    ],
)
def test_folders_without_pairs(
    tmp_path: Path, names: tuple[str, ...], reason: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=reason):
        find_pairs(tmp_path)


def test_a_source_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="nowhere: it does not exist; give a folder of pairs or a CSV file",
    ):
        find_pairs(tmp_path / "nowhere")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_pairs_of_a_table(tmp_path: Path, mark: str, encoding: str) -> None:
    touch(tmp_path, "in/ä.png", "in/b.png", "c.png")
    rows = [
        ["After", " before", "name", "note"],
        ["in/b.png", "in/ä.png", "", "a, b; c" if mark == "\t" else ""],
    ]
    rows += [["c.png", str(tmp_path / "in" / "b.png"), "harbour", ""], ["", "", "", ""]]
    (tmp_path / "pairs.csv").write_text(
        "\n".join(mark.join(row) for row in rows), encoding=encoding
    )
    folder = tmp_path / "in"
    assert find_pairs(tmp_path / "pairs.csv") == [
        (folder / "ä.png", folder / "b.png", "ä"),
        (folder / "b.png", tmp_path / "c.png", "harbour"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no column before and after"),
        (
            "first,after\nx.png,x.png\n",
            r"has no column before in its first line, but \['first', 'after'\]",
        ),
        ("before,after\n", "it has no line after the titles"),
        (
            "before,after\nx.png,\ny.png,x.png\n",
            "(?s)line 2: after '' is no file.*line 3: before 'y.png' is no file",
        ),
        ("before,after\nx.png\n", "line 2: after '' is no file"),
        (
            'before,after\n"x.png,x.png\n',
            r"csv, line 2: a quotation mark is opened and never closed",
        ),
        (
            'before,after\nx.png,"x".png\n',
            "line 2: a quotation mark is closed within a cell",
        ),
        (
            "before,after\nx.png," + "x" * 200_000,
            "line 2: a cell has more than 131,072 letters",
        ),
    ],
)
def test_tables_with_mistakes(tmp_path: Path, text: str, reason: str) -> None:
    touch(tmp_path, "x.png")
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        find_pairs(tmp_path / "pairs.csv")


def test_a_file_name_may_hold_a_line_end(tmp_path: Path) -> None:
    for date in ("before", "after"):
        touch(tmp_path, f"new\nline_{date}.png")
    assert [name for _, _, name in find_pairs(tmp_path)] == ["new\nline"]


def test_an_image_is_no_table(tmp_path: Path) -> None:
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    with pytest.raises(
        DataError, match=r"a\.png is no text in UTF-8 \(byte 0\); save it as UTF-8"
    ):
        find_pairs(tmp_path / "a.png")
