"""How far images are from those trained on: what it computes, and who is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sencap.data.levir_cc import read_dataset
from sencap.data.vocabulary import NO_CHANGE_SENTENCES, Vocabulary
from sencap.engines.onnx import OnnxEngine
from sencap.engines.torch import TorchEngine
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.domain import KNOWN_SHARE, SHRINKAGE, Domain
from sencap.models.export import export_graphs
from sencap.models.variants import build
from sencap.predictor import Predictor
from sencap.structures import ImagePair
from sencap.training.domain import fit_domain
from tiny_data import write_tiny_data
from tiny_systems import pixels, tiny

SENTENCES = ["a house appears", *NO_CHANGE_SENTENCES]
WORDS = Vocabulary.build([sentence.split() for sentence in SENTENCES], minimum_count=1)


def means(pairs: int, channels: int = 5, *, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=torch.Generator().manual_seed(9))
    return torch.randn(pairs, 2, channels) @ mixing + 3


def test_the_distance_is_mahalanobis_and_its_limit_holds_the_selection_pairs() -> None:
    trained, selection = means(400), means(200, seed=1)
    domain = Domain(5)
    domain.fit(trained, selection)
    images = trained.flatten(0, 1).double().numpy()
    scaled = (images - images.mean(0)) / images.std(0, ddof=1)
    covariance = (1 - SHRINKAGE) * scaled.T @ scaled / len(scaled) + SHRINKAGE * np.eye(
        5
    )
    asked = (selection.double().numpy() - images.mean(0)) / images.std(0, ddof=1)
    squared = np.einsum("psi,ij,psj->ps", asked, np.linalg.inv(covariance), asked)
    expected = np.sqrt(squared).max(1)
    limit = np.quantile(expected, KNOWN_SHARE)
    np.testing.assert_allclose(domain(selection).numpy(), expected / limit, rtol=1e-4)
    assert float((domain(selection) <= 1).float().mean()) == pytest.approx(
        KNOWN_SHARE, abs=0.006
    )
    assert bool((domain(selection + 40) > 1).all())


def fitted(system: str) -> Checkpoint:
    torch.manual_seed(0)
    settings = dataclasses.replace(tiny(system), domain=True)
    captioner = build(settings, len(WORDS)).eval()
    assert captioner.domain is not None
    captioner.domain.whitening.normal_()
    captioner.domain.limit.fill_(4.0)
    return Checkpoint(captioner, WORDS, settings, {})


@pytest.mark.parametrize("system", ["siamese", "sen", "psnet"])
def test_both_engines_tell_the_same_distance(system: str, tmp_path: Path) -> None:
    checkpoint = fitted(system)
    save_checkpoint(tmp_path / "best", checkpoint)
    export_graphs(checkpoint.captioner, tmp_path / "best", size=64)
    images = pixels(3).numpy()
    engine, other = TorchEngine(checkpoint.captioner), OnnxEngine(tmp_path / "best")
    assert other.parameters() == engine.parameters()
    expected, found = engine.encode(images).distance, other.encode(images).distance
    assert expected is not None
    assert found is not None
    assert (expected > 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_pair_beyond_the_limit_is_told_to_be_one() -> None:
    checkpoint = fitted("siamese")
    domain = checkpoint.captioner.domain
    assert domain is not None
    pair = ImagePair(pixels(1).numpy()[0])
    told = {}
    for limit in (1e-3, 1e6):
        domain.limit.fill_(limit)
        predictor = Predictor(TorchEngine(checkpoint.captioner), checkpoint)
        told[limit] = predictor.caption_pairs([pair])[0]
    assert "unlike those that the weights were trained on" in told[1e-3].note
    assert told[1e-3].domain is not None
    assert told[1e-3].domain > 1
    assert not told[1e6].note
    assert told[1e-3].text == told[1e6].text


def test_training_keeps_what_its_images_look_like(tmp_path: Path) -> None:
    data = write_tiny_data(tmp_path / "data")
    pairs = read_dataset(data)
    folder = tmp_path / "best"
    checkpoint = fitted("siamese")
    assert checkpoint.captioner.domain is not None
    checkpoint.captioner.domain.whitening.zero_()
    save_checkpoint(folder, checkpoint)
    fit_domain(folder, pairs, pairs, seed=0)
    kept = load_checkpoint(folder).captioner.domain
    assert kept is not None
    assert bool(kept.whitening.any())
    predictor = Predictor(TorchEngine(load_checkpoint(folder).captioner), checkpoint)
    own = [predictor(pair.before, pair.after).domain for pair in pairs]
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    strange = predictor.caption_pairs([ImagePair(noise)])[0].domain
    assert strange is not None
    assert all(distance is not None and distance < strange for distance in own)
