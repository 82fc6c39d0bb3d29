"""From places to batches: the dates drawn depend on seed, epoch and number alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sencap.errors import DataError
from sencap.pretraining.pairs import draw_views
from sencap.pretraining.settings import PretrainingSettings
from sencap.runs.sampler import EpochSampler

# Views (B, V, n, 3, H, W) uint8, the query's first, and the numbers of the places (B,).
ViewBatch = tuple[Tensor, Tensor]
# Usually one place of so many is held out, and at most so many places.
HELD_OUT_SHARE, HELD_OUT_MOST = 10, 1000
# So many unreadable places one after the other are no accident: the data are damaged.
IN_A_ROW = 10

_log = logging.getLogger("sencap")


class DatedImages(Protocol):
    """The dated images of one place: ``images`` uint8 (D, 3, H, W), D ≥ 2, in the order
    of time; its name."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """(D, 3, H, W)."""
        ...

    @property
    def name(self) -> str:
        """For messages."""
        ...


class PlaceSource(Protocol):
    """What pre-training reads: `sencap.places` opens such, and any object of this shape
    will do."""

    def __len__(self) -> int: ...

    def read(self, index: int, /) -> DatedImages:
        """The images of one place."""
        ...


class ViewDataset(Dataset[tuple[NDArray[np.uint8], int]]):
    """Places as samples: the images of their views (V, n, 3, H, W), and the place's
    number.

    A key is epoch × length + number (`sencap.runs.sampler.EpochSampler`), so that the
    dates drawn depend on seed, epoch and number alone. For a place that cannot be read
    the next one that can steps in (batches keep their size, in every process); the log
    says so once, and ``unreadable`` counts them over all loading processes.

    Raises:
        DataError: ten places in a row cannot be read.
    """

    def __init__(
        self, places: PlaceSource, chosen: Sequence[int], settings: PretrainingSettings
    ) -> None:
        self.places, self.chosen, self.settings = places, chosen, settings
        # Memory that loading processes share, so that each place is told and counted
        # once.
        self._unreadable = torch.zeros(len(chosen), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def unreadable(self) -> int:
        """How many of the places could not be read so far."""
        return int(self._unreadable.sum())

    def __getitem__(self, key: int) -> tuple[NDArray[np.uint8], int]:
        epoch, number = divmod(key, len(self))
        settings = self.settings
        place, images = self._read(number)
        # Indices into the dates of the place: (V, n).
        views = draw_views(
            settings.method,
            len(images),
            order=settings.order,
            season=settings.season,
            generator=np.random.default_rng((settings.seed, epoch, number)),
        )
        # (D, 3, H, W) → (V, n, 3, H, W).
        return np.stack([images[list(dates)] for dates in views]), place

    def _read(self, number: int) -> tuple[int, NDArray[np.uint8]]:
        for step in range(IN_A_ROW):
            position = (number + step) % len(self)
            place = self.chosen[position]
            try:
                return place, read_checked(self.places, place)
            except DataError as error:
                if not self._unreadable[position]:
                    _log.warning(f"left out: {error}")
                    self._unreadable[position] = True
                last = error
        raise DataError(
            f"{IN_A_ROW} places in a row cannot be read; the last: {last}"
        ) from last


def read_checked(places: PlaceSource, index: int) -> NDArray[np.uint8]:
    """The images (D, 3, H, W) of a place.

    Raises:
        DataError: they are no such array, or show fewer than two dates.
    """
    place = places.read(index)
    images = place.images
    if (
        images.ndim != 4
        or images.shape[0] < 2
        or images.shape[1] != 3
        or images.dtype != np.uint8
    ):
        raise DataError(
            f"place {place.name or index} is {images.dtype} {images.shape}; "
            "pre-training needs uint8 (D, 3, H, W) of at least two dates"
        )
    return images


def collate_views(samples: Sequence[tuple[NDArray[np.uint8], int]]) -> ViewBatch:
    """Samples → batch.

    Raises:
        DataError: places of different sizes.
    """
    sizes = {views.shape[-2:] for views, _ in samples}
    if len(sizes) > 1:
        first, second = sorted(sizes)[:2]
        raise DataError(
            f"places of {first[0]}×{first[1]} and of {second[0]}×{second[1]} pixels "
            "cannot share a batch; pack them at one size first"
        )
    views = torch.from_numpy(np.stack([views for views, _ in samples]))
    return views, torch.tensor([place for _, place in samples])


def split(count: int, held_out: int | None, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the places to train on and of those held out, drawn by ``seed``;
    each in order.

    Raises:
        DataError: too few places to hold out so many and train on two.
    """
    number = held_out
    if number is None:
        number = min(HELD_OUT_MOST, count // HELD_OUT_SHARE)
        # A single held-out place could not be told from others.
        number = number if number > 1 else 0
    if count - number < 2:
        raise DataError(
            f"{count} places with watch.held_out={number} leave "
            f"{max(0, count - number)} to train on; at least two are needed"
        )
    order = np.random.default_rng(seed).permutation(count).tolist()
    return sorted(order[number:]), sorted(order[:number])


def view_loader(dataset: ViewDataset, *, replicas: int, rank: int) -> DataLoader[Any]:
    """Shuffled batches for one of ``replicas`` processes.

    The places left over when processes or batches do not come out even wait for another
    epoch, so that none is seen twice in one; fewer places than a batch are one smaller
    batch.
    """
    settings = dataset.settings
    batch = settings.optimisation.batch_size // replicas
    sampler = EpochSampler(
        cast("Dataset[int]", range(len(dataset))),
        num_replicas=replicas,
        rank=rank,
        shuffle=True,
        seed=settings.seed,
        # Left-over places wait, unless there are fewer places than processes, who would
        # then have nothing to do.
        drop_last=len(dataset) >= replicas,
    )
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=settings.workers,
        collate_fn=collate_views,
        drop_last=len(sampler) >= batch,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=settings.workers > 0,
    )
