"""`sencap info`: what a system is made of."""

from __future__ import annotations

import json as json_
from pathlib import Path

from sencap.checkpoint_folder import count_stored_parameters, read_checkpoint_folder
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.weights import HUB_PREFIX, LOCAL_PREFIX, checkpoint_folder


def command(
    name: str = "sen",
    *,
    vocabulary_size: int = 501,
    json: bool = False,
    list_systems: bool = False,
    size: int = 256,
    dimension: int | None = None,
    extractor: ExtractorSettings = ExtractorSettings(),  # noqa: B008  (frozen)
    difference: DifferenceSettings = DifferenceSettings(),  # noqa: B008
    decoder: DecoderSettings = DecoderSettings(),  # noqa: B008
) -> str:
    """Count the parameters of a system, or of a checkpoint, by part.

    Prints extractor, difference, decoder and total. A checkpoint needs no PyTorch.

    Args:
        name: The system, as --list-systems prints them, or a checkpoint: a folder, or
            hub:OWNER/NAME@REVISION.
        vocabulary_size: V, the number of words with the four markers.
        json: Print JSON.
        list_systems: Print the names of all systems instead.
        size: Side of the square that images are resized to; a backbone that cannot take
            it is refused.
        dimension: D, the embedding width (512, if not given).
        extractor: The feature extractor.
        difference: The difference encoder.
        decoder: The decoder.
    """
    if list_systems:
        from sencap.models.variants import SYSTEMS

        return "\n".join(SYSTEMS)
    if Path(name).is_dir() or name.startswith((HUB_PREFIX, LOCAL_PREFIX)):
        folder = checkpoint_folder(name)
        counts = count_stored_parameters(read_checkpoint_folder(folder).tensors)
    else:
        from sencap.models.counting import info

        settings = ModelSettings(
            size=size,
            dimension=dimension,
            extractor=extractor,
            difference=difference,
            decoder=decoder,
        )
        counts = info(name, vocabulary_size=vocabulary_size, settings=settings)
    if json:
        return json_.dumps(counts)
    return "\n".join(f"{part:<12}{count:>14,}" for part, count in counts.items())
