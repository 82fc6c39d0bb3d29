"""The temperature that makes the flag head's probabilities right as often as they
say."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sencap.data.entries import CaptionedPair
from sencap.data.reading import image_batches
from sencap.engines.torch import TorchEngine
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

# What the logit is divided by: above 1 the probabilities move towards one half. Tried
# in equal ratios, since 0.1 and 10 are as far from 1.
TEMPERATURES = np.geomspace(0.1, 10.0, 401)

_Floats = NDArray[np.float64]

_log = logging.getLogger("sencap")


def best_temperature(logits: _Floats, changed: NDArray[np.bool_]) -> float:
    """The temperature under which the flags are likeliest: logits (pairs,), changed
    (pairs,).

    Guo et al. 2017, on Platt's targets (1999): of n pairs that changed each counts as
    changed to (n + 1) / (n + 2), and likewise of those that did not. Few pairs say
    little that way, even where the head is right about all of them; of hundreds it
    makes no difference. Of pairs that are all alike nothing can be learnt; it is then 1.

    >>> best_temperature(np.array([8.0, 8.0, 8.0, -8.0]), np.array([True, True, False, False])) > 4
    True
    >>> best_temperature(np.array([3.0, -3.0]), np.array([True, False])) > 4
    True
    """
    if changed.all() or not changed.any():
        return 1.0
    # (1, pairs) / (temperatures, 1) → (temperatures, pairs).
    scaled = logits[None] / TEMPERATURES[:, None]
    # Positive where the head leans to the truth.
    signed = np.where(changed, scaled, -scaled)
    # Pairs of each one's own kind, and how sure of it one may be.
    alike = np.where(changed, changed.sum(), (~changed).sum())
    sure = (alike + 1) / (alike + 2)
    # The cross-entropy −t·log sigmoid(x) − (1 − t)·log sigmoid(−x), without overflow:
    # its second part is the first of −x, which is larger by x. The mean over the pairs:
    # (temperatures, pairs) → (temperatures,).
    losses = (np.logaddexp(0.0, -signed) + (1 - sure) * signed).mean(1)
    return round(float(TEMPERATURES[losses.argmin()]), 3)


def calibrate(
    folder: Path, pairs: Sequence[CaptionedPair], *, device: str = "cpu"
) -> float:
    """Find the temperature of a checkpoint's flag head on pairs that it was not trained
    on, and write it into the checkpoint; returns it.

    The log says what it is, and of how many pairs.
    """
    checkpoint = load_checkpoint(folder)
    known = [pair for pair in pairs if pair.changed is not None]
    changed = np.array([bool(pair.changed) for pair in known])
    checkpoint.captioner.to(device)
    temperature = best_temperature(_flag_logits(checkpoint, known), changed)
    checkpoint.captioner.to("cpu")
    settings = checkpoint.settings
    change = dataclasses.replace(settings.change, temperature=temperature)
    settings = dataclasses.replace(settings, change=change)
    save_checkpoint(folder, dataclasses.replace(checkpoint, settings=settings))
    _log.info(
        f"the flag head's temperature is {temperature:g}, found on {changed.sum()} "
        f"changed and {(~changed).sum()} unchanged selection pairs"
    )
    return temperature


def _flag_logits(checkpoint: Checkpoint, pairs: Sequence[CaptionedPair]) -> _Floats:
    engine, size = TorchEngine(checkpoint.captioner), checkpoint.settings.size
    found = []
    for images in image_batches(pairs, size):
        flags = engine.encode(images).flag
        # Whoever calls knows that there is a flag head.
        assert flags is not None
        found.append(flags.astype(np.float64))
    return np.concatenate(found)
