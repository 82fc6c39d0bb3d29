"""Captions of many pairs of files, and a picture of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sencap.ahead import ahead
from sencap.errors import ImageError
from sencap.files import file_name
from sencap.images import read_pair, shrink
from sencap.predictor import Predictor, told_if_one_file
from sencap.structures import Caption, ImagePair

Files = tuple[Path, Path, str]  # before, after, name: as `sencap.images.find_pairs` gives them


@dataclass(frozen=True)
class CaptionedFiles:
    """Two files and what was said of them; ``number`` is the pair's place among all that were
    given, from 0."""

    number: int
    before: Path
    after: Path
    name: str
    caption: Caption

    def details(self, picture: Path | None = None) -> dict[str, Any]:
        """For JSON; ``picture`` is the file in which the pair is drawn."""
        return {
            "name": self.name,
            "before": str(self.before),
            "after": str(self.after),
            **_details(self.caption),
            "change_probability": self.caption.change_probability,
            "finished": self.caption.finished,
            "note": self.caption.note,
            "picture": None if picture is None else str(picture),
            "alternatives": [_details(other) for other in self.caption.alternatives],
        }

    def draw(self, picture: Path) -> None:
        """Write before, after and the sentence as one picture.

        Raises:
            ImageError, OutputError: a file that can no longer be read, or a picture that cannot be
                written.
        """
        # late: most captions are not drawn, and starts should be quick
        from sencap.figures.pair import LONGEST, draw_pair, save_picture  # noqa: PLC0415

        pair = shrink(read_pair(self.before, self.after), LONGEST)
        save_picture(draw_pair(pair, self.caption.text), picture)


def _details(caption: Caption) -> dict[str, Any]:
    return {
        "caption": caption.text,
        "log_prob": round(caption.log_prob, 6),
        "changed": caption.changed,
    }


def caption_files(
    predictor: Predictor, files: Sequence[Files], problems: list[str], *, batch_size: int = 16
) -> Iterator[CaptionedFiles]:
    """Caption pairs of files in batches; what cannot be read is told in ``problems`` and left out.

    Files are read in threads, ahead of the model.
    """
    waiting: deque[int] = deque()  # numbers of the pairs that were read and are not captioned yet

    def read(pair: Files) -> ImagePair | ImageError:
        before, after, name = pair
        try:
            return read_pair(before, after, name, size=predictor.size)
        except ImageError as error:
            return error

    def pairs() -> Iterator[ImagePair]:
        for number, pair in enumerate(ahead(read, files)):
            if isinstance(pair, ImageError):
                problems.append(str(pair))
                continue
            waiting.append(number)
            yield pair

    def with_files(caption: Caption) -> CaptionedFiles:
        number = waiting.popleft()
        before, after, name = files[number]
        return CaptionedFiles(number, before, after, name, told_if_one_file(caption, before, after))

    return map(with_files, predictor.stream(pairs(), batch_size=batch_size))


def picture_paths(folder: Path, names: Sequence[str]) -> list[Path]:
    """A picture for each pair, in the folder and all different, whatever the names of the pairs
    are."""
    paths = []
    taken: set[str] = set()
    for name in names:
        safe = file_name(name)
        if safe.casefold() in taken:
            safe = file_name(name, taken)
        taken.add(safe.casefold())
        paths.append(folder / f"{safe}.png")
    return paths
