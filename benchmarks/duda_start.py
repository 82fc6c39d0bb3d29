"""Why DUDA says nothing after 8 epochs: what its published code starts with, one by one.

    sencap synth runs/data/duda --pairs 600
    python benchmarks/duda_start.py runs/data/duda runs/duda-start [--seeds 1 2] [--epochs 8]
    [--starts "as before" "as published"] [--imagenet FILE] [--captions FILE]

DATA is in LEVIR-CC's layout. The settings are those of `sencap reproduce` at its scale
`small` (8 epochs). The extractor is that of the weights that ship, frozen, its features
computed once. With ``--imagenet`` it is frozen at the ImageNet weights in FILE and the
colours of the images change from epoch to epoch, as in Table I. ``--captions`` names
the captions whose words are known. Printed of each start and seed: the best val BLEU-4,
and of the captions of the val split after the last epoch how many are empty, and how
many differ.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sencap import load, read_pair
from sencap.config import TrainingSettings
from sencap.data.levir_cc import read_dataset
from sencap.reproduce.scales import SMALL, changed
from sencap.training.fit import fit
from sencap.weights import SHIPPED

NOTHING: dict[str, Any] = {
    "difference.norm_groups": 0,
    "difference.coordinates": False,
    "difference.dropout": 0.0,
    "difference.map_penalty": 0.0,
    "decoder.words_start": "uniform",
    "decoder.word_relu": False,
    "decoder.seen_dropout": 0.0,
}
WORDS = {"decoder.words_start": "normal", "decoder.word_relu": True}
STARTS: dict[str, dict[str, Any]] = {
    "as before": {},
    "GroupNorm": {"difference.norm_groups": 32},
    "coordinates": {"difference.coordinates": True},
    "words N(0, 1), ReLU": WORDS,
    "GroupNorm and words": {"difference.norm_groups": 32, **WORDS},
    "as published": {
        "difference.norm_groups": 32,
        "difference.coordinates": True,
        "difference.dropout": 0.5,
        "difference.map_penalty": 2.5e-3,
        **WORDS,
        "decoder.seen_dropout": 0.5,
    },
}


def settings_of(
    given: argparse.Namespace, out: Path, start: dict[str, Any], seed: int
) -> TrainingSettings:
    """One run of DUDA at the scale ``small``."""
    if given.imagenet is None:
        extractor = {
            "extractor.init": str(SHIPPED),
            "loading.features": str(out.parent / "features"),
            # Features that are computed once know no changes of colour.
            "loading.colour": 0.0,
        }
    else:
        extractor = {"extractor.init": str(given.imagenet)}
    if given.captions is not None:
        extractor["vocabulary.captions"] = str(given.captions)
    values = {
        **SMALL.training,
        **SMALL.compared,
        **NOTHING,
        **start,
        **extractor,
        "system": "duda",
        "seed": seed,
        "optimisation.epochs": given.epochs,
        "progress": False,
        "extractor.frozen_statistics": "fixed",
        "hardware.accelerator": "cpu",
    }
    return changed(TrainingSettings(data=str(given.data), out=str(out)), values)


def captions(data: Path, weights: Path) -> list[str]:
    """What a checkpoint says of the val split, by greedy search."""
    captioner = load(
        weights, beam=1, engine="torch", decision="search", change_probability=False
    )
    pairs = read_dataset(data, splits=["val"])
    images = (read_pair(pair.before, pair.after) for pair in pairs)
    return [caption.text for caption in captioner.stream(images)]


def main() -> None:
    """Print a line for each start and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=[*STARTS])
    parser.add_argument("--imagenet", type=Path)
    parser.add_argument("--captions", type=Path)
    given = parser.parse_args()
    for seed in given.seeds:
        for name in given.starts:
            start = STARTS[name]
            out = given.out / f"{[*STARTS].index(name)}-{seed}"
            fit(settings_of(given, out, start, seed))
            record = json.loads((out / "run.json").read_text(encoding="utf-8"))
            history = record["epochs"]
            best = max(epoch["val_bleu4"] for epoch in history)
            said = captions(given.data, out / "last")
            empty = sum(not text for text in said)
            print(
                f"{name}, seed {seed}: best val BLEU-4 {best:.1f}; after the last epoch "
                f"loss {history[-1]['loss']:.2f}, {empty} of {len(said)} captions empty, "
                f"{len(set(said))} different",
                flush=True,
            )


if __name__ == "__main__":
    main()
