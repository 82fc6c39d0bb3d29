"""Captions of many pairs of files, and a picture of each; captions of one large pair's
windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sencap.ahead import ahead
from sencap.bounds import check_numbers
from sencap.errors import ImageError
from sencap.files import file_name
from sencap.images import Reading, read_pair, shrink
from sencap.images.options import USUAL
from sencap.images.windows import PairWindows, Window, windows_of
from sencap.predictor import Predictor, told_if_one_file
from sencap.structures import Caption, ImagePair
from sencap.weights import Weights

_MOST_TOLD = 20  # pairs in one refusal
# Before, after, name: as `sencap.images.find_pairs` gives them.
Files = tuple[Path, Path, str]


@dataclass(frozen=True)
class CaptionedFiles:
    """Two files and what was said of them; ``number`` is the pair's place among all
    that were given, from 0; ``read`` what was chosen as they were read, as JSON
    values; ``weights`` those that captioned."""

    number: int
    before: Path
    after: Path
    name: str
    caption: Caption
    read: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading = USUAL
    weights: Weights | None = None

    def details(self, picture: Path | None = None) -> dict[str, Any]:
        """For JSON; ``picture`` is the file in which the pair is drawn."""
        return {
            "name": self.name,
            "before": str(self.before),
            "after": str(self.after),
            **caption_details(self.caption),
            "change_probability": self.caption.change_probability,
            "domain": self.caption.domain,
            "finished": self.caption.finished,
            "note": self.caption.note,
            "picture": None if picture is None else str(picture),
            "read": dict(self.read),
            "weights": None if self.weights is None else self.weights.record(),
            "alternatives": [
                caption_details(other) for other in self.caption.alternatives
            ],
        }

    def draw(self, picture: Path) -> None:
        """Write before, after and the sentence as one picture.

        Raises:
            ImageError, OutputError: a file that can no longer be read, or a picture
                that cannot be written.
        """
        # Imported late: most captions are not drawn, and starts should be quick.
        from sencap.figures.pair import LONGEST, draw_pair, save_picture  # noqa: PLC0415

        # Read again: while many pairs are captioned, none is kept at its full size.
        pair = shrink(read_pair(self.before, self.after, reading=self.reading), LONGEST)
        save_picture(draw_pair(pair, self.caption.text), picture)


def caption_details(caption: Caption) -> dict[str, Any]:
    """What is said, for JSON."""
    return {
        "caption": caption.text,
        "log_prob": round(caption.log_prob, 6),
        "changed": caption.changed,
    }


def read_first(
    files: Sequence[Files], size: int, reading: Reading = USUAL
) -> dict[int, ImagePair | ImageError]:
    """What reading gives of the pairs up to the first that can be read, by their
    places, for `caption_files`: so that no model is loaded where none can.

    Raises:
        ImageError: none can; why, of each.
    """
    # What was read here is not lost: `caption_files` takes it as ``already``.
    found: dict[int, ImagePair | ImageError] = {}
    for number, pair in enumerate(files):
        found[number] = read_or_reason(pair, size, reading)
        if isinstance(found[number], ImagePair):
            return found
    # A folder of the wrong kind can hold thousands of files: a refusal stays readable.
    told = [str(error) for error in found.values()]
    if len(told) > _MOST_TOLD:
        told[_MOST_TOLD:] = [
            f"… and {len(told) - _MOST_TOLD:,} pairs more that cannot be read"
        ]
    raise ImageError("\n".join(told))


def read_or_reason(pair: Files, size: int, reading: Reading) -> ImagePair | ImageError:
    """A pair at the model's size, or why it cannot be read."""
    before, after, name = pair
    try:
        return read_pair(before, after, name, size=size, reading=reading)
    except ImageError as error:
        return error


def caption_files(
    predictor: Predictor,
    files: Sequence[Files],
    problems: list[str],
    *,
    batch_size: int = 16,
    reading: Reading = USUAL,
    already: Mapping[int, ImagePair | ImageError] = MappingProxyType({}),
) -> Iterator[CaptionedFiles]:
    """Caption pairs of files in batches; what cannot be read is told in ``problems``
    and left out.

    Files are read in threads, ahead of the model; ``already`` is what `read_first` read
    of them, at the predictor's size.
    """
    check_numbers(batch_size=batch_size)

    def read(number: int) -> ImagePair | ImageError:
        if number in already:
            return already[number]
        return read_or_reason(files[number], predictor.size, reading)

    def captioned() -> Iterator[CaptionedFiles]:
        found = caption_in_batches(predictor, len(files), read, batch_size)
        for number, (pair, caption) in enumerate(found):
            if isinstance(pair, ImageError):
                problems.append(str(pair))
            elif caption is not None:
                before, after, name = files[number]
                told = told_if_one_file(caption, before, after)
                yield CaptionedFiles(
                    number,
                    before,
                    after,
                    name,
                    told,
                    pair.details,
                    reading,
                    predictor.weights,
                )

    return captioned()


