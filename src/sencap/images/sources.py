"""What may be handed over as an image from Python: paths, bytes, open files, Pillow
images, arrays, tensors, lists."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import ImageError, SettingsError, ShapeError
from sencap.files import not_a_file
from sencap.images.common import check_sides
from sencap.images.decode import Picture, decode, from_pillow
from sencap.images.options import USUAL, Read, Reading, adapted


class _Arraylike(Protocol):
    def __array__(self) -> NDArray[Any]: ...


class _Row(Protocol):
    """Nested lists, as far as types can say it."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: SupportsIndex, /) -> Any: ...


ImageSource = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | BinaryIO
    | Image.Image
    | _Arraylike
    | _Row
)

TAKEN = (
    "an image is a path, the bytes of a file, a file open in mode 'rb', a Pillow "
    "image, or whole numbers of type uint8 (0–255) or uint16 of the shape (H, W), "
    "(H, W, 3) or (3, H, W)"
)
_MOST_BYTES = 4 << 30


def read_source(source: ImageSource, label: str, reading: Reading = USUAL) -> Read:
    """Whatever may be an image as (3, H, W), uint8 or uint16, perhaps a view.

    ``label`` says in messages which image it is ("before"); files are called by their
    paths.

    Raises:
        ImageError: a file that is missing, damaged or refused; too small or too large.
        ShapeError: another kind of thing, another shape or type.
    """
    if isinstance(source, str | os.PathLike):
        return read_file(Path(source), reading)
    try:
        return _from_memory(source, reading)
    except ShapeError as error:
        raise ShapeError(f"{label}: {error}") from error.__cause__
    except ImageError as error:
        raise type(error)(f"{label}: {error}") from error.__cause__
    except SettingsError as error:  # bands that it does not have
        raise ImageError(f"{label}: {error}") from error.__cause__


def read_file(path: Path, reading: Reading = USUAL) -> Read:
    """An image file as (3, H, W), uint8 or uint16, perhaps a view; errors as
    `sencap.images.read_image` says."""
    if reason := not_a_file(path):
        raise ImageError(f"{path}: {reason}: give an image file")
    try:
        with path.open("rb") as file:
            read = _decoded(file, reading)
        return read._replace(notes=tuple(f"{path}: {note}" for note in read.notes))
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise ImageError(
            f"{path}: {error.strerror}: give an image file that you may read"
        ) from error


def _decoded(file: BinaryIO, reading: Reading) -> Read:
    """An open file's image; the errors of the decoders, of any kind, become ours."""
    try:
        return decode(file, reading)
    except ImageError:
        raise
    except SettingsError as error:  # bands that it does not have
        raise ImageError(str(error)) from error
    except MemoryError as error:
        raise ImageError(
            "there is too little memory for it: cut it into tiles first"
        ) from error
    except Exception as error:
        said = f" ({error})" if str(error) else ""
        raise ImageError(f"it is damaged or cut off, get it again{said}") from error


def _from_memory(source: Any, reading: Reading) -> Read:
    """An image that is no path."""
    # The surest kinds first; what is left is tried as an array.
    if isinstance(source, bytes | bytearray | memoryview):
        return _decoded(io.BytesIO(source), reading)
    if isinstance(source, Image.Image):
        return adapted(*_from_loaded(source), reading)
    if callable(getattr(source, "read", None)):
        return _decoded(io.BytesIO(_content(source)), reading)
    return adapted(*_from_array(source), reading)


def _from_loaded(image: Image.Image) -> Picture:
    """A Pillow image, whose file is decoded only now if it was opened and not yet
    used."""
    try:
        image.load()
    except Exception as error:  # as the decoders do; and a file that was closed before
        raise ImageError(f"this Pillow image cannot be decoded ({error})") from error
    return from_pillow(image)


