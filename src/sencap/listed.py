"""The row of each pair of a list: what `sencap caption --json` prints of it, and what
`sencap archive` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from sencap.bounds import check_numbers
from sencap.captioning import caption_details, caption_in_batches, read_or_reason
from sencap.errors import ImageError
from sencap.files import Closing
from sencap.images import Reading, resize
from sencap.images.lists import WINDOW, ListedPair
from sencap.images.options import USUAL
from sencap.images.windows import PairWindows, Window
from sencap.predictor import Predictor, told_if_one_file
from sencap.structures import Caption, ImagePair


def caption_list(
    predictor: Predictor,
    pairs: Sequence[ListedPair],
    *,
    batch_size: int = 16,
    reading: Reading = USUAL,
) -> Iterator[dict[str, Any]]:
    """The row of each pair of a list, in their order, as JSON values.

    A pair that cannot be read has a row too: its ``error`` says why, and what a caption
    would fill is empty. The rows are those of a whole list, whatever part of it
    ``pairs`` is, as long as the part begins where a batch of the whole does.
    """
    check_numbers(batch_size=batch_size)
    with ListReader(predictor.size, reading) as reader:
        found = caption_in_batches(
            predictor, len(pairs), lambda place: reader.read(pairs[place]), batch_size
        )
        for listed, (pair, caption) in zip(pairs, found, strict=True):
            if isinstance(pair, ImageError) or caption is None:
                yield _row(listed, error=str(pair))
                continue
            told = told_if_one_file(caption, listed.before, listed.after)
            yield _row(listed, told, pair.details)


def _row(
    listed: ListedPair,
    caption: Caption | None = None,
    read: Mapping[str, Any] = MappingProxyType({}),
    error: str | None = None,
) -> dict[str, Any]:
    """What is said of one pair of a list: the same keys, whether it could be read or
    not."""
    window: Sequence[int | None] = listed.window or (None,) * len(WINDOW)
    row: dict[str, Any] = {
        "id": listed.key,
        "number": listed.number,
        "before": str(listed.before),
        "after": str(listed.after),
        **dict(zip(WINDOW, window, strict=True)),
        "caption": None,
        "log_prob": None,
        "changed": None,
        "change_probability": None,
        "domain": None,
        "finished": None,
        "note": "",
        "read": dict(read),
        "alternatives": [],
        "error": error,
    }
    if caption is not None:
        row |= caption_details(caption)
        for name in ("change_probability", "domain", "finished", "note"):
            row[name] = getattr(caption, name)
        row["alternatives"] = [caption_details(other) for other in caption.alternatives]
    return row


class ListReader(Closing):
    """Reads the pairs of a list, and windows of large pairs. Rows that follow each
    other are often windows of one scene, which then stays open."""

    def __init__(self, size: int, reading: Reading) -> None:
        self._size, self._reading = size, reading
        self._files: tuple[Path, Path] | None = None
        self._open: PairWindows | None = None
        self._lock = Lock()  # a scene is for one thread at a time

    def read(self, listed: ListedPair) -> ImagePair | ImageError:
        """A pair at the model's size, or why it cannot be read."""
        if listed.window is None:
            files = listed.before, listed.after, listed.key
            return read_or_reason(files, self._size, self._reading)
        with self._lock:
            try:
                return self._window(listed, listed.window)
            except ImageError as error:
                return error

    def _window(self, listed: ListedPair, window: Window) -> ImagePair:
        files = listed.before, listed.after
        if self._open is None or self._files != files:
            self.close()
            self._open = PairWindows(*files, reading=self._reading)
            self._files = files
        scene = self._open
        bottom, right = window.row + window.height, window.column + window.width
        if bottom > scene.height or right > scene.width:
            raise ImageError(
                f"{listed.before}: the window {window} lies outside of the "
                f"{scene.height} rows and {scene.width} columns that both dates show"
            )
        pair = scene.read(window)
        if pair is None:
            raise ImageError(
                f"{listed.before}: too little of the window {window} holds data at "
                "both dates"
            )
        details = {"pixels": [window.width, window.height], **pair.details}
        return replace(resize(pair, self._size), details=details)

    def close(self) -> None:
        """Close the scene that is open."""
        if self._open is not None:
            self._open.close()
        self._open = self._files = None
