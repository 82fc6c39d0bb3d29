"""Files that were sent: on the disk without a name, so that nothing of them is left
even after a kill; and as pairs, read within the server's limits."""

from __future__ import annotations

import io
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import UploadFile

from sencap.errors import ImageError, SencapError
from sencap.images import ImageSource, Reading, as_pair
from sencap.images.common import check_sides, most_pixels
from sencap.images.ground import as_rasters
from sencap.rasters import Raster
from sencap.serving.problems import KindError, Refused
from sencap.structures import ImagePair

# Linux's: a path to an open file that has no name.
_OPEN_FILES = Path("/proc/self/fd")
# The first bytes of PNG, JPEG and WebP, and of TIFF and BigTIFF in both byte orders.
_KINDS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
)


class Upload:
    """A file that was sent, with no name on the disk; it is there as long as this
    object is.

    ``source`` is what `sencap.images` reads: a path to the open file where the system
    has such (then a georeference in it is heeded), else its content.
    """

    def __init__(self, file: UploadFile, label: str) -> None:
        self.label = label
        opened: Any = file.file
        opened.seek(0)
        # Twelve bytes are enough to know the kind; the name and the type that the
        # client gave are not believed.
        self.head: bytes = opened.read(12)
        self.source: ImageSource
        if _OPEN_FILES.is_dir():
            # A small upload is still in memory; to ask for its number moves it to a
            # file. Our own handle outlives the request's, which a scan needs.
            handle = os.dup(opened.fileno())
            opened.flush()
            # The file has no name, so closing the last handle deletes it.
            weakref.finalize(self, os.close, handle)
            self.source = _OPEN_FILES / str(handle)
        else:
            opened.seek(0)
            self.source = io.BytesIO(opened.read())

    def check_kind(self) -> None:
        """Refuse what is no image by its first bytes."""
        if not self.head:
            raise ImageError(f"{self.label}: the file is empty")
        if not self.head.startswith(_KINDS):
            raise KindError(
                f"{self.label}: by its content it is no PNG, JPEG, WebP or TIFF image"
            )


@dataclass(frozen=True)
class UploadedPair:
    """Two files that were sent as one pair."""

    before: Upload
    after: Upload

    def read(self, size: int, reading: Reading, pixels: int) -> ImagePair:
        """The pair at the model's size, each image of at most so many pixels; errors as
        `within` and `sencap.images.as_pair`."""
        with self.within(pixels):
            pair = as_pair(
                self.before.source, self.after.source, size=size, reading=reading
            )
        notes = tuple(self.without_paths(note) for note in pair.notes)
        return ImagePair(pair.images, "", notes, pair.details)

    @contextmanager
    def within(self, pixels: int, *, as_scene: bool = False) -> Iterator[None]:
        """Allow images of so many pixels in the block, and let its errors name the
        files by what they were sent as. ``as_scene``: whatever they are, they are read
        as rasters.

        Raises:
            KindError, TooLargeError: a file is no image, or has more pixels.
        """
        try:
            with most_pixels(pixels):
                self.check_kinds()
                self._check_rasters(every=as_scene)
                yield
        except SencapError as error:
            # The class decides the status of the answer, so it stays the same.
            raise type(error)(self.without_paths(str(error))) from error

    def check_kinds(self) -> None:
        """Refuse what is no image by its first bytes."""
        self.before.check_kind()
        self.after.check_kind()

    def _check_rasters(self, *, every: bool) -> None:
        """Refuse georeferenced files of too many pixels, which elsewhere may be of any
        size."""
        sources = self.before.source, self.after.source
        # Rasters are read in parts, so reading them does not check their size.
        paths = sources if every else as_rasters(*sources) or ()
        for path in paths:
            assert isinstance(path, Path)
            with Raster(path) as raster:
                width, height = raster.own.width, raster.own.height
            try:
                check_sides(width, height)
            except ImageError as error:
                raise type(error)(f"{path}: {error}") from error

    def without_paths(self, text: str) -> str:
        """A text in which the files are called by what they were sent as."""
        for upload in (self.before, self.after):
            if isinstance(upload.source, Path):
                # The path ends in the handle's number, and 1 is also the beginning of
                # 12.
                text = re.sub(
                    rf"{re.escape(str(upload.source))}(?!\d)", upload.label, text
                )
        return text


def pairs_of(
    before: Sequence[UploadFile], after: Sequence[UploadFile], most: int
) -> list[UploadedPair]:
    """The pairs that a request sent, in its order.

    Raises:
        Refused: not as many of one date as of the other, or too many.
    """
    if len(before) != len(after):
        raise Refused(
            422, f"there are {len(before)} files before and {len(after)} after"
        )
    if len(before) > most:
        raise Refused(413, f"a request may have {most} pairs; these are {len(before)}")
    pairs = []
    for number, (one, other) in enumerate(zip(before, after, strict=True), start=1):
        # With one pair, errors say "before"; with several, "before 2".
        place = "" if len(before) == 1 else f" {number}"
        pairs.append(
            UploadedPair(Upload(one, f"before{place}"), Upload(other, f"after{place}"))
        )
    return pairs
