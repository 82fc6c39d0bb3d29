"""From captioned pairs on disk to batches for training and for search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from sencap.config import LoadingSettings
from sencap.data.augmentation import random_colour, random_geometry
from sencap.data.levir_cc import CaptionedPair
from sencap.data.vocabulary import Vocabulary
from sencap.images import read_pair
from sencap.runs.sampler import EpochSampler


@dataclass(frozen=True)
class Batch:
    """Pixels (B, 2, 3, H, W) uint8, tokens (B, K, T) with padding, and each pair's index in its
    data set (B,)."""

    images: Tensor
    tokens: Tensor
    index: Tensor

    def pin_memory(self) -> Batch:
        """Called by a DataLoader that feeds a GPU."""
        return Batch(self.images.pin_memory(), self.tokens.pin_memory(), self.index.pin_memory())

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        images, tokens, index = (
            t.to(device, non_blocking=non_blocking) for t in (self.images, self.tokens, self.index)
        )
        return Batch(images, tokens, index)


@dataclass(frozen=True)
class Sample:
    """One item: images (2, 3, H, W) uint8, captions as id lists with <start> and <end>, index of
    the pair."""

    images: NDArray[np.uint8]
    captions: list[list[int]]
    index: int


class PairDataset(Dataset[Sample]):
    """Captioned pairs as samples: one per caption, or (``one_pass``) one per pair with all its
    captions.

    An item's key is epoch × length + number (see `EpochSampler`), so that random augmentation
    depends on seed, epoch and number alone, whatever process draws it and wherever a run was
    resumed.
    """

    def __init__(
        self,
        pairs: Sequence[CaptionedPair],
        vocabulary: Vocabulary,
        *,
        settings: LoadingSettings,
        size: int = 256,
        max_words: int = 50,
        seed: int = 0,
        augment: bool = False,
    ) -> None:
        self.pairs, self.vocabulary, self.settings = pairs, vocabulary, settings
        self.size, self.max_words, self.seed, self.augment = size, max_words, seed, augment
        self._items: list[tuple[int, int | None]] = (
            [(i, None) for i in range(len(pairs))]
            if settings.one_pass
            else [(i, k) for i, pair in enumerate(pairs) for k in range(len(pair.captions))]
        )
        self._decoded: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: int) -> Sample:
        epoch, number = divmod(key, len(self))
        i, k = self._items[number]
        captions: Sequence[Sequence[str]] = self.pairs[i].captions
        if k is not None:
            captions = captions[k : k + 1]
        images = self._read(i)
        if self.augment:
            generator = np.random.default_rng((self.seed, epoch, number))
            if self.settings.geometry:
                images, captions = random_geometry(images, captions, generator)
            if self.settings.colour:
                images = random_colour(images, generator, strength=self.settings.colour)
        return Sample(images, [self._encode(words) for words in captions], i)

    def _read(self, i: int) -> NDArray[np.uint8]:
        if i in self._decoded:
            return self._decoded[i]
        pair = self.pairs[i]
        images = read_pair(pair.before, pair.after, size=self.size).images
        if self.settings.cache:
            self._decoded[i] = images
        return images

    def _encode(self, words: Sequence[str]) -> list[int]:
        v = self.vocabulary
        return [v.start, *v.encode(words[: self.max_words]), v.end]


def collate(samples: Sequence[Sample], *, pad: int) -> Batch:
    """Samples → batch; captions are padded to the longest, and pairs with fewer captions get empty
    ones."""
    K = max(len(s.captions) for s in samples)
    T = max(len(ids) for s in samples for ids in s.captions)
    tokens = torch.full((len(samples), K, T), pad)
    for b, s in enumerate(samples):
        for k, ids in enumerate(s.captions):
            tokens[b, k, : len(ids)] = torch.tensor(ids)
    images = torch.from_numpy(np.stack([s.images for s in samples]))
    return Batch(images, tokens, torch.tensor([s.index for s in samples]))


class _Numbers(Dataset[int]):
    """The numbers of a data set's samples: what a sampler draws from."""

    def __init__(self, dataset: PairDataset) -> None:
        self.length = len(dataset)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> int:
        return number


def training_loader(dataset: PairDataset, *, replicas: int, rank: int) -> DataLoader[Sample]:
    """Shuffled batches for one of ``replicas`` processes; the batch size is shared out among
    them."""
    settings = dataset.settings
    samples = settings.batch_size
    if settings.one_pass:
        samples = max(1, round(samples / max(1, len(dataset.pairs[0].captions))))
    sampler = EpochSampler(
        _Numbers(dataset), num_replicas=replicas, rank=rank, shuffle=True, seed=dataset.seed
    )
    return _loader(dataset, max(1, samples // replicas), sampler)


def evaluation_loader(
    dataset: PairDataset, *, batch_size: int, replicas: int = 1, rank: int = 0
) -> DataLoader[Sample]:
    """Batches of pairs in order; with several processes each takes its share."""
    sampler = DistributedSampler[int](
        _Numbers(dataset), num_replicas=replicas, rank=rank, shuffle=False
    )
    return _loader(dataset, batch_size, sampler)


def _loader(
    dataset: PairDataset, batch_size: int, sampler: DistributedSampler[int]
) -> DataLoader[Sample]:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=dataset.settings.workers,
        collate_fn=Collate(dataset.vocabulary.pad),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=dataset.settings.workers > 0,  # so that they keep what they cached
    )


@dataclass(frozen=True)
class Collate:
    """`collate` with its padding id; a class, so that worker processes can be given it on every
    system."""

    pad: int

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """See `collate`."""
        return collate(samples, pad=self.pad)
