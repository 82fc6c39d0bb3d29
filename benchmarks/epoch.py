"""How much time one pass per pair saves in training, on this machine.

    python benchmarks/epoch.py [--pairs 8] [--rounds 3] [--backbone resnet50]

Forward and backward of the paper's SEN on the same pairs with their five captions: once
with each caption as a sample of its own, once with the five sharing one pass through
extractor and difference encoder. The two are interleaved; the ratio is that of the
medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from sencap.config import ExtractorSettings, ModelSettings
from sencap.environment import environment
from sencap.models.captioner import Captioner
from sencap.models.variants import build
from sencap.training.losses import caption_loss

# LEVIR-CC: five captions; its longest in a batch is some 14 + 2 words.
CAPTIONS, WORDS, VOCABULARY = (5, 14, 501)


def step(captioner: Captioner, images: torch.Tensor, tokens: torch.Tensor) -> float:
    """Seconds for one forward and backward pass."""
    begin = time.perf_counter()
    captioner.zero_grad()
    caption_loss(captioner(images, tokens[..., :-1]), tokens, pad=0).backward()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="resnet50")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    captioner = build(
        ModelSettings(extractor=ExtractorSettings(backbone=arguments.backbone)),
        VOCABULARY,
    ).train()
    images = torch.randint(0, 256, (arguments.pairs, 2, 3, 256, 256), dtype=torch.uint8)
    tokens = torch.randint(4, VOCABULARY, (arguments.pairs, CAPTIONS, WORDS + 2))
    apart = images.repeat_interleave(CAPTIONS, 0), tokens.flatten(0, 1)[:, None]
    step(captioner, images, tokens)  # warm-up
    shared_seconds, apart_seconds = [], []
    for _ in range(arguments.rounds):
        apart_seconds.append(step(captioner, *apart))
        shared_seconds.append(step(captioner, images, tokens))
    result = {
        "benchmark": "one pass per pair against one caption per sample",
        "pairs": arguments.pairs,
        "seconds_apart": apart_seconds,
        "seconds_shared": shared_seconds,
        "ratio": round(
            statistics.median(apart_seconds) / statistics.median(shared_seconds), 2
        ),
        "environment": environment(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
