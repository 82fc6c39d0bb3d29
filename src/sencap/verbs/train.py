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

    best = fit(settings)
    _write_graphs(best)
    return best


def _write_graphs(best: Path) -> None:
    """The graphs of the best checkpoint; of several processes the first writes them."""
    from lightning.pytorch.utilities import rank_zero_only

    from sencap.models.checkpoint import load_checkpoint
    from sencap.models.export import export_checkpoint

    if rank_zero_only.rank == 0:
        export_checkpoint(load_checkpoint(best))


def command(settings: TrainingSettings) -> str:
    """Train a captioner on folders of captioned pairs.

    Input: data folders and settings, from a YAML file (--config) and flags, which win over the file.
    Output: OUT/best (a checkpoint with its graphs), OUT/last (a checkpoint), OUT/logs (CSV, TensorBoard) and
    OUT/run.json (settings, environment, scores). A run that was stopped or killed goes on when the same command is
    given again.
    """
    return f"best checkpoint: {train(settings)}"
