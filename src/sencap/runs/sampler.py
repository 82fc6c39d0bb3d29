"""The order in which a run of any kind sees its samples: shuffled by epoch, the same
wherever the run was resumed."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import DistributedSampler


class EpochSampler(DistributedSampler[int]):
    """A shuffled order per epoch, the same for every run with one seed; yields epoch ×
    length + number.

    Lightning tells it the epoch. Works for one process and for several.
    """

    def __iter__(self) -> Iterator[int]:
        """The keys of this process's share of the epoch."""
        # A data set gets nothing but a key, in whatever process it lives; so the key
        # carries the epoch as well, from which the augmentation of a sample is drawn.
        length = len(self.dataset)  # type: ignore[arg-type]
        return (self.epoch * length + number for number in super().__iter__())
