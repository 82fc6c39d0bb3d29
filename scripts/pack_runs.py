"""Bring the runs of `compare_recipes.py` home from a borrowed GPU, each in a small file.

    python scripts/pack_runs.py runs/recipes RESULTS            # there, as often as wanted
    python scripts/pack_runs.py --unpack RESULTS runs/recipes   # at home

A run that is done becomes RESULTS/RUN.tgz: its reports, and its weights in half
precision. A frozen backbone is left out, since the weights that ship hold the same one;
it is put back when the file is unpacked, and the graphs are written anew. Runs that are
packed already are left as they are.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from sencap.files import whole_file
from sencap.models.export import export_checkpoint
from sencap.weights import SHIPPED

WEIGHTS, BACKBONE = "model.safetensors", "extractor.backbone."
# What the training images look like is kept as it is: half precision is too coarse.
DOMAIN = "domain."


def is_frozen(config: Path) -> bool:
    model = json.loads(config.read_text(encoding="utf-8"))["model"]
    return model["extractor"]["fine_tune_from"] in (None, "none")


def light(name: str, tensor: Tensor) -> Tensor:
    if name.startswith(DOMAIN) or not tensor.is_floating_point():
        return tensor
    return tensor.half()


def pack(run: Path, out: Path) -> None:
    best = run / "best"
    tensors = load_file(best / WEIGHTS)
    if is_frozen(best / "config.json"):
        tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(BACKBONE)
        }
    small = {name: light(name, tensor) for name, tensor in tensors.items()}
    packed = run / "packed.safetensors"
    save_file(small, packed)
    # Under another name until it is whole: it may be fetched at any moment.
    with whole_file(out / f"{run.name}.tgz") as path, tarfile.open(path, "w:gz") as tar:
        for file in (*run.glob("*.json"), run / "done", packed, *best.glob("*.json")):
            tar.add(file, file.relative_to(run.parent))


def unpack(archive: Path, runs: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(runs, filter="data")
    run = runs / archive.stem
    best = run / "best"
    tensors = load_file(run / "packed.safetensors")
    if is_frozen(best / "config.json"):
        model = json.loads((best / "config.json").read_text(encoding="utf-8"))["model"]
        backbone = model["extractor"]["backbone"].removeprefix("tf_efficientnet_")
        shipped = load_file(SHIPPED.parent / f"siamese-{backbone}" / WEIGHTS)
        tensors |= {
            name: tensor
            for name, tensor in shipped.items()
            if name.startswith(BACKBONE)
        }
    whole = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_file(whole, best / WEIGHTS)
    export_checkpoint(best)
    print(best)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs=2, type=Path)
    parser.add_argument("--unpack", action="store_true")
    asked = parser.parse_args()
    source, target = asked.folders
    target.mkdir(parents=True, exist_ok=True)
    if asked.unpack:
        for archive in sorted(source.glob("*.tgz")):
            unpack(archive, target)
        return
    for done in sorted(source.glob("*/done")):
        if not (target / f"{done.parent.name}.tgz").exists():
            pack(done.parent, target)


if __name__ == "__main__":
    main()