def caption_in_batches(
    predictor: Predictor,
    count: int,
    read: Callable[[int], ImagePair | ImageError],
    batch_size: int,
) -> Iterator[tuple[ImagePair | ImageError, Caption | None]]:
    """So many pairs in their order, as ``read`` gives them by number, in threads ahead
    of the model; each with its caption, if it could be read."""
    found = ahead(read, range(count))
    # Batches by the place in the list: the last digits of a probability depend on the
    # batch, and a pair that cannot be read must not move others to another one.
    while batch := list(islice(found, batch_size)):
        pairs = [pair for pair in batch if isinstance(pair, ImagePair)]
        # ``stream`` is lazy and gives captions in order: one is taken for each pair
        # that could be read, and none for the others.
        captions = predictor.stream(pairs, batch_size=batch_size)
        for pair in batch:
            yield pair, next(captions) if isinstance(pair, ImagePair) else None


@dataclass(frozen=True)
class CaptionedWindow:
    """A window of a pair, in pixels of the ground that both dates show, and what was
    said of it."""

    window: Window
    caption: Caption

    def details(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.window._asdict(),
            **caption_details(self.caption),
            "change_probability": self.caption.change_probability,
            "domain": self.caption.domain,
        }


@dataclass
class WindowReport:
    """What was said of a pair's windows: how many there are, of how many nothing is
    said (too little data in them, or equal at both dates), and those that changed."""

    windows: int = 0
    without_data: int = 0
    equal: int = 0
    changed: list[CaptionedWindow] = field(default_factory=list)

    def details(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "changed": [one.details() for one in self.changed]}

    def __str__(self) -> str:
        lines = [f"{len(self.changed)} of {self.windows} windows changed"]
        if self.without_data:
            lines[0] += f", {self.without_data} hold too little data"
        lines += [f"{one.window}: {one.caption.text}" for one in self.changed]
        return "\n".join(lines)


def caption_windows(
    predictor: Predictor,
    before: str | Path,
    after: str | Path,
    *,
    side: int = 256,
    batch_size: int = 16,
    reading: Reading = USUAL,
) -> WindowReport:
    """Caption a large pair window by window, each of ``side`` × ``side`` pixels of the
    first image.

    At the right and lower border windows overlap others, so that all of the ground is
    in one.

    Raises:
        ImageError, SettingsError: as `sencap.images.read_pair`.
    """
    check_numbers(windows=side, batch_size=batch_size)
    report = WindowReport()
    waiting: deque[Window] = deque()  # read, and not captioned yet

    def parts(pair: PairWindows) -> Iterator[ImagePair]:
        for window in windows_of(pair.height, pair.width, side):
            report.windows += 1
            part = pair.read(window)
            if part is None:
                report.without_data += 1
            # No model is asked about a window that is equal at both dates.
            elif np.array_equal(*part.images):
                report.equal += 1
            else:
                # ``stream`` takes parts ahead, a batch at a time. It answers in order,
                # so the first window that waits belongs to the next caption.
                waiting.append(window)
                yield part

    with PairWindows(before, after, reading=reading) as pair:
        for caption in predictor.stream(parts(pair), batch_size=batch_size):
            captioned = CaptionedWindow(waiting.popleft(), caption)
            if caption.changed:
                report.changed.append(captioned)
    return report


def picture_paths(folder: Path, names: Sequence[str]) -> list[Path]:
    """A picture for each pair, in the folder and all different, whatever the names of
    the pairs are."""
    paths = []
    taken: set[str] = set()
    for name in names:
        safe = file_name(name)
        # Compared without regard to case: some file systems take "A.png" and "a.png"
        # for one file.
        if safe.casefold() in taken:
            safe = file_name(name, taken)
        taken.add(safe.casefold())
        paths.append(folder / f"{safe}.png")
    return paths
