"""Pack what is worth bringing home of the runs of `compare_recipes.py` from a borrowed
GPU.

    python scripts/pack_runs.py runs/recipes RESULTS            # there
    python scripts/pack_runs.py --unpack RESULTS runs/recipes   # at home

Packs the reports of every run into RESULTS/reports.tgz, and of each recipe in KEPT the
weights of its best run on the selection pairs, in half precision; a frozen backbone is
left out, since every run has the same one, and put back when unpacked.
Without Java there is no METEOR, so the best run has most of BLEU-4, ROUGE-L and CIDEr
together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import torch
from compare_recipes import RECIPES, folder
from safetensors.torch import load_file, save_file

from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

WEIGHTS, BACKBONE = "model.safetensors", "extractor.backbone."
KEPT = list(RECIPES)[:7]
SEEDS = (1, 2, 3)
MOST = 60e6  # bytes of weights


def goodness(run: Path) -> float:
    path = run / "selection.json"
    if not path.is_file():
        return -1.0
    scores = json.loads(path.read_text(encoding="utf-8"))["ids"]["all"]
    return float(sum(scores[name] for name in ("BLEU-4", "ROUGE-L", "CIDEr")))


def pack(runs: Path, out: Path) -> None:
    with tarfile.open(out / "reports.tgz", "w:gz") as archive:
        for path in [*sorted(runs.glob("*/*")), *sorted(runs.glob("*/best/*.json"))]:
            if path.suffix in (".json", ".txt") or path.name == "done":
                archive.add(path, path.relative_to(runs))
    left = MOST
    for recipe in KEPT:
        seeds = [folder(runs, recipe, seed) for seed in SEEDS]
        best = max(seeds, key=goodness)
        if goodness(best) < 0:
            continue
        config = json.loads((best / "best" / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(best / "best" / WEIGHTS)
        if config["model"]["extractor"]["fine_tune_from"] in (None, "none"):
            tensors = {
                name: t for name, t in tensors.items() if not name.startswith(BACKBONE)
            }
        halves = {
            name: t.half() if t.is_floating_point() else t
            for name, t in tensors.items()
        }
        size = sum(t.numel() * t.element_size() for t in halves.values())
        left -= size
        if left < 0:
            print(f"{best.name}: no room for its weights")
            continue
        path = out / f"{best.name}.safetensors"
        save_file(halves, path, metadata={"config": json.dumps(config)})
        print(f"{best.name}: {size / 1e6:.1f} MB, {goodness(best):.2f}")


def unpack(results: Path, runs: Path) -> None:
    runs.mkdir(parents=True, exist_ok=True)
    with tarfile.open(results / "reports.tgz") as archive:
        archive.extractall(runs, filter="data")
    for path in sorted(results.glob("*.safetensors")):
        run = runs / path.stem
        shutil.copyfile(path, run / "packed.safetensors")
        print(
            f"{run.name}: weights are in packed.safetensors; give --restore to make "
            "a checkpoint"
        )


def restore(run: Path, start: Path) -> None:
    """A checkpoint of packed weights; the frozen backbone and the vocabulary are those
    of ``start``, a run of one epoch at home."""
    checkpoint: Checkpoint = load_checkpoint(start)
    packed = load_file(run / "packed.safetensors")
    state: dict[str, Any] = checkpoint.captioner.state_dict()
    missing = [
        name for name in state if name not in packed and not name.startswith(BACKBONE)
    ]
    assert not missing, missing
    state |= {name: tensor.to(state[name].dtype) for name, tensor in packed.items()}
    checkpoint.captioner.load_state_dict(state)
    with torch.no_grad():
        save_checkpoint(run / "best", checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs=2, type=Path)
    parser.add_argument("--unpack", action="store_true")
    parser.add_argument("--restore", action="store_true", help="RUN START")
    asked = parser.parse_args()
    first, second = asked.folders
    if asked.unpack:
        unpack(first, second)
    elif asked.restore:
        restore(first, second)
    else:
        pack(first, second)


if __name__ == "__main__":
    main()
