"""Image files in, arrays out: one image, a pair, several pairs. A refusal says which file, why, what to do.

A file is told by its content, not by its name. What becomes of it:

- **PNG, JPEG, WebP** of any kind: grey and 1-bit become three equal bands; palettes and CMYK become RGB; the
  rotation that EXIF asks for is done; colour profiles are ignored. Transparent pixels are laid over black,
  the usual colour of "no data": what a file stores beneath them is arbitrary. Animations are refused.
- **TIFF** of one page (overviews and masks do not count), bands first or last, any byte order, any usual
  compression: the first three bands are R, G, B, one band is grey, others are ignored. A fourth band is never
  taken for alpha, even where the file calls it so: it is near infrared more often.
- **16 bits** stay 16 bits in `read_image`; `read_pair` brings both dates to 8 bits by one common stretch.
  Signed 16-bit values below 0 (no data) become 0. Floats are reflectance: 0–6.5535 become 0–65535, so that
  1.0 is 10000 as in Sentinel-2's files, and values below 0 become 0; NaN, infinity and more are refused.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sencap.errors import DataError, ImageError, SettingsError, ShapeError
from sencap.structures import ImagePair

MIN_SIDE = 32
MAX_PIXELS = 64_000_000
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")

_ORIENTATION = 0x0112
_MARKS = (("before", "after"), ("a", "b"), ("1", "2"))

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # keeps it from stderr: we raise an error
Levels = NDArray[np.uint8] | NDArray[np.uint16]
Pairs = list[tuple[Path, Path, str]]
ImageSource = str | Path | NDArray[np.uint8]


def read_image(path: str | Path) -> Levels:
    """One image file as (3, H, W), bands R, G, B: uint8 0–255, or uint16 where the file has more bits.

    Raises:
        ImageError: the file is missing, unreadable, damaged, of a kind that the head of this module refuses,
            narrower than `MIN_SIDE`, or above `MAX_PIXELS` (told from its header, before it is decoded).
    """
    path = Path(path)
    try:
        return np.ascontiguousarray(_decode(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error.__cause__
    except (FileNotFoundError, PermissionError) as error:
        raise ImageError(f"{path}: {error.strerror}: give an image file that you may read") from error
    except Exception as error:  # the decoders raise errors of any kind for damaged files
        raise ImageError(
            f"{path}: it is damaged or cut off, get it again ({error or type(error)})"
        ) from error


def read_pair(before: str | Path, after: str | Path, name: str = "") -> ImagePair:
    """Two image files of one size as an `ImagePair`; ``name`` is the file name of ``before`` if not given.

    Two images of 16 bits are stretched to 8 as `stretch` says, with the same stretch for both.

    Raises:
        ImageError: one cannot be read, their sizes differ, or one has 8 and the other 16 bits.
    """
    first, second = read_image(before), read_image(after)
    sizes = [f"{image.shape[2]}×{image.shape[1]}" for image in (first, second)]
    if sizes[0] != sizes[1]:
        what = f"the two images differ in size: {before} is {sizes[0]}, {after} is {sizes[1]} pixels"
        raise ImageError(f"{what}. Cut or resample them to the same ground.")
    if first.dtype != second.dtype:
        what = f"{before} is {first.dtype} and {after} {second.dtype}: there is no common scale"
        raise ImageError(f"{what}. Export both with the same number of bits.")
    images: Any = np.stack([first, second])
    return ImagePair(stretch(images), name or Path(before).name)


def as_pair(before: ImageSource, after: ImageSource) -> ImagePair:
    """Two files, or two uint8 arrays (3, H, W) or (H, W, 3) of one size, as an `ImagePair`."""
    if isinstance(before, str | Path) and isinstance(after, str | Path):
        return read_pair(before, after)
    if isinstance(before, str | Path) or isinstance(after, str | Path):
        raise SettingsError("before and after must both be paths or both be arrays")
    return ImagePair(np.stack([_channels_first(before), _channels_first(after)]))


def stretch(images: Levels) -> NDArray[np.uint8]:
    """Images (…, 3, H, W) of one place as uint8; uint8 stays as it is.

    uint16 is mapped linearly, band by band, so that the 2nd percentile becomes 0 and the 98th 255. The
    percentiles are those of all images together, so what is unchanged stays unchanged. Pixels that are 0 in
    all three bands (no data) do not count.

    Raises:
        ShapeError: another shape or type.
    """
    _check_bands(images, "uint8", "uint16")
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    levels = np.arange(1 << 16)
    data = images.any(axis=-3)
    result = np.empty(images.shape, np.uint8)
    for band in range(3):
        values = images[..., band, :, :]
        share = np.bincount(values[data] if data.any() else values.ravel(), minlength=levels.size).cumsum()
        low, high = np.searchsorted(share, [0.02 * share[-1], 0.98 * share[-1]])
        table = np.clip((levels - low) * (255 / max(high - low, 1)), 0, 255).round().astype(np.uint8)
        result[..., band, :, :] = table[values]
    return result


@overload
def resize(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]: ...
@overload
def resize(images: ImagePair, size: int) -> ImagePair: ...
def resize(images: NDArray[np.uint8] | ImagePair, size: int) -> NDArray[np.uint8] | ImagePair:
    """Images uint8 (…, 3, H, W), or an `ImagePair`, at ``size`` × ``size`` pixels: bilinear, antialiased.

    Images of that size already are returned as they are. What is not square is squeezed.

    Raises:
        SettingsError: a size below 1.
        ShapeError: another shape or type.
    """
    if not isinstance(images, np.ndarray):
        return dataclasses.replace(images, images=resize(images.images, size))
    _check_bands(images, "uint8")
    if size < 1:
        raise SettingsError(f"size is {size} pixels, but must be at least 1")
    if images.shape[-2:] == (size, size):
        return images
    flat = np.moveaxis(images.reshape(-1, *images.shape[-3:]), 1, -1)
    sized = [Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR) for image in flat]
    return np.moveaxis(np.stack([np.asarray(image) for image in sized]), -1, 1).reshape(
        *images.shape[:-2], size, size
    )


def find_pairs(source: str | Path) -> Pairs:
    """The pairs (before, after, name) that a folder or a CSV file names, by name or in the CSV's order.

    A folder holds two folders ``before`` and ``after`` (or ``A`` and ``B``, ``1`` and ``2``) with files of
    the same names; or files ``<name>_before.png`` and ``<name>_after.png`` (or ``_A`` and ``_B``, ``_1`` and
    ``_2``; or with no ``<name>`` at all), suffixes free. A CSV file has the columns ``before`` and ``after``,
    perhaps ``name``, parted by commas, semicolons or tabs; paths are relative to its folder.

    Raises:
        DataError: nothing there, no pair in it, missing columns; files missing or without a partner.
    """
    source = Path(source)
    if source.is_file():
        return _pairs_of_table(source)
    if not source.is_dir():
        raise DataError(f"{source} does not exist: give a folder of pairs or a CSV file")
    folders = {entry.name.lower(): entry for entry in sorted(source.iterdir()) if entry.is_dir()}
    for marks in _MARKS:
        if set(marks) <= set(folders):
            both = [(date, file) for date in (0, 1) for file in _images(folders[marks[date]])]
            return _match(source, [(file.stem, date, file) for date, file in both])
    files = _images(source)
    for marks in _MARKS:
        pattern = re.compile(rf"(?:(.*)[_-])?({'|'.join(marks)})", re.IGNORECASE)
        found = [(pattern.fullmatch(file.stem), file) for file in files]
        listed = [(m[1] or source.resolve().name, marks.index(m[2].lower()), file) for m, file in found if m]
        if listed:
            return _match(source, listed, [file for match, file in found if not match])
    wanted = "folders A and B, or before and after; or files <name>_before.png and <name>_after.png"
    raise DataError(f"{source} holds no pairs, but {len(files)} other images: expected {wanted}")


def _decode(path: Path) -> NDArray[Any]:
    """The image of a file, whose first bytes tell its kind; ImageError without the file's name."""
    if path.is_dir():
        raise ImageError("it is a folder: give an image file")
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        raise ImageError("the file is empty")
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _read_tiff(path)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height, bits = struct.unpack(">IIB", head[16:25])
        _check_size(width, height)
        if b"IEND" not in path.read_bytes():
            raise ImageError("it is cut off: it ends before its last chunk, IEND; get it again")
        return _read_deep_png(path) if bits == 16 else _read_picture(path, PngImageFile)
    if head.startswith(b"\xff\xd8\xff"):
        return _read_picture(path, JpegImageFile)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        _check_size(*_webp_size(head))
        return _read_picture(path, WebPImageFile)
    raise ImageError("by its content it is no PNG, JPEG, WebP or TIFF image: convert it first")


