"""From pairs to batches: padding, order, shares of several processes, decoding once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sencap.config import LoadingSettings
from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset
from sencap.data.reading import read_images
from sencap.data.vocabulary import Vocabulary
from sencap.runs.sampler import EpochSampler
from sencap.structures import ImagePair
from sencap.training import loading
from sencap.training.loading import (
    PairDataset,
    collate,
    evaluation_loader,
    training_loader,
)


def _dataset(tiny_data: Path, **settings: object) -> PairDataset:
    pairs = read_dataset(tiny_data, splits=["train"])
    vocabulary = Vocabulary.build(
        [c for p in pairs for c in p.captions], minimum_count=1
    )
    chosen = LoadingSettings(**settings)  # type: ignore[arg-type]
    return PairDataset(
        pairs, vocabulary, settings=chosen, size=32, max_words=6, augment=True
    )


def test_a_batch_holds_pixels_padded_tokens_and_the_pairs_numbers(
    tiny_data: Path,
) -> None:
    dataset = _dataset(tiny_data, one_pass=True)
    v = dataset.vocabulary
    batch = collate([dataset[0], dataset[1]], pad=v.pad)
    assert batch.images.shape == (2, 2, 3, 32, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.tokens.shape == (2, 5, 8), "six words at most, <start> and <end>"
    assert (batch.tokens[..., 0] == v.start).all()
    four_words = batch.tokens[0, 1]  # "there is no difference"
    assert v.decode(four_words[1:5].tolist()) == ["there", "is", "no", "difference"]
    assert four_words[5:].tolist() == [v.end, v.pad, v.pad]
    assert batch.index.tolist() == [0, 1]


def test_every_caption_is_a_sample_once_per_epoch_in_an_order_of_its_own(
    tiny_data: Path,
) -> None:
    dataset = _dataset(tiny_data)
    assert len(dataset) == 40
    sampler = EpochSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=3)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert sorted(keys) == [epoch * 40 + i for i in range(40)]
        orders.append([key % 40 for key in keys])
    assert orders[0] != orders[1]


def test_several_processes_share_an_epoch(tiny_data: Path) -> None:
    dataset = _dataset(tiny_data, batch_size=20, one_pass=True)
    shares = [training_loader(dataset, replicas=2, rank=rank) for rank in (0, 1)]
    assert [loader.batch_size for loader in shares] == [2, 2]
    seen = [int(i) for loader in shares for batch in loader for i in batch.index]
    assert sorted(seen) == list(range(8))


def test_augmentation_depends_on_seed_epoch_and_number_alone(tiny_data: Path) -> None:
    dataset = _dataset(tiny_data, colour=1.0, geometry=True)
    again = _dataset(tiny_data, colour=1.0, geometry=True)
    assert np.array_equal(dataset[40 + 7].images, again[40 + 7].images)
    assert not np.array_equal(dataset[7].images, dataset[40 + 7].images)


def test_evaluation_takes_pairs_in_order(tiny_data: Path) -> None:
    loader = evaluation_loader(_dataset(tiny_data, one_pass=True), batch_size=3)
    assert [batch.index.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_the_cache_reads_each_pair_once(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def counted(pair: CaptionedPair, size: int) -> ImagePair:
        reads.append(pair.before)
        return read_images(pair, size)

    monkeypatch.setattr(loading, "read_images", counted)
    dataset = _dataset(tiny_data, cache=True)
    for key in (0, 1, 4, 40):
        _ = dataset[key]
    assert len(reads) == 1
