"""The bytes of a PNG, JPEG, WebP or TIFF file as an array; what each becomes stands at
the head of `sencap.images`."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sencap.errors import ImageError
from sencap.images.common import ORIENTATION, check_sides, turn
from sencap.images.options import USUAL, Read, Reading, adapted
from sencap.images.scale import row_blocks
from sencap.images.tiff import read_tiff
from sencap.rasters import Mask

# (3, H, W), and its pixels with data (None: all).
Picture = tuple[NDArray[Any], Mask | None]

# Of a PNG, JPEG or WebP: twice what the pixels allowed take without compression
_MOST_BYTES = 1 << 30
_MOST_BYTES_OF_TIFF = 4 << 30  # twice what one page may take, for its overviews


def decode(file: BinaryIO, reading: Reading = USUAL) -> Read:
    """The image (3, H, W) of an open file, uint8 or uint16, perhaps a view; its first
    bytes tell its kind.

    Raises:
        ImageError: it is refused; the message does not name the file.
        Exception: of any kind, by the decoders, for damaged files.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if not head:
        raise ImageError("the file is empty")
    # "II" and "MM" are the two byte orders, "*" a usual TIFF and "+" a BigTIFF.
    is_tiff = head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
    most = _MOST_BYTES_OF_TIFF if is_tiff else _MOST_BYTES
    if size > most:
        raise ImageError(
            f"it is a file of {size / 1e9:,.1f} GB, more than an image may take: cut "
            "it into tiles"
        )
    if is_tiff:
        return read_tiff(file, size, reading)
    return adapted(*_picture(file, head), reading)


def _picture(file: BinaryIO, head: bytes) -> Picture:
    """A PNG, JPEG or WebP."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        # A PNG's first chunk, IHDR, has its sides at byte 16: they are known before
        # anything is decoded. A small file can claim billions of pixels.
        width, height, bits = struct.unpack(">IIB", head[16:25])
        check_sides(width, height)
        if not _holds(file, b"IEND"):
            raise ImageError(
                "it is cut off: it ends before its last chunk, IEND; get it again"
            )
        if bits == 16:
            return _read_deep_png(file)
        return _read_picture(file, PngImageFile)
    if head.startswith(b"\xff\xd8\xff"):
        return _read_picture(file, JpegImageFile)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        check_sides(*_webp_sides(head))
        return _read_picture(file, WebPImageFile)
    raise ImageError(
        "by its content it is no PNG, JPEG, WebP or TIFF image: convert it first"
    )


def from_pillow(image: Image.Image) -> Picture:
    """A Pillow image as (3, H, W), laid over black and turned as its EXIF says; uint16
    for its modes I;16.

    Raises:
        ImageError: its values are 32-bit numbers, or it is too small or too large.
    """
    check_sides(*image.size)
    valid: Mask | None = None
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16, copy=False)
        bands: NDArray[Any] = np.broadcast_to(grey, (3, *grey.shape))
    elif image.mode in ("I", "F"):
        raise ImageError(
            f"its values are of Pillow's mode {image.mode}: hand over an array of "
            "uint8 or uint16"
        )
    else:
        bands, valid = _rgb(image)
    return _turned(bands, valid, image.getexif().get(ORIENTATION, 1))


def _turned(bands: NDArray[Any], valid: Mask | None, orientation: int) -> Picture:
    """Both as EXIF's orientation wants them seen."""
    if valid is not None:
        valid = turn(valid[None], orientation)[0]
    return turn(bands, orientation), valid


