"""Two images of one place as an `ImagePair`, at their own size or reduced as they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.images.scale import LevelCounts, Levels, check_size, resize, stretched
from sencap.images.sources import ImageSource, read_file, read_source
from sencap.structures import ImagePair

# Bytes of an image of 16 bits that is rather read twice than kept while the other is read
_LARGE = 64 << 20


def read_image(path: str | Path) -> Levels:
    """One image file as (3, H, W), bands R, G, B: uint8 0–255, or uint16 where the file has more
    bits.

    Raises:
        ImageError: the file is missing, unreadable, damaged, of a kind that the head of
            `sencap.images` refuses, narrower than `MIN_SIDE`, or above `MAX_PIXELS` (told from its
            header, before it is decoded).
    """
    return np.ascontiguousarray(read_file(Path(path)))


def read_pair(
    before: str | Path, after: str | Path, name: str = "", *, size: int | None = None
) -> ImagePair:
    """Two image files of one size as an `ImagePair`; ``name`` is the file name of ``before`` if not
    given.

    Two images of 16 bits are stretched to 8 as `stretch` says, with the same stretch for both. With
    ``size`` the pair is that of `resize`, ``size`` × ``size`` pixels, pixel for pixel; but each
    image is reduced as soon as it is read, so that the whole pair is never in memory.

    Raises:
        ImageError: one cannot be read, their sizes differ, or one has 8 and the other 16 bits.
        SettingsError: a size below 1.
    """
    return as_pair(before, after, name=name or Path(before).name, size=size)


def as_pair(
    before: ImageSource, after: ImageSource, *, name: str = "", size: int | None = None
) -> ImagePair:
    """Two images of one size as an `ImagePair`: files or anything that the head of `sencap.images`
    names.

    ``size`` as in `read_pair`; ``name`` is the file name of ``before``, if it is a path and no
    other is given.

    Raises:
        ImageError: one cannot be read or is refused, the sizes differ, or one has 8 and the other
            16 bits.
        ShapeError: something that is no image, or an array of another shape or type.
        SettingsError: a size below 1.
    """
    if size is not None:
        check_size(size)
    label = _label(before, "before")
    first = read_source(before, label)
    one = _Known(label, first.shape, first.dtype)
    sides = first.shape[1:] if size is None else (size, size)
    result = np.empty((2, 3, *sides), np.uint8)
    counts = LevelCounts()
    kept: NDArray[Any] | None = None
    if one.dtype == np.uint8:
        result[0] = _reduced(first, size)
    else:
        # the stretch is a common one, so it is known only when the second is read too
        counts.add(first)
        read_twice = first.nbytes > _LARGE and size is not None and _is_path(before)
        if not read_twice:
            kept = first
    del first  # of two large images only one at a time is in memory as a whole
    second = read_source(after, _label(after, "after"))
    _check_alike(one, _Known(_label(after, "after"), second.shape, second.dtype))
    if one.dtype == np.uint8:
        result[1] = _reduced(second, size)
    else:
        counts.add(second)
        tables = counts.tables()
        result[1] = stretched(second, tables, size)
        del second
        if kept is None:
            kept = read_source(before, label)
        result[0] = stretched(kept, tables, size)
    return ImagePair(result, name or _file_name(before))


class _Known(NamedTuple):
    """What is known of an image that may be let go."""

    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _reduced(image: NDArray[Any], size: int | None) -> NDArray[np.uint8]:
    return image if size is None else resize(image, size)


def _check_alike(one: _Known, other: _Known) -> None:
    """Refuse two images of different sizes, or of 8 and 16 bits."""
    if one.shape != other.shape:
        sizes = [f"{known.label} is {known.shape[2]}×{known.shape[1]}" for known in (one, other)]
        what = f"the two images differ in size: {', '.join(sizes)} pixels"
        raise ImageError(f"{what}. Cut or resample them to the same ground.")
    if one.dtype != other.dtype:
        types = f"{one.label} is {one.dtype} and {other.label} {other.dtype}"
        raise ImageError(
            f"{types}: there is no common scale. Export both with the same number of bits."
        )


def _is_path(source: ImageSource) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(source, str | os.PathLike)


def _label(source: ImageSource, date: str) -> str:
    """How messages call an image: by its path, or by its date."""
    return str(source) if _is_path(source) else date


def _file_name(source: ImageSource) -> str:
    return Path(source).name if _is_path(source) else ""
