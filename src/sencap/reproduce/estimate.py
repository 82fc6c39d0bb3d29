"""What an experiment will take: its runs, which of them are done, and the time of the
rest from steps timed here."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from sencap.config import TrainingSettings
from sencap.data.levir_cc import read_dataset
from sencap.environment import device_type
from sencap.errors import CheckpointError
from sencap.models.variants import build
from sencap.places import open_places
from sencap.pretraining.contrast import MomentumContrast
from sencap.pretraining.fit import build_encoder
from sencap.pretraining.settings import DATES_PER_INPUT, PretrainingSettings
from sencap.reproduce.options import Options
from sencap.reproduce.plan import Training
from sencap.runs.folder import RUN, read_record

# Of a pair, of a caption, of a data set, for timing only.
CAPTIONS, WORDS, _VOCABULARY = (5, 12, 500)
# Samples of a timed step: on a CPU a larger one takes proportionally longer
CPU_BATCH = 8


def describe_plan(trainings: list[Training], options: Options) -> str:
    """The plan as text: one line for each run that is left, and the sum.

    The time is that of a forward and a backward pass in float32 on this machine's CPU
    or GPU, times the passes that are left; reading, validation and evaluation come on
    top.
    """
    pairs = sum(pair.split == "train" for pair in read_dataset(options.data))
    # rows of a figure may share a run
    distinct = {str(training.report): training for training in trainings}
    left = [training for training in distinct.values() if not training.done]
    lines, total = [], 0.0
    seen: dict[str, float] = {}
    for training in left:
        before = training.pretraining
        if before is not None and not before.done and before.name not in seen:
            seen[before.name] = pretraining_seconds(before.settings, options)
            total += seen[before.name]
            lines.append(f"  pre-training {before.name}: {_hours(seen[before.name])}")
    timed: dict[str, float] = {}
    for training in left:
        key = training.row.name
        if key not in timed:
            timed[key] = training_seconds(training.settings, pairs, options)
        epochs = training.settings.optimisation.epochs
        seconds = timed[key] * (1 - _epochs_done(training.settings.out) / epochs)
        total += seconds
        lines.append(f"  {training.row.name}, seed {training.seed}: {_hours(seconds)}")
    done = len(distinct) - len(left)
    head = (
        f"{len(distinct)} runs, {done} of them done; "
        f"about {_hours(total)} of passes for the rest"
    )
    return "\n".join([head, *lines])


def training_seconds(settings: TrainingSettings, pairs: int, options: Options) -> float:
    """Seconds of the passes of a whole training on ``pairs`` pairs, from two timed
    steps."""
    device = _device(options)
    captioner = build(settings.model, _VOCABULARY).to(device).train()
    loading = settings.loading
    captions = CAPTIONS if loading.one_pass else 1
    batch = max(1, loading.batch_size // captions)
    if device.type == "cpu":
        batch = min(batch, CPU_BATCH)
    images = torch.randint(
        256,
        (batch, 2, 3, settings.size, settings.size),
        dtype=torch.uint8,
        device=device,
    )
    tokens = torch.randint(4, _VOCABULARY, (batch, captions, WORDS), device=device)

    def step() -> None:
        logits = captioner(images, tokens[..., :-1])
        loss = F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]

    samples = pairs * CAPTIONS / captions * settings.optimisation.epochs
    return _timed(step) / batch * samples


def pretraining_seconds(settings: PretrainingSettings, options: Options) -> float:
    """Seconds of the passes of a whole pre-training, from two timed steps."""
    device = _device(options)
    contrast = MomentumContrast(build_encoder(settings), settings.contrast).to(device)
    batch = settings.optimisation.batch_size
    if device.type == "cpu":
        batch = min(batch, CPU_BATCH * settings.contrast.groups)
    views = 4 if settings.method == "seco" else 2
    shape = (
        batch,
        DATES_PER_INPUT[settings.method],
        3,
        settings.views.crop,
        settings.views.crop,
    )
    images = [torch.rand(shape, device=device) for _ in range(views)]
    places, generator = torch.arange(batch, device=device), torch.Generator()

    def step() -> None:
        contrast(images, places, generator).loss.backward()

    count = len(open_places(settings.data))
    samples = count * (settings.optimisation.epochs - _epochs_done(settings.out))
    return _timed(step) / batch * samples


def _epochs_done(out: str) -> int:
    """Of a run that was cut off."""
    try:
        record = read_record(Path(out) / RUN)
    except CheckpointError:
        # There is none yet, or it is damaged: the run itself will say so.
        return 0
    return sum("loss" in epoch for epoch in record["epochs"])


def _timed(step: Callable[[], None]) -> float:
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _device(options: Options) -> torch.device:
    return torch.device(device_type(options.hardware.accelerator))


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
