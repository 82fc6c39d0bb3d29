"""From captioned pairs on disk to batches for training and for search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from sencap.config import LoadingSettings
from sencap.data.augmentation import (
    PLACEMENTS,
    Placement,
    draw_placement,
    random_colour,
)
from sencap.data.levir_cc import CaptionedPair
from sencap.data.masks import ChangeMask, read_mask, resize_mask
from sencap.data.reading import read_images
from sencap.data.reversal import reverse_words
from sencap.data.vocabulary import Vocabulary, fixed_sentences
from sencap.runs.sampler import EpochSampler


@dataclass(frozen=True)
class Batch:
    """What a training step gets of B pairs.

    ``images`` (B, 2, 3, H, W) uint8; ``tokens`` (B, K, T) with padding; ``index`` (B,),
    each pair's in its data set; ``flags`` (B,): 1 changed, 0 not, NaN unknown;
    ``masks`` (B, H, W) uint8 and ``masked`` (B,): which of them are there. ``maps`` (B,
    S, C, h, w), the frozen backbone's, or None where they are to be computed.
    """

    images: Tensor
    tokens: Tensor
    index: Tensor
    flags: Tensor
    masks: Tensor
    masked: Tensor
    maps: Tensor | None = None

    def pin_memory(self) -> Batch:
        """Called by a DataLoader that feeds a GPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed: dict[str, Any] = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            changed[field.name] = None if tensor is None else change(tensor)
        return Batch(**changed)


@dataclass(frozen=True)
class Sample:
    """One item: images (2, 3, H, W) uint8, captions as id lists with <start> and <end>,
    index of the pair, whether it changed, its change mask (H, W) and the backbone's
    maps (S, C, h, w), the last three None where they are not known."""

    images: NDArray[np.uint8]
    captions: list[list[int]]
    index: int
    changed: bool | None = None
    mask: ChangeMask | None = None
    maps: NDArray[np.float32] | None = None


REVERSE = (1, 0)  # the dates of a pair swapped


class Features(Protocol):
    """The maps of a frozen backbone, computed before."""

    def maps(self, pair: CaptionedPair, placement: Placement) -> NDArray[np.float32]:
        """Of both dates of a pair laid so: (S, C, h, w)."""


class PairDataset(Dataset[Sample]):
    """Captioned pairs as samples: one per caption, or (``one_pass``) one per pair with
    all its captions. A pair without captions is one sample of its own.

    An item's key is epoch × length + number (see `EpochSampler`), so that random
    augmentation depends on seed, epoch and number alone, whatever process draws it and
    wherever a run was resumed. Masks are read where ``masks`` says that a head learns
    from them.
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
        masks: bool = False,
        features: Features | None = None,
    ) -> None:
        self.pairs, self.vocabulary, self.settings = pairs, vocabulary, settings
        self.size, self.max_words, self.seed, self.augment = (
            size,
            max_words,
            seed,
            augment,
        )
        self.masks, self.features = masks, features
        self._items: list[tuple[int, int | None]] = []
        for i, pair in enumerate(pairs):
            if settings.one_pass or not pair.captions:
                self._items.append((i, None))
            else:
                self._items += [(i, k) for k in range(len(pair.captions))]
        self._decoded: dict[int, tuple[NDArray[np.uint8], ChangeMask | None]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: int) -> Sample:
        epoch, number = divmod(key, len(self))
        i, k = self._items[number]
        pair = self.pairs[i]
        captions: Sequence[Sequence[str]] = pair.captions
        if k is not None:
            captions = captions[k : k + 1]
        images, mask = self._read(i)
        changed, placement, order = pair.changed, PLACEMENTS[0], (0, 1)
        if self.augment:
            generator = np.random.default_rng((self.seed, epoch, number))
            if self.settings.geometry:
                square = images.shape[-1] == images.shape[-2]
                placement = draw_placement(captions, generator, square=square)
                images = placement.place(images)
                captions = [placement.tell(words) for words in captions]
                mask = None if mask is None else placement.place(mask)
            order = self._draw_order(changed, generator)
            images = images[list(order)]
            if order[0] == order[1]:
                changed, mask = False, np.zeros_like(images[0, 0])
                captions = self._no_change(pair, max(1, len(captions)))
            elif order == REVERSE and changed:
                captions = [
                    words for words in map(reverse_words, captions) if words is not None
                ]
            if self.settings.colour:
                images = random_colour(images, generator, strength=self.settings.colour)
        maps = None
        if self.features is not None:
            maps = self.features.maps(pair, placement)
            maps = maps[list(order)] if len(maps) == len(order) else maps
        ids = [self._encode(words) for words in captions]
        return Sample(images, ids, i, changed, mask, maps)

    def _draw_order(
        self, changed: bool | None, generator: np.random.Generator
    ) -> tuple[int, int]:
        """Which dates become before and after: usually both, or one twice, or
        reversed."""
        if self.settings.same and generator.random() < self.settings.same:
            date = int(generator.integers(2))
            return date, date
        if self.settings.swap and changed is False and generator.random() < 0.5:
            return REVERSE
        if (
            self.settings.reverse
            and changed
            and generator.random() < self.settings.reverse
        ):
            return REVERSE
        return 0, 1

    def _read(self, i: int) -> tuple[NDArray[np.uint8], ChangeMask | None]:
        """Images and mask of a pair at the model's size."""
        if i in self._decoded:
            return self._decoded[i]
        pair = self.pairs[i]
        images = read_images(pair, self.size).images
        mask = None
        if self.masks and pair.mask is not None:
            mask = resize_mask(read_mask(pair.mask), self.size)
        elif self.masks and pair.changed is False:
            mask = np.zeros((self.size, self.size), np.uint8)
        if self.settings.cache:
            self._decoded[i] = images, mask
        return images, mask

    def _no_change(self, pair: CaptionedPair, count: int) -> list[list[str]]:
        """So many captions of a pair that is one image twice, in the words of its data
        set."""
        sentences = itertools.cycle(fixed_sentences(pair.no_change, self.vocabulary))
        return [sentence.split() for sentence in itertools.islice(sentences, count)]

    def _encode(self, words: Sequence[str]) -> list[int]:
        v = self.vocabulary
        return [v.start, *v.encode(words[: self.max_words]), v.end]


