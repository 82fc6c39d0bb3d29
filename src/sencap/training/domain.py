"""What a model's training images look like, kept in its checkpoint once training is
over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sencap.data.entries import CaptionedPair
from sencap.data.reading import image_batches
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import load_checkpoint, save_checkpoint

# Drawn of larger training sets: enough for a covariance.
MOST_PAIRS = 2000


def fit_domain(
    folder: Path,
    trained: Sequence[CaptionedPair],
    selection: Sequence[CaptionedPair],
    *,
    seed: int,
    device: str = "cpu",
) -> None:
    """Fit the `Domain` of a checkpoint, and write it into the checkpoint."""
    checkpoint = load_checkpoint(folder)
    captioner, size = checkpoint.captioner.eval(), checkpoint.settings.size
    # Whoever calls knows that there is one.
    assert captioner.domain is not None
    drawn = random.Random(seed).sample(list(trained), min(MOST_PAIRS, len(trained)))
    # The training images give centre and covariance, the selection images the limit:
    # images that a covariance was fitted to lie nearer than new ones of the same kind.
    captioner.to(device)
    means_of_trained = _means(captioner, drawn, size)
    means_of_selection = _means(captioner, selection, size)
    captioner.to("cpu")
    captioner.domain.fit(means_of_trained, means_of_selection)
    save_checkpoint(folder, checkpoint)


@torch.inference_mode()
def _means(captioner: Captioner, pairs: Sequence[CaptionedPair], size: int) -> Tensor:
    """Of the channels of every image that the backbone sees, (pairs, S, C)."""
    extractor: Any = captioner.extractor
    device = captioner.mean.device
    found = []
    for images in image_batches(pairs, size):
        # (B, 2, 3, H, W) → maps (B·S, C, h, w) → means (B, S, C).
        pixels = captioner.normalise(torch.from_numpy(images).to(device))
        found.append(extractor.means(extractor.maps(pixels)).cpu())
    return torch.cat(found)
