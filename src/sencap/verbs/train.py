"""`sencap train`: one training run."""

from __future__ import annotations

from pathlib import Path

from sencap.config import TrainingSettings


def train(settings: TrainingSettings) -> Path:
    """Train a captioner; returns the folder of the best checkpoint. See `sencap.training.fit.fit`.

    The model's settings are checked before any data are read.
    """
    from sencap.models.variants import check
    from sencap.training.fit import fit

    check(settings.model)
    return fit(settings)


def command(settings: TrainingSettings) -> str:
    """Train a captioner on folders of captioned pairs.

    Input: data folders and settings, from a YAML file (--config) and flags, which win over the file.
    Output: OUT/best and OUT/last (checkpoints), OUT/logs (CSV, TensorBoard), OUT/run.json (settings,
    environment, scores). A run that was stopped or killed goes on when the same command is given again.
    """
    return f"best checkpoint: {train(settings)}"