def _read_picture(path: Path, reader: Callable[[Path], ImageFile.ImageFile]) -> NDArray[np.uint8]:
    """An 8-bit PNG, JPEG or WebP by Pillow, past `Image.open` with its warnings about large images."""
    with reader(path) as file:
        _check_size(*file.size)
        if getattr(file, "is_animated", False):
            raise ImageError("it is an animation: save the one frame that you mean")
        file.load()
        image: Image.Image = file
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", file.size, "black"), image.convert("RGBA"))
        rgb = np.asarray(image.convert("RGB"))
        return _turn(rgb.transpose(2, 0, 1), file.getexif().get(_ORIENTATION, 1))


def _read_deep_png(path: Path) -> NDArray[np.uint16]:
    """A 16-bit PNG, whose low bytes Pillow would drop."""
    with PngImageFile(path) as file:
        turned = file.getexif().get(_ORIENTATION, 1)
    image: NDArray[np.uint16] = imagecodecs.png_decode(path.read_bytes())
    bands = np.atleast_3d(image).transpose(2, 0, 1)
    if len(bands) in (2, 4):
        bands = ((bands[:-1].astype(np.uint32) * bands[-1] + 0x7FFF) // 0xFFFF).astype(np.uint16)
    return _turn(np.broadcast_to(bands, (3, *bands.shape[1:])), turned)


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if not page.subfiletype & 0b101]
        if len(pages) != 1:
            raise ImageError(f"it holds {len(pages)} pages: save the one that you mean")
        page = pages[0]
        _check_size(page.imagewidth, page.imagelength)
        bands = page.samplesperpixel
        if page.imagedepth > 1 or page.nbytes > 2 << 30:  # bytes, decoded
            raise ImageError(f"it has {bands} bands, {page.imagedepth} deep: save three bands of it")
        if bands == 2 and not set(page.extrasamples) & {1, 2}:
            raise ImageError("it has 2 bands: neither grey (1) nor red, green, blue (3 or more)")
        kind = page.photometric
        if kind not in (0, 1, 2, 3) and not (kind == 6 and page.compression in (6, 7)):
            raise ImageError(f"its colours are {getattr(kind, 'name', kind)}: convert it to RGB")
        if max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))) > path.stat().st_size:
            raise ImageError("it is cut off: it ends before its data do; get it again")
        image = page.asarray()
        if "S" in page.axes:
            image = np.moveaxis(image, page.axes.index("S"), 0)
        image = image.reshape(-1, page.imagelength, page.imagewidth)[: 3 if bands >= 3 else 1]
        if kind == 3:
            table = np.asarray(page.colormap)
            image = (table >> 8 if table.max() > 0xFF else table).astype(np.uint8)[:, image[0]]
        else:
            image = _levels(image, page.bitspersample)
            image = ~image if kind == 0 else image
        turned = page.tags.valueof(_ORIENTATION, default=1)
        return _turn(np.broadcast_to(image, (3, *image.shape[1:])), turned)


