"""How much faster the batched search with its cache is than the naive way, on this machine, with the same captions.

    python benchmarks/search.py [--weights PATH] [--pairs 32] [--rounds 3]

The naive way, common in public code: one pair at a time, and for every word the whole padded sequence of 52 tokens
through the decoder. Both get the same memories (the images' pass is not timed); the two are interleaved and the
ratio is that of the medians. Pairs are synthetic. Without --weights the paper's SEN with random weights is used.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch
from sencap.models.search import search

from sencap.config import ModelSettings
from sencap.environment import environment
from sencap.images import resize
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import load_checkpoint
from sencap.models.variants import build
from sencap.structures import Memory
from sencap.synthetic import render_pair

PAD, START, END, MAX_WORDS = 0, 2, 3, 50


@torch.inference_mode()
def naive(captioner: Captioner, memory: Memory) -> list[tuple[int, ...]]:
    """Greedy captions without batches or cache."""
    captions = []
    for pair in range(len(memory.tokens)):
        one = Memory(memory.tokens[pair : pair + 1], memory.grid)
        tokens = torch.full((1, 1, MAX_WORDS + 2), PAD)
        tokens[..., 0] = START
        words: list[int] = []
        for length in range(MAX_WORDS + 1):
            logits = captioner.decoder(one, tokens)[0, 0, length]
            logits[[PAD, START]] = -torch.inf
            word = int(logits.argmax())
            if word == END or length == MAX_WORDS:
                break
            words.append(word)
            tokens[0, 0, length + 1] = word
        captions.append(tuple(words))
    return captions


def cached(captioner: Captioner, memory: Memory) -> list[tuple[int, ...]]:
    """Greedy captions by sencap's search."""
    found = search(
        captioner.search_decoder, memory, start=START, end=END, forbidden=(PAD, START), max_words=MAX_WORDS
    )
    return [best[0].ids for best in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.weights:
        checkpoint = load_checkpoint(arguments.weights)
        captioner, size = checkpoint.captioner, checkpoint.settings.size
    else:
        captioner, size = build(ModelSettings(), 501).eval(), 256
    pairs = [render_pair(0, i) for i in range(arguments.pairs)]
    images = np.stack([np.stack([p.before, p.after]).transpose(0, 3, 1, 2) for p in pairs])
    with torch.inference_mode():
        memory = captioner.encode(torch.from_numpy(resize(images, size)))
    seconds: dict[str, list[float]] = {"naive": [], "cached": []}
    captions = {}
    for _ in range(arguments.rounds):
        for name, way in (("naive", naive), ("cached", cached)):
            begin = time.perf_counter()
            captions[name] = way(captioner, memory)
            seconds[name].append(time.perf_counter() - begin)
    result = {
        "benchmark": "greedy search at one batch: cached against naive",
        "pairs": arguments.pairs,
        "words": sum(map(len, captions["cached"])),
        "same_captions": captions["naive"] == captions["cached"],
        "seconds": seconds,
        "ratio": round(statistics.median(seconds["naive"]) / statistics.median(seconds["cached"]), 1),
        "environment": environment(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
