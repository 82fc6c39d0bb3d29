"""`sencap train`: one training run."""

from __future__ import annotations

from sencap.config import TrainingSettings


def command(settings: TrainingSettings) -> str:
    """Train a captioner on folders of captioned pairs.

    Input: data folders and settings, from a YAML file (--config) and flags, which win
    over the file. Output: OUT/best (a checkpoint with its graphs), OUT/last (a
    checkpoint), OUT/logs (CSV, TensorBoard) and OUT/run.json (settings, environment,
    scores). A run that was stopped or killed goes on when the same command is given
    again.
    """
    from sencap.training.folder import check_sources, check_training_folder

    # before PyTorch is loaded
    check_training_folder(settings)
    check_sources(settings)
    from sencap.training.fit import train

    return f"best checkpoint: {train(settings)}"
