"""What every source of dated images offers: places, each with two or more dated RGB
images of the same ground.

    D  dates of a place, oldest first        H, W  pixels

`Places` is the contract; `ListedPlaces` is what most readers build on: they list their
images first and read them when asked. A date that cannot be read is left out of its
place, a place with fewer than two dates is left out altogether, and `PlacesReport` says
so.
"""

from __future__ import annotations

import datetime
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sencap.errors import DataError, ShapeError

# What is learnt is told by comparing dates of one place: a single image has nothing to
# be compared with.
FEWEST_DATES = 2
_SHOWN = 10
_Source = TypeVar("_Source")


@dataclass(frozen=True)
class SeasonalImages:
    """The dated images of one place.

    ``images`` is a uint8 array (D, 3, H, W), RGB, values 0–255, oldest first, D ≥ 2; it
    may be read-only. ``dates`` are its D dates, never falling. Where only the order is
    known, see `sencap.places.UNDATED`.

    Raises:
        ShapeError: another shape or type, fewer than two dates, or dates that are not
            one per image and in order.
    """

    images: NDArray[np.uint8]
    dates: tuple[datetime.date, ...]
    name: str = ""

    def __post_init__(self) -> None:
        images, who = self.images, self.name or "this one"
        if (
            images.ndim != 4
            or images.shape[1] != 3
            or images.dtype != np.uint8
            or 0 in images.shape
        ):
            raise ShapeError(
                f"the images of a place are a uint8 array (D, 3, H, W); {who} is "
                f"{images.dtype} {images.shape}"
            )
        if len(images) < FEWEST_DATES:
            raise ShapeError(
                f"a place has images of {FEWEST_DATES} dates or more; {who} has "
                f"{len(images)}"
            )
        if len(self.dates) != len(images):
            raise ShapeError(
                f"{who} has {len(images)} images, but {len(self.dates)} dates"
            )
        # Equal dates may follow each other; time never runs back.
        if list(self.dates) != sorted(self.dates):
            raise ShapeError(
                f"the images of a place are sorted by time; {who} has "
                f"{_joined(self.dates)}"
            )


@dataclass
class PlacesReport:
    """What became of the places of a source: how many are used, what was left out, and
    why.

    ``places`` and ``images`` are used; ``missing`` holds, by place, the dates that used
    places go without, with the reasons; ``left_out`` the places that are not used.
    """

    places: int = 0
    images: int = 0
    missing: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def note(self, place: str, problems: Sequence[str]) -> None:
        """Remember dates that a used place goes without; nothing if there are none."""
        if problems:
            # A place may be read in every epoch; each problem is noted once.
            noted = self.missing.setdefault(place, [])
            noted.extend(problem for problem in problems if problem not in noted)

    def __str__(self) -> str:
        lost = sum(map(len, self.missing.values()))
        lines = [
            f"{self.places:,} places with {self.images:,} images; left out: "
            f"{len(self.left_out):,} places, and {lost:,} images of "
            f"{len(self.missing):,} places that are used"
        ]
        lines += _some(
            f"{name} is left out: {why}" for name, why in self.left_out.items()
        )
        missing = []
        for name, several in self.missing.items():
            missing += [f"{name}: {why}" for why in several]
        lines += _some(missing)
        return "\n  ".join(lines)


class Places(ABC):
    """Places with dated images, by number: ``len(places)``, ``places.read(3)``.

    A reader can be pickled, and be used after a fork. One object is for one thread.
    """

    kind: str
    report: PlacesReport

    @abstractmethod
    def __len__(self) -> int:
        """The number of places."""

    @abstractmethod
    def name(self, index: int) -> str:
        """The name of a place, unique among these; IndexError outside of 0 … len -
        1."""

    @abstractmethod
    def dates(self, index: int) -> tuple[datetime.date, ...]:
        """The dates listed for a place, oldest first."""

    @abstractmethod
    def read(self, index: int) -> SeasonalImages:
        """The images of a place: of all its dates, but those that cannot be read
        (``report.missing``).

        Raises:
            DataError: fewer than two of its images can be read; the message says why.
        """

    def settings(self) -> Mapping[str, Any]:
        """What, besides the source's files, decides the pixels: JSON values by name."""
        return {}

    def fingerprint(self) -> str:
        """A hash of the names and dates, by which a stopped `pack` knows its source
        again."""
        return _hash(
            f"{self.name(i)} {_joined(self.dates(i))}" for i in range(len(self))
        )

    def __iter__(self) -> Iterator[SeasonalImages]:
        """All places that can be used; ``report.left_out`` has the others."""
        for index in range(len(self)):
            try:
                place = self.read(index)
            except DataError as error:
                self.report.left_out.setdefault(self.name(index), str(error))
            else:
                yield place


