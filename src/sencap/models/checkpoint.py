"""Checkpoints: a folder with ``config.json``, ``model.safetensors``, ``vocabulary.json`` and ``README.md``.

Loading needs only the folder's path and runs no code from it: JSON and safetensors hold data alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from sencap import __version__
from sencap.config import ModelSettings, as_dict, model_from_dict
from sencap.data.vocabulary import Vocabulary
from sencap.errors import CheckpointError, SettingsError
from sencap.models.captioner import Captioner
from sencap.models.variants import build

FORMAT = "sencap-captioner-1"
CONFIG, WEIGHTS, VOCABULARY, CARD = "config.json", "model.safetensors", "vocabulary.json", "README.md"


@dataclass(frozen=True)
class Checkpoint:
    """A captioner in evaluation mode with its vocabulary, its settings and how it was trained."""

    captioner: Captioner
    vocabulary: Vocabulary
    settings: ModelSettings
    training: dict[str, Any]
    path: Path | None = None


def save_checkpoint(
    folder: Path | str, checkpoint: Checkpoint, *, card: str = "", half: bool = False
) -> Path:
    """Write a checkpoint folder; each file is complete or absent. ``half`` stores the weights in float16.

    ``card`` is the text of its README.md.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (t.half() if half and t.is_floating_point() else t).contiguous()
        for name, t in checkpoint.captioner.state_dict().items()
    }
    weights = folder / f"{WEIGHTS}.new"
    weights.write_bytes(save(state, metadata={"format": "pt"}))
    weights.replace(folder / WEIGHTS)
    checkpoint.vocabulary.save(folder / VOCABULARY)
    config = {
        "format": FORMAT,
        "sencap": __version__,
        "model": as_dict(checkpoint.settings),
        "vocabulary_size": len(checkpoint.vocabulary),
        "vocabulary_digest": checkpoint.vocabulary.digest,
        "training": checkpoint.training,
    }
    write_text(folder / CARD, card or f"A sencap captioner ({checkpoint.settings.system}).\n")
    write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    return folder


def load_checkpoint(folder: Path | str, *, device: str | torch.device = "cpu") -> Checkpoint:
    """The captioner in a folder that `save_checkpoint` wrote, in float32, ready to caption.

    Raises:
        CheckpointError: a file is missing, broken, or does not go with the others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a checkpoint folder; it should hold {CONFIG}, {WEIGHTS}, {VOCABULARY}"
        )
    missing = [name for name in (CONFIG, WEIGHTS, VOCABULARY) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is no whole checkpoint: {', '.join(missing)} missing")
    config = _read_config(folder / CONFIG)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    if vocabulary.digest != config["vocabulary_digest"]:
        raise CheckpointError(f"{folder / VOCABULARY} is not the vocabulary that {CONFIG} was written with")
    try:
        settings = model_from_dict(config["model"], source=str(folder / CONFIG))
        captioner = build(settings, len(vocabulary))
        state = load_file(folder / WEIGHTS)
    except SettingsError as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be used: {error}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is not a safetensors file: {error}") from error
    try:
        captioner.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{folder / WEIGHTS} does not fit {CONFIG}: {error}") from error
    captioner.to(device).eval()
    return Checkpoint(captioner, vocabulary, settings, config.get("training", {}), folder)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    for key in ("model", "vocabulary_digest"):
        if key not in config:
            raise CheckpointError(f"{path} lacks the key {key!r}")
    return config


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none: to a temporary name beside it, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
