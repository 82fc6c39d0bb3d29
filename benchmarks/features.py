"""How much a training step of the siamese system saves when its features are kept.

    OMP_NUM_THREADS=1 python benchmarks/features.py [--rounds 7] [--pairs 32]

Both ways take turns: features computed from the images, and taken from memory. Random
weights, random images of 256 pixels, five captions of 12 words for each pair, masks and
flags.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from sencap.config import ChangeSettings, ModelSettings
from sencap.models.variants import build
from sencap.training.losses import caption_loss, change_losses

WORDS, VOCABULARY, SIDE = 12, 468, 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    B = arguments.pairs
    change = ChangeSettings(flag=0.5, mask=0.5)
    captioner = build(
        ModelSettings(system="siamese", change=change), VOCABULARY
    ).train()
    extractor = captioner.extractor
    trained = [p for p in captioner.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3)
    images = torch.randint(0, 256, (B, 2, 3, SIDE, SIDE), dtype=torch.uint8)
    tokens = torch.randint(4, VOCABULARY, (B, 5, WORDS + 2))
    masks = torch.zeros(B, SIDE, SIDE, dtype=torch.uint8)
    with torch.no_grad():
        kept = extractor.maps(captioner.normalise(images))  # type: ignore[operator]

    def step(*, from_images: bool) -> float:
        began = time.perf_counter()
        if from_images:
            memory = captioner.encode(images)
        else:
            features = extractor.features(kept.clone())  # type: ignore[operator]
            memory = captioner.remember(features, captioner.normalise(images))
        loss = caption_loss(captioner.decoder(memory, tokens[..., :-1]), tokens, pad=0)
        known = torch.ones(B, dtype=torch.bool)
        losses = change_losses(memory, torch.ones(B), masks, known, change)
        optimiser.zero_grad()
        (loss + sum(losses.values())).backward()
        optimiser.step()
        return time.perf_counter() - began

    step(from_images=True)
    step(from_images=False)
    turns = []
    for _ in range(arguments.rounds):
        turns.append((step(from_images=True), step(from_images=False)))
    computed, stored = np.array(turns).T
    print(
        f"computed {np.median(computed):.2f} s, kept {np.median(stored):.2f} s, "
        f"ratio {np.median(computed / stored):.1f}"
    )


if __name__ == "__main__":
    main()
