"""The first training steps of every row of a table at the paper's full size: do they
fit?

    sencap synth runs/data/synthetic --pairs 400
    python benchmarks/first_steps.py runs/data/synthetic [--steps 20] [--scale paper]
    [--rows SEN,…]

DATA is in LEVIR-CC's layout. Every row trains from random weights, with the batch, the
sizes and the learning rates of `sencap reproduce`. Printed of each: parameters, seconds
a step, the most memory of the GPU (of the process, where there is none) and the loss of
the first and the last step.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch

from sencap.config import HardwareSettings
from sencap.data.levir_cc import read_dataset
from sencap.environment import device_type, environment
from sencap.models.variants import build
from sencap.reproduce.experiments import experiment_named
from sencap.reproduce.options import Options
from sencap.reproduce.plan import Training, plan
from sencap.training.fit import build_vocabulary
from sencap.training.loading import PairDataset, training_loader
from sencap.training.task import CaptioningTask

BACKBONES = (
    "resnet50",
    "resnet101",
    "vit_base_patch32_224",
    "tf_efficientnet_lite0",
    "test_resnet",
    "test_vit",
)


def random_weights(folder: Path) -> Path:
    """A file of random weights per backbone, so that a plan finds all it asks for."""
    for name in BACKBONES:
        torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
    return folder


def first_steps(training: Training, steps: int, device: torch.device) -> dict[str, Any]:
    settings = training.settings
    pairs = [
        pair
        for pair in read_dataset(Path(settings.folders[0]))
        if pair.split == "train"
    ]
    vocabulary = build_vocabulary(settings.folders, settings.vocabulary)
    torch.manual_seed(settings.seed)
    captioner = build(settings.model, len(vocabulary)).to(device).train()
    task = CaptioningTask(
        captioner, vocabulary, settings.optimisation, validation_pairs=[]
    )
    task.log = lambda *_, **__: None  # there is no trainer to log to
    optimiser = task.configure_optimizers()["optimizer"]
    dataset = PairDataset(
        pairs, vocabulary, settings=settings.loading, size=settings.size, augment=True
    )
    batches = itertools.cycle(training_loader(dataset, replicas=1, rank=0))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    losses, seconds = [], []
    bf16 = settings.hardware.precision == "bf16-mixed"
    for batch in itertools.islice(batches, steps):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = task.training_step(batch.to(device), 0)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        task.configure_gradient_clipping()
        optimiser.step()
        losses.append(float(loss.detach()))  # waits for the GPU
        seconds.append(time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated()
    return {
        "row": training.row.name,
        "parameters": sum(p.numel() for p in captioner.parameters()),
        "batch": settings.loading.batch_size,
        "seconds": round(sorted(seconds)[len(seconds) // 2], 3),
        "gigabytes": round(memory / 1e9, 2),
        "first_loss": round(losses[0], 3),
        "last_loss": round(losses[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--table", default="table1")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument(
        "--precision", default="32-true", choices=["32-true", "bf16-mixed"]
    )
    parser.add_argument("--rows", default="", help="names of rows, joined by commas")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device(device_type(asked.accelerator))
    result = []
    with tempfile.TemporaryDirectory() as folder:
        weights = str(random_weights(Path(folder)))
        options = Options(
            data=asked.data,
            out=folder,
            scale=asked.scale,
            imagenet=weights,
            init=weights,
            seeds=(42,),
            hardware=HardwareSettings(
                accelerator=asked.accelerator, precision=asked.precision
            ),
        )
        for training in plan(experiment_named(asked.table), options):
            if asked.rows and training.row.name not in asked.rows.split(","):
                continue
            result.append(first_steps(training, asked.steps, device))
            print(json.dumps(result[-1]), flush=True)
            gc.collect()
    if asked.json is not None:
        content = {"environment": environment(), "rows": result}
        asked.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