def _content(file: Any) -> bytes:
    """What is left to read of an open file."""
    try:
        # One byte more than allowed is enough to see that it is too much.
        content = file.read(_MOST_BYTES + 1)
    # Not readable, closed, and what other people's files raise.
    except Exception as error:
        raise ImageError(f"this open file cannot be read ({error})") from error
    if not isinstance(content, bytes):
        raise ImageError("this file is not open in binary mode: open it with mode 'rb'")
    if not content:
        raise ImageError(
            "this open file is at its end: go back to its start with seek(0)"
        )
    return content


def _from_array(source: Any) -> Picture:
    """An array, a tensor or nested lists as a view (3, H, W) of uint8 or uint16, and
    its pixels with data: those that are not masked."""
    array = _as_levels(_as_array(source), is_list=isinstance(source, list | tuple))
    bands = _bands_first(array)
    check_sides(bands.shape[2], bands.shape[1])
    if not isinstance(source, np.ma.MaskedArray):
        return bands, None
    # A pixel that is masked in one of its bands holds no data.
    hidden = np.count_nonzero(_bands_first(np.ma.getmaskarray(source)), axis=0)
    return bands, None if not hidden.any() else hidden == 0


def _as_array(source: Any) -> NDArray[Any]:
    if getattr(source, "requires_grad", False) is True:
        raise ShapeError(
            "it is a tensor that requires grad: hand over tensor.detach(), as uint8"
        )
    # Any library's tensor may come, so it is asked by name and none is imported.
    device = str(getattr(source, "device", "cpu")).lower()
    if "cpu" not in device:
        raise ShapeError(
            f"it is on the device {device}: hand over a copy in the computer's own "
            "memory, as tensor.cpu()"
        )
    if isinstance(source, np.ma.MaskedArray):
        # Masked is no data, which is black as in files.
        return np.asarray(source.filled(0))
    if not (hasattr(source, "__array__") or isinstance(source, list | tuple)):
        raise ShapeError(f"it is {_named(source)}; {TAKEN}")
    try:
        return np.asarray(source)
    # Unequal lists, types that NumPy lacks, and what others raise.
    except Exception as error:
        hint = (
            "lists of unequal lengths?"
            if isinstance(source, list | tuple)
            else _named(source)
        )
        raise ShapeError(f"it cannot be made an array ({hint}); {TAKEN}") from error


def _as_levels(array: NDArray[Any], *, is_list: bool) -> NDArray[Any]:
    """The array as uint8 or uint16 of this computer's byte order; lists have no type,
    their numbers tell it."""
    if array.dtype.name in ("uint8", "uint16"):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    hint = ""
    if array.dtype.kind == "f":
        hint = ". For floats 0–1: (255 * image).round().astype('uint8')"
    elif is_list and array.dtype.kind in "iu" and array.size:
        least, most = array.min(), array.max()
        if least >= 0 and most <= 255:
            return array.astype(np.uint8)
        hint = f". Its numbers go from {least} to {most}; in lists they are 0–255"
    raise ShapeError(f"it is {array.dtype} {array.shape}; {TAKEN}{hint}")


def _bands_first(array: NDArray[Any]) -> NDArray[Any]:
    """A view (3, H, W). A shape cannot mean two things: no side of an image has three
    pixels or fewer."""
    shape = array.shape
    # A grey image has three equal bands, as a view without copies: (H, W) → (3, H, W).
    if array.ndim == 2:
        return np.broadcast_to(array, (3, *shape))
    if array.ndim == 3 and shape[0] in (1, 3):
        return np.broadcast_to(array, (3, *shape[1:]))
    if array.ndim == 3 and shape[2] in (1, 3):
        return np.broadcast_to(array.transpose(2, 0, 1), (3, *shape[:2]))
    hint = ""
    if array.ndim == 3 and 4 in (shape[0], shape[2]):
        hint = ". Of four bands leave out what is not red, green or blue, as image[..., :3] does"
    raise ShapeError(f"it is {array.dtype} {shape}; {TAKEN}{hint}")


def _named(source: Any) -> str:
    """What a thing is, for a message."""
    return "None" if source is None else f"of the type {type(source).__name__}"
