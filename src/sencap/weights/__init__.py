"""Where the weights that ship with sencap lie, and what a checkpoint folder holds;
nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

from sencap.errors import CheckpointError, SettingsError
from sencap.files import not_a_file

SHIPPED = Path(__file__).parent / "siamese-lite0"


def checkpoint_folder(weights: str | Path | None) -> Path:
    """The folder that a flag ``weights`` means: None, and only None, means the weights
    that ship.

    Raises:
        SettingsError: an empty text, as an unset variable of the shell gives it.
        CheckpointError: no folder. What it holds is for `sencap.models.checkpoint` to
            judge.
    """
    if weights is None:
        return SHIPPED
    if not str(weights).strip():
        raise SettingsError(
            f"weights={weights!r} is empty; give a checkpoint folder, or leave it out"
        )
    folder = Path(weights)
    if not folder.is_dir():
        wanted = "config.json, model.safetensors, vocabulary.json"
        reason = not_a_file(folder) or "it is a file"
        raise CheckpointError(
            f"{folder} is not a checkpoint folder ({reason}); it should hold {wanted}"
        )
    return folder


def checkpoint_files(weights: str | Path | None) -> list[Path]:
    """All files in that folder, which `sencap.files.check_outputs` keeps from being
    overwritten."""
    return sorted(checkpoint_folder(weights).glob("*"))