class ListedPlaces(Places, Generic[_Source]):
    """Places whose images are listed in advance, as (date, source) by place, and read
    one by one.

    Listed places without two dates are left out at birth; ``problems`` are the dates
    that could not be listed.

    Raises:
        DataError: no place has two dates.
    """

    def __init__(
        self,
        origin: str,
        listed: Mapping[str, Sequence[tuple[datetime.date, _Source]]],
        problems: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.origin, self.report = origin, PlacesReport()
        problems = problems or {}
        # Sorted by name, so that the number of a place does not depend on the order of
        # the file system.
        self._places: list[tuple[str, tuple[tuple[datetime.date, _Source], ...]]] = []
        # By place, the listed images that turned out unusable when they were read.
        self._lost: dict[str, int] = {}
        for name in sorted({**listed, **problems}):
            images = sorted(listed.get(name, ()), key=lambda image: image[0])
            # a folder's name may be no UTF-8, and a packed folder has to be
            told = name.encode("utf-8", "backslashreplace").decode()
            if len(images) < FEWEST_DATES:
                self.report.left_out[told] = _too_few(
                    len(images), problems.get(name, ())
                )
            else:
                self._places.append((told, tuple(images)))
                self.report.note(told, problems.get(name, ()))
        self.report.places = len(self._places)
        self.report.images = sum(len(images) for _, images in self._places)
        if not self._places:
            # Nothing can be used: each place's own reason is worth more than the count.
            why = "\n  ".join(
                _some(f"{name}: {why}" for name, why in self.report.left_out.items())
            )
            raise DataError(
                f"{origin} holds no place with images of two dates\n  {why}".rstrip()
            )

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        """The name of a place."""
        return self._places[_checked(index, len(self))][0]

    def dates(self, index: int) -> tuple[datetime.date, ...]:
        """The dates listed for a place, oldest first."""
        return tuple(date for date, _ in self._places[_checked(index, len(self))][1])

    @abstractmethod
    def read_source(self, source: _Source) -> NDArray[np.uint8]:
        """One listed image, uint8 (3, H, W).

        Raises:
            DataError: it cannot be read; its date is then left out of its place.
        """

    def read(self, index: int) -> SeasonalImages:
        """The images of a place. See `Places.read`.

        Images of another size than most of the place's (the first of equals) are left
        out with a note.
        """
        name, listed = self._places[_checked(index, len(self))]
        read: list[tuple[datetime.date, NDArray[np.uint8]]] = []
        problems = []
        # A date that cannot be read costs its image, and the place only if fewer than
        # two are left.
        for date, source in listed:
            try:
                read.append((date, _with_data(self.read_source(source))))
            except DataError as error:
                problems.append(f"{date}: {error}")
        # One array per place, so that all its images must have one size: the commonest.
        sizes = [image.shape for _, image in read]
        size = max(sizes, key=sizes.count, default=None)
        fitting = [(date, image) for date, image in read if image.shape == size]
        for date, image in read:
            if image.shape != size:
                problems.append(
                    f"{date}: it is {_size(image.shape)} pixels, but most are "
                    f"{_size(size or ())}"
                )
        if len(fitting) < FEWEST_DATES:
            why = _too_few(len(fitting), problems)
            self._lose(name, len(listed))
            # Listed as usable and found unusable as it was read: it is taken off the
            # report, once.
            if name not in self.report.left_out:
                self.report.places -= 1
                self.report.left_out[name] = why
                self.report.missing.pop(name, None)
            raise DataError(f"{self.origin}, place {name}: {why}")
        self._lose(name, len(problems))
        self.report.note(name, problems)
        # D images (3, H, W) → (D, 3, H, W).
        dates, images = zip(*fitting, strict=True)
        return SeasonalImages(np.stack(images), dates, name)

    def _lose(self, name: str, images: int) -> None:
        """So many listed images of a place are not used; they are taken off the report
        once."""
        more = images - self._lost.get(name, 0)
        if more > 0:
            self.report.images -= more
            self._lost[name] = images


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _checked(index: int, length: int) -> int:
    if not 0 <= index < length:
        raise IndexError(f"place {index} of {length}")
    return index


def _with_data(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not image.any():
        raise DataError("the image holds no data: all of it is 0")
    return image


def _too_few(count: int, problems: Sequence[str]) -> str:
    what = f"{count} of its images can be used, but a place needs {FEWEST_DATES}"
    return "; ".join([what, *problems])


def _size(shape: tuple[int, ...]) -> str:
    # (3, H, W) → "W×H", as people write sizes.
    return "×".join(str(side) for side in shape[:0:-1])


def _joined(dates: Sequence[datetime.date]) -> str:
    return ", ".join(date.isoformat() for date in dates)


def _some(lines: Iterable[str]) -> list[str]:
    """The first lines, and how many more there are."""
    every = list(lines)
    more = len(every) - _SHOWN
    if more <= 0:
        return every
    return [*every[:_SHOWN], f"… and {more:,} more"]