def _rgb(image: Image.Image) -> Picture:
    """Its red, green and blue, block by block: Pillow's copies of a whole image would
    take a GB."""
    width, height = image.size
    # Of a pixel that is wholly transparent no colour is seen, so it holds no data.
    see_through = image.has_transparency_data
    bands = np.empty((3, height, width), np.uint8)
    valid = np.ones((height, width), np.bool_) if see_through else None
    for rows in row_blocks(height, width):
        block = image.crop((0, rows.start, width, rows.stop))
        if valid is not None:
            coloured = block.convert("RGBA")
            valid[rows] = np.asarray(coloured.getchannel("A")) > 0
            block = Image.alpha_composite(
                Image.new("RGBA", block.size, "black"), coloured
            )
        bands[:, rows] = np.asarray(block.convert("RGB")).transpose(2, 0, 1)
    return bands, _or_none(valid)


def _or_none(valid: Mask | None) -> Mask | None:
    """The mask, or None where all pixels hold data."""
    return None if valid is None or valid.all() else valid


def _read_picture(
    file: BinaryIO, reader: Callable[[BinaryIO], ImageFile.ImageFile]
) -> Picture:
    """An 8-bit PNG, JPEG or WebP by Pillow, past `Image.open` with its warnings about
    large images."""
    with reader(file) as image:
        check_sides(*image.size)
        if getattr(image, "is_animated", False):
            raise ImageError("it is an animation: save the one frame that you mean")
        if reader is WebPImageFile and image.mode == "RGB":
            # The same library and pixels, but Pillow decodes as if for an animation, with
            # four copies.
            file.seek(0)
            bands: NDArray[np.uint8] = imagecodecs.webp_decode(file.read()).transpose(
                2, 0, 1
            )
            return _turned(bands, None, image.getexif().get(ORIENTATION, 1))
        image.load()
        return from_pillow(image)


def _read_deep_png(file: BinaryIO) -> Picture:
    """A 16-bit PNG, whose low bytes Pillow would drop."""
    with PngImageFile(file) as opened:
        turned = opened.getexif().get(ORIENTATION, 1)
    file.seek(0)
    image: NDArray[np.uint16] = imagecodecs.png_decode(file.read())
    # (H, W) or (H, W, bands) → (bands, H, W). Of two or four bands the last is alpha.
    bands = np.atleast_3d(image).transpose(2, 0, 1)
    valid = None
    if len(bands) in (2, 4):
        valid = _or_none(bands[-1] > 0)
        bands = _over_black(bands)
    return _turned(np.broadcast_to(bands, (3, *bands.shape[1:])), valid, turned)


def _over_black(bands: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The bands but the last, which is alpha, laid over black."""
    result = np.empty((len(bands) - 1, *bands.shape[1:]), np.uint16)
    for rows in row_blocks(*bands.shape[1:]):
        colours, alpha = bands[:-1, rows].astype(np.uint32), bands[-1, rows]
        # Colour · alpha / 65535, rounded: half of the divisor is added before the
        # division. A product of two 16-bit numbers needs 32 bits.
        result[:, rows] = (colours * alpha + 0x7FFF) // 0xFFFF
    return result


def _holds(file: BinaryIO, word: bytes) -> bool:
    """Whether a word is anywhere in a file, which is read from its start and put back
    to it."""
    end, found = b"", False
    while not found and (block := file.read(1 << 20)):
        found = word in end + block
        # The word may lie across two blocks, so the end of one is looked at with the
        # next.
        end = block[1 - len(word) :]
    file.seek(0)
    return found


def _webp_sides(head: bytes) -> tuple[int, int]:
    """Width and height of a WebP file from its first 32 bytes.

    Its three kinds write them at three places, and with one subtracted or not.
    """
    kind = head[12:16]
    if kind == b"VP8X":
        first, step, bits, more = 24, 24, 24, 1
    elif kind == b"VP8L":
        first, step, bits, more = 21, 14, 14, 1
    else:
        first, step, bits, more = 26, 16, 14, 0
    # Both sides are read as one number: the width in its lowest bits, the height
    # ``step`` bits higher.
    sides, mask = int.from_bytes(head[first:30], "little"), (1 << bits) - 1
    return (sides & mask) + more, (sides >> step & mask) + more
