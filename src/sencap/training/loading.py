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
from sencap.data.entries import CaptionedPair
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


# The dates of a pair swapped, as an index into its images.
REVERSE = (1, 0)


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
        self.pairs = pairs
        self.vocabulary = vocabulary
        self.settings = settings
        self.size = size
        self.max_words = max_words
        self.seed = seed
        self.augment = augment
        self.masks = masks
        self.features = features
        # (pair, caption) of each sample, caption None for all that the pair has. A pair
        # without captions is kept: the change heads can learn from it.
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
        # The key of a sample also holds the epoch, see `EpochSampler`.
        epoch, number = divmod(key, len(self))
        i, k = self._items[number]
        pair = self.pairs[i]
        captions: Sequence[Sequence[str]] = pair.captions
        if k is not None:
            captions = captions[k : k + 1]
        images, mask = self._read(i)
        changed, placement, order = pair.changed, PLACEMENTS[0], (0, 1)
        if self.augment:
            # A generator of its own for each sample and epoch, so that the draws depend
            # neither on the worker process nor on what was drawn before.
            generator = np.random.default_rng((self.seed, epoch, number))
            if self.settings.geometry:
                # Flips and quarter turns of images, words and mask together: a house in
                # the upper left corner is in the upper right one after a mirror.
                square = images.shape[-1] == images.shape[-2]
                placement = draw_placement(captions, generator, square=square)
                images = placement.place(images)
                captions = [placement.tell(words) for words in captions]
                mask = None if mask is None else placement.place(mask)
            order = self._draw_order(changed, generator)
            images = images[list(order)]
            # One image twice: whatever the pair showed, here nothing changed, so flag,
            # mask and captions say that.
            if order[0] == order[1]:
                changed, mask = False, np.zeros_like(images[0, 0])
                captions = self._no_change(pair, max(1, len(captions)))
            elif order == REVERSE and changed:
                # A caption that the rule cannot turn is left out; with none left the
                # pair teaches the change heads alone.
                reversed_captions = map(reverse_words, captions)
                captions = [words for words in reversed_captions if words is not None]
            # Colours come last and differ between the dates: season and light are no
            # change.
            if self.settings.colour:
                images = random_colour(images, generator, strength=self.settings.colour)
        maps = None
        if self.features is not None:
            maps = self.features.maps(pair, placement)
            # (S, C, h, w): of two streams the dates change places as the images did.
            if len(maps) == len(order):
                maps = maps[list(order)]
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
        # Nothing changed, so the reverse order has the same captions. A pair whose flag
        # is not known stays as it is.
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
        # An unchanged pair needs no mask file: nothing changed anywhere in it.
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
        # A caption that is too long is cut before <end> is added, so every caption
        # ends.
        v = self.vocabulary
        return [v.start, *v.encode(words[: self.max_words]), v.end]


def collate(samples: Sequence[Sample], *, pad: int) -> Batch:
    """Samples → batch; captions are padded to the longest, and pairs with fewer
    captions get empty ones."""
    all_captions = [sample.captions for sample in samples]
    # The most captions that a pair of this batch has; the places of fewer stay padding,
    # which the loss leaves out.
    K = max(1, *(len(captions) for captions in all_captions))
    all_ids = list(itertools.chain.from_iterable(all_captions))
    # Two where there is no caption at all: room for <start> and <end>.
    T = max((len(ids) for ids in all_ids), default=2)
    tokens = torch.full((len(samples), K, T), pad)
    for b, captions in enumerate(all_captions):
        for k, ids in enumerate(captions):
            tokens[b, k, : len(ids)] = torch.tensor(ids)
    images = torch.from_numpy(np.stack([sample.images for sample in samples]))
    # An empty mask stands where there is none; ``masked`` says which to leave out.
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
    # The batch size counts captions. With all captions of a pair in one sample, so many
    # fewer samples make a batch.
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
    # Every process takes its part of the batch, so that more devices do not change what
    # a step learns from.
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
        # Processes that end with an epoch would lose the images that they cached.
        persistent_workers=dataset.settings.workers > 0,
    )


@dataclass(frozen=True)
class Collate:
    """`collate` with its padding id; a class, so that worker processes can be given it
    on every system."""

    pad: int

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """See `collate`."""
        return collate(samples, pad=self.pad)