def _levels(image: NDArray[Any], bits: int) -> Levels:
    """The samples of a TIFF as uint8 or uint16 (see the head of this module)."""
    if bits in (1, 2, 4):
        return image.astype(np.uint8) * np.uint8(255 // ((1 << bits) - 1))
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(image.dtype.newbyteorder("="))
    if image.dtype == np.int16:
        return image.clip(0).astype(np.uint16)
    if image.dtype.kind != "f":
        raise ImageError(f"its values are {image.dtype}: store them as uint8 or uint16")
    if lost := int(np.sum(~np.isfinite(image))):
        raise ImageError(f"{lost} of its values are NaN or infinite: fill them, say with 0")
    if image.max() > 6.5535:
        raise ImageError(f"floats are reflectance 0–1, its reach {image.max():g}: store them as uint16")
    return (image.clip(0).astype(np.float64) * 10_000).round().astype(np.uint16)


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of a WebP file from its first 32 bytes."""
    first, bits = {b"VP8X": (24, 24), b"VP8L": (21, 14)}.get(head[12:16], (26, 16))
    sides = int.from_bytes(head[first:30], "little")
    more, mask = int(bits != 16), (1 << bits if bits != 16 else 1 << 14) - 1
    return (sides & mask) + more, (sides >> bits & mask) + more


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"it is {width}×{height} pixels, but each side must have at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise ImageError(f"it is {width}×{height} pixels, above {MAX_PIXELS:,}: cut it into tiles first")


def _check_bands(images: NDArray[Any], *types: str) -> None:
    if images.ndim < 3 or images.shape[-3] != 3 or 0 in images.shape or images.dtype.name not in types:
        raise ShapeError(f"expected {' or '.join(types)} (…, 3, H, W); got {images.dtype} {images.shape}")


def _turn(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image (3, H, W) as EXIF's orientation 1–8 wants it seen; other values are ignored."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(1, 2)
    rows, columns = (-1 if orientation in turned else 1 for turned in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return image[:, ::rows, ::columns]


def _channels_first(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        return image.transpose(2, 0, 1)
    return image


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("[!.]*") if file.suffix.lower() in IMAGE_SUFFIXES)


def _match(source: Path, listed: Sequence[tuple[str, int, Path]], others: Sequence[Path] = ()) -> Pairs:
    """Pairs of files (name, date 0 or 1, file), all of which must have exactly one partner."""
    dates: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    problems = [f"{file.relative_to(source)} is of neither date" for file in others]
    for name, date, file in listed:
        if dates[date].setdefault(name, file) is not file:
            problems.append(f"{file.relative_to(source)} and {dates[date][name].name} have the same name")
    for date, missing in enumerate(("after", "before")):
        alone = sorted(set(dates[date]) - set(dates[1 - date]))
        problems += [f"{dates[date][name].relative_to(source)} has no image {missing}" for name in alone]
    problems += [] if listed else ["its two folders hold no images"]
    _refuse(source, problems)
    return [(dates[0][name], dates[1][name], name) for name in sorted(dates[0])]


def _pairs_of_table(source: Path) -> Pairs:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
        mark = max(",;\t", key=lines[0].count) if lines else ","
        rows = list(csv.reader(lines, delimiter=mark, strict=True)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} cannot be read as a CSV file in UTF-8: {error}") from error
    columns = [title.strip().lower() for title in rows[0]]
    if missing := [title for title in ("before", "after") if title not in columns]:
        raise DataError(f"{source} has no column {' and '.join(missing)} in its first line, but {columns}")
    pairs, problems = Pairs(), []
    for number, row in enumerate(rows[1:], 2):
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        before, after = (source.parent / cells.get(title, "") for title in ("before", "after"))
        for title, file in (("before", before), ("after", after)):
            if not file.is_file():
                problems.append(f"line {number}: {title} {cells.get(title, '')!r} is no file")
        pairs.append((before, after, cells.get("name") or before.stem))
    _refuse(source, problems if pairs else ["it has no line after the titles"])
    return pairs


def _refuse(source: Path, problems: Sequence[str]) -> None:
    if problems:
        raise DataError("\n  ".join([f"{source} cannot be read as pairs:", *problems]))
