"""How many parameters a system has."""

from __future__ import annotations

import dataclasses

import torch

from sencap.bounds import check_numbers
from sencap.config import ModelSettings
from sencap.models.captioner import count_parameters
from sencap.models.image_size import check_image_size
from sencap.models.variants import build


def info(
    name: str = "sen",
    *,
    vocabulary_size: int = 501,
    settings: ModelSettings | None = None,
) -> dict[str, int]:
    """The parameter counts of a system: ``extractor``, ``difference``, ``decoder`` and
    ``total``.

    ``vocabulary_size`` is V, the four markers counted; ``settings`` other ones than the
    paper's.

    Raises:
        SettingsError: an unknown system, with the nearest known name; a number out of
            its bounds; a backbone that cannot take images of the settings' size.
    """
    check_numbers(vocabulary_size=vocabulary_size)
    given = ModelSettings() if settings is None else settings
    chosen = dataclasses.replace(given, system=name)
    # Shapes without numbers: a system of any size takes no memory.
    with torch.device("meta"):
        system = build(chosen, vocabulary_size)
    counts = count_parameters(system)
    backbone = str(system.settings.extractor.backbone)
    check_image_size(system.extractor, backbone, chosen.size, setting="size")
    return counts