def collate(samples: Sequence[Sample], *, pad: int) -> Batch:
    """Samples → batch; captions are padded to the longest, and pairs with fewer
    captions get empty ones."""
    all_captions = [sample.captions for sample in samples]
    K = max(1, *(len(captions) for captions in all_captions))
    all_ids = list(itertools.chain.from_iterable(all_captions))
    T = max(
        (len(ids) for ids in all_ids), default=2
    )  # of no caption at all: <start> and <end>
    tokens = torch.full((len(samples), K, T), pad)
    for b, captions in enumerate(all_captions):
        for k, ids in enumerate(captions):
            tokens[b, k, : len(ids)] = torch.tensor(ids)
    images = torch.from_numpy(np.stack([sample.images for sample in samples]))
    empty = np.zeros(images.shape[-2:], np.uint8)
    masks = [empty if sample.mask is None else sample.mask for sample in samples]
    maps = [sample.maps for sample in samples if sample.maps is not None]
    return Batch(
        images,
        tokens,
        index=torch.tensor([sample.index for sample in samples]),
        flags=torch.tensor([_as_number(sample.changed) for sample in samples]),
        masks=torch.from_numpy(np.stack(masks)),
        masked=torch.tensor([sample.mask is not None for sample in samples]),
        maps=torch.from_numpy(np.stack(maps)) if maps else None,
    )


def _as_number(changed: bool | None) -> float:
    return math.nan if changed is None else float(changed)


class _Numbers(Dataset[int]):
    """The numbers of a data set's samples: what a sampler draws from."""

    def __init__(self, dataset: PairDataset) -> None:
        self.length = len(dataset)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> int:
        return number


def training_loader(
    dataset: PairDataset, *, replicas: int, rank: int
) -> DataLoader[Sample]:
    """Shuffled batches for one of ``replicas`` processes; the batch size is shared out
    among them."""
    settings = dataset.settings
    samples = settings.batch_size
    if settings.one_pass:
        most = max(len(pair.captions) for pair in dataset.pairs)
        samples = max(1, round(samples / max(1, most)))
    sampler = EpochSampler(
        _Numbers(dataset),
        num_replicas=replicas,
        rank=rank,
        shuffle=True,
        seed=dataset.seed,
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
        persistent_workers=dataset.settings.workers
        > 0,  # so that they keep what they cached
    )


@dataclass(frozen=True)
class Collate:
    """`collate` with its padding id; a class, so that worker processes can be given it
    on every system."""

    pad: int

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """See `collate`."""
        return collate(samples, pad=self.pad)
