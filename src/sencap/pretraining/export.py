"""A pre-trained backbone as a folder: ``model.safetensors`` and ``config.json``, format
"sencap-backbone-1"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from sencap.checkpoint_folder import CONFIG, WEIGHTS
from sencap.config import as_dict
from sencap.environment import environment
from sencap.files import told_as_output, write_whole
from sencap.pretraining.settings import DATES_PER_INPUT, PretrainingSettings
from sencap.runs.folder import keep_last_names
from sencap.version import __version__

BACKBONE_FORMAT = "sencap-backbone-1"


def save_backbone(
    folder: Path,
    backbone: nn.Module,
    settings: PretrainingSettings,
    *,
    record: dict[str, Any],
) -> Path:
    """Write the folder that ``sencap train --extractor.init`` takes; each file is
    complete or absent.

    The tensors carry the names of `sencap.models.extractors.FeatureExtractor.backbone`.
    ``config.json`` holds format, backbone, in_channels (6: the older date first; 3),
    method, mean and std the inputs had, the whole settings, the environment and
    ``record`` (epoch, watching figures).

    Raises:
        OutputError: a file cannot be written; what was there before is as it was.
    """
    with told_as_output(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # The query encoder's backbone without its heads, which serve the contrast alone.
    tensors = {
        name: tensor.contiguous() for name, tensor in backbone.state_dict().items()
    }
    write_whole(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    told = as_dict(settings)
    keep_last_names(told, "data", "out", "init")
    config = {
        "format": BACKBONE_FORMAT,
        "sencap": __version__,
        "backbone": settings.backbone,
        "in_channels": 3 * DATES_PER_INPUT[settings.method],
        "method": settings.method,
        "mean": list(settings.mean),
        "std": list(settings.std),
        "settings": told,
        "environment": environment(),
        **record,
    }
    write_whole(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    return folder
