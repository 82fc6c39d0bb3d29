"""How fast pre-training runs on this machine, stage by stage, and what the paper's run
would cost at that speed.

    python benchmarks/pretraining.py [--backbone resnet50] [--crop 224] [--batch 16]
    [--device auto] [--precision bf16]

Each round reads a batch of packed places (264×264, four dates, one process), draws its
views on the device, and takes one training step (query encoder forward and backward,
key encoder forward, InfoNCE, SGD); the three are timed apart, rounds are repeated,
medians count. Then: hours = places × epochs / (speed of views and step × devices), with
no loss from talking to each other, and how many reading processes each device needs so
that it never waits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from sencap.environment import environment
from sencap.places import SyntheticPlaces, open_places, pack
from sencap.pretraining.contrast import MomentumContrast
from sencap.pretraining.fit import build_encoder
from sencap.pretraining.loading import ViewDataset, collate_views
from sencap.pretraining.settings import (
    ContrastSettings,
    PretrainingSettings,
    SgdSettings,
    ViewSettings,
)
from sencap.pretraining.task import make_views

PLACES, EPOCHS, SIZE = 251_079, 300, 264  # the paper's
STAGES = ("reading", "views", "step")


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(
    settings: PretrainingSettings, *, device: torch.device, rounds: int, bf16: bool
) -> dict[str, float]:
    """Places per second of each stage."""
    batch = settings.optimisation.batch_size
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder) / "packed"
        pack(SyntheticPlaces(batch * 2, size=SIZE), places, size=SIZE, progress=False)
        dataset = ViewDataset(open_places(places), list(range(batch * 2)), settings)
        contrast = MomentumContrast(build_encoder(settings), settings.contrast).to(
            device
        )
        optimiser = torch.optim.SGD(
            contrast.query.parameters(),
            lr=settings.optimisation.learning_rate,
            momentum=0.9,
        )
        generator = torch.Generator()
        times: dict[str, list[float]] = {stage: [] for stage in STAGES}
        for number in range(rounds + 2):  # two to warm up
            began = synchronised(device)
            start = (number % 2) * batch
            images, index = collate_views([dataset[start + i] for i in range(batch)])
            read = synchronised(device)
            views = make_views(
                images.to(device, non_blocking=True), settings, generator
            )
            viewed = synchronised(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = contrast(views, index.to(device), generator).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            stepped = synchronised(device)
            if number >= 2:
                for stage, taken in zip(
                    STAGES, (read - began, viewed - read, stepped - viewed), strict=True
                ):
                    times[stage].append(taken)
    return {stage: batch / statistics.median(taken) for stage, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    chosen = (
        arguments.device
        if arguments.device != "auto"
        else "cuda"
        if torch.cuda.is_available()
        else "cpu"
    )
    settings = PretrainingSettings(
        data="synthetic",
        out="none",
        backbone=arguments.backbone,
        views=ViewSettings(crop=arguments.crop),
        contrast=ContrastSettings(),
        optimisation=SgdSettings(batch_size=arguments.batch),
    )
    speeds = measure(
        settings,
        device=torch.device(chosen),
        rounds=arguments.rounds,
        bf16=arguments.precision == "bf16",
    )
    device = 1 / (1 / speeds["views"] + 1 / speeds["step"])
    cost = {str(n): PLACES * EPOCHS / (device * n) / 3600 for n in (1, 8, 64)}
    result = {
        "settings": {**vars(arguments), "device": chosen, "json": None},
        "places_per_second": speeds,
        "device_places_per_second": device,
        "hours_of_the_papers_run": cost,
        "reading_processes_per_device": device / speeds["reading"],
        "environment": environment(),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for stage, speed in speeds.items():
        print(f"{stage:<8}{speed:>10.1f} places/s")
    print(f"views and step together {device:.1f} places/s on {chosen}")
    for number, hours in cost.items():
        print(f"{PLACES:,} places × {EPOCHS} epochs on {number:>2}: {hours:,.1f} h")
    print(
        f"reading processes that keep one device busy: {device / speeds['reading']:.3f}"
    )


if __name__ == "__main__":
    main()
