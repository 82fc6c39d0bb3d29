"""Checkpoints: a folder with ``config.json``, ``model.safetensors``,
``vocabulary.json`` and ``README.md``.

Loading needs only the folder's path and runs no code from it: JSON and safetensors hold
data alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sencap.checkpoint_folder import (
    CARD,
    CONFIG,
    FORMAT,
    VOCABULARY,
    WEIGHTS,
    CheckpointFolder,
    input_record,
    read_checkpoint_folder,
)
from sencap.config import ModelSettings, as_dict
from sencap.data.vocabulary import Vocabulary
from sencap.engines.graphs import GRAPHS
from sencap.errors import CheckpointError, SettingsError
from sencap.files import told_as_output, whole_file
from sencap.json_files import shortened
from sencap.models.captioner import Captioner
from sencap.models.misfit import misfit
from sencap.models.variants import build
from sencap.version import __version__


@dataclass(frozen=True)
class Checkpoint:
    """A captioner in evaluation mode with its vocabulary, its settings and how it was
    trained."""

    captioner: Captioner
    vocabulary: Vocabulary
    settings: ModelSettings
    training: dict[str, Any]
    path: Path | None = None


def save_checkpoint(
    folder: Path | str, checkpoint: Checkpoint, *, card: str = "", half: bool = False
) -> Path:
    """Write a checkpoint folder, all of it or nothing. ``half`` stores the weights in
    float16.

    ``card`` is the text of its README.md.

    Raises:
        OutputError: a file cannot be written; what was there before is as it was.
    """
    folder = Path(folder)
    with told_as_output(folder):
        folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (_halved(tensor) if half else tensor).contiguous()
        for name, tensor in checkpoint.captioner.state_dict().items()
    }
    config = {
        "format": FORMAT,
        "sencap": __version__,
        "model": as_dict(checkpoint.settings),
        "input": input_record(),
        "vocabulary_size": len(checkpoint.vocabulary),
        "vocabulary_digest": checkpoint.vocabulary.digest,
        "training": checkpoint.training,
    }
    for name in GRAPHS:  # of the weights that were there before
        with told_as_output(folder / name):
            (folder / name).unlink(missing_ok=True)
    card = card or f"A sencap captioner ({checkpoint.settings.system}).\n"
    _write_together(
        folder,
        {
            CONFIG: f"{json.dumps(config, indent=2)}\n".encode(),
            CARD: card.encode(),
            VOCABULARY: f"{checkpoint.vocabulary.to_json()}\n".encode(),
            WEIGHTS: save(state, metadata={"format": "pt"}),
        },
    )
    return folder


def _write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files or none: as drafts, renamed when the last is there, from the last
    to the first."""
    with contextlib.ExitStack() as drafts:
        for name, content in files.items():
            draft = drafts.enter_context(whole_file(folder / name))
            with told_as_output(folder / name):
                draft.write_bytes(content)


def _halved(tensor: Tensor) -> Tensor:
    """In float16, unless it holds integers, or numbers that float16 would make
    infinite."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if half.isfinite().all() else tensor


def load_checkpoint(
    folder: Path | str, *, device: str | torch.device = "cpu"
) -> Checkpoint:
    """The captioner in a folder that `save_checkpoint` wrote, in float32, ready to
    caption.

    The folder may come from anybody: nothing in it is run, and what does not go
    together, or holds numbers that are not finite, is refused before a model is made.

    Raises:
        CheckpointError: a file is missing, broken, or does not go with the others.
    """
    found = read_checkpoint_folder(folder)
    _check_fit(found)
    captioner = build(found.settings, len(found.vocabulary))
    weights = found.path / WEIGHTS
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{weights} is not a safetensors file: {error}"
        ) from error
    captioner.load_state_dict(state)
    captioner.to(device).eval()
    return Checkpoint(
        captioner, found.vocabulary, found.settings, found.training, found.path
    )


def _check_fit(found: CheckpointFolder) -> None:
    """Compare the tensors with those of the model that the settings describe, before it
    takes any memory."""
    try:
        with torch.device("meta"):
            model = build(found.settings, len(found.vocabulary))
    except SettingsError as error:
        raise CheckpointError(
            f"{found.path / CONFIG} cannot be used: {shortened(str(error))}"
        ) from error
    differences = misfit(model.state_dict(), found.tensors)
    if differences:
        raise CheckpointError(
            f"{found.path / WEIGHTS} does not fit {CONFIG}: {differences}, where "
            "'here' is the model that the settings describe, and 'there' the file; "
            "take all files of a folder from one training"
        )
