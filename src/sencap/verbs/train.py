"""`sencap train`: one training run."""

from __future__ import annotations

from pathlib import Path

from sencap.config import TrainingSettings


def train(settings: TrainingSettings) -> Path:
    """Train a captioner; returns the folder of the best checkpoint. See `sencap.training.fit.fit`.

    The folder, the hardware and the model's settings are checked before any data are read, the folder even before
    PyTorch is loaded.
    """
    from sencap.training.folder import check_folder

    check_folder(settings)
    from sencap.models.variants import check

    check(settings.model)
    from sencap.training.fit import fit

    return fit(settings)


def command(settings: TrainingSettings) -> str:
    """Train a captioner on folders of captioned pairs.

    Input: data folders and settings, from a YAML file (--config) and flags, which win over the file.
    Output: OUT/best and OUT/last (checkpoints), OUT/logs (CSV, TensorBoard), OUT/run.json (settings,
    environment, scores). A run that was stopped or killed goes on when the same command is given again.
    """
    return f"best checkpoint: {train(settings)}"
