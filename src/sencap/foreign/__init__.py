"""Weights that an extractor's backbone starts from: anybody's, recognised by what they
hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sencap.checkpoint_folder import COUNTER
from sencap.errors import CheckpointError
from sencap.foreign.read import Source, read
from sencap.foreign.recognise import first_convolution, recognise
from sencap.models.extractors import Extractor
from sencap.models.misfit import misfit

__all__ = ["initialise_backbone", "load_backbone"]

RGB = (3, 2, 1)  # B4, B3, B2 where the bands begin B1, B2, B3, B4
SENTINEL_2 = {
    13: "the 13 bands of Sentinel-2 L1C (s2c)",
    12: "the 12 bands of Sentinel-2 L2A (s2a: as s2c without B10, which comes after RGB)",
}
# What may follow a source: ?rgb=2,1,0 or ?encoder=key&first=whole
_CHOICE = r"(?:rgb=\d+,\d+,\d+|encoder=(?:query|key)|first=(?:halved|whole))"
CHOICES = re.compile(rf"\?({_CHOICE}(?:&{_CHOICE})*)$")


class Choices(NamedTuple):
    """How weights are taken: ``rgb``, the channels that are red, green and blue;
    ``encoder`` of MoCo's two; ``halved``, whether a first convolution that is repeated
    over the two dates is halved."""

    rgb: tuple[int, ...] | None = None
    encoder: str = "query"
    halved: bool = True


def initialise_backbone(extractor: Extractor, path: Path | str) -> str:
    """Load anybody's weights of the extractor's backbone, recognised by their content.

    ``path`` is a safetensors file, a PyTorch file of tensors (state dict, MoCo or SeCo
    checkpoint, …), a folder that sencap wrote, or ``timm:NAME`` for timm's own from its
    hub. ``?rgb=2,1,0`` at its end names the input channels that are red, green and blue
    (counted from 0) where their number alone does not tell. ``?encoder=key`` takes
    MoCo's key encoder instead of its query encoder, and ``?first=whole`` does not halve
    the first convolution; ``?encoder=key&first=whole`` is how SEN's authors read a MoCo
    file.

    A first convolution of 3 channels enters a 6-channel backbone repeated over the two
    dates and halved, so that a pair of equal images gives the features the 3-channel
    network gives. Of 13 and 12 channels (Sentinel-2) those of RGB are taken. 6 channels
    are the RGB of two dates, the older first. What belongs to no backbone (head, queue,
    optimiser) is left.

    Returns:
        One line that says what was recognised, adapted and left.

    Raises:
        CheckpointError: no such weights, a file that would run code, or one that does
            not fit the backbone.
    """
    init, choices = _without_choices(str(path))
    return load_backbone(extractor, read(init), choices)


def load_backbone(
    extractor: Extractor, source: Source, choices: Choices | None = None
) -> str:
    """`initialise_backbone`, of a source that was read already."""
    choices = choices or Choices()
    rgb = choices.rgb
    target = extractor.backbone.state_dict()
    found = recognise(source, target, encoder=choices.encoder)
    first = first_convolution(target)
    channels = found.tensors[first].shape[1]
    _check_numbers(source, found.tensors)
    loaded = {
        name: tensor.to(target[name].dtype) for name, tensor in found.tensors.items()
    }
    loaded[first], adapted = _adapt(
        source, loaded[first], target[first].shape[1], choices
    )
    differences = misfit({name: target[name] for name in loaded}, loaded)
    if differences:
        raise CheckpointError(
            f"extractor.init={source.name} does not fit the backbone: {differences}. "
            "Is extractor.backbone the network these weights are of?"
        )
    extractor.backbone.load_state_dict({**target, **loaded})
    kind = f"{found.kind}, {channels} input channels{_meaning(channels, given=rgb)}"
    parts = [
        f"recognised as {kind}",
        f"{len(loaded)} tensors matched {found.how}",
        f"adapted: {', '.join(adapted) or 'nothing'}",
        f"left: {', '.join(found.left) or 'nothing'}",
    ]
    if source.remark:
        parts.append(source.remark)
    return f"{Path(source.name).name}: {'; '.join(parts)}"


def _without_choices(init: str) -> tuple[str, Choices]:
    """The source, and what is said after it."""
    given = CHOICES.search(init)
    if given is None:
        return init, Choices()
    said = dict(choice.split("=") for choice in given[1].split("&"))
    rgb = None
    if "rgb" in said:
        rgb = tuple(int(number) for number in said["rgb"].split(","))
    return init[: given.start()], Choices(
        rgb=rgb,
        encoder=said.get("encoder", "query"),
        halved=said.get("first", "halved") == "halved",
    )


def _check_numbers(source: Source, tensors: Mapping[str, Tensor]) -> None:
    """Weights are finite floating-point numbers; only BatchNorm's counter is an
    integer."""
    for name, tensor in tensors.items():
        if name.endswith(COUNTER) and tensor.dtype == torch.int64:
            continue
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"extractor.init={source.name}: {name} holds numbers of type {kind}; "
                "weights are floating-point numbers. If they were quantised, take "
                "those from before"
            )
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"extractor.init={source.name}: {name} holds numbers that are NaN or "
                "infinite; take weights of an earlier epoch, or of another training"
            )


def _meaning(channels: int, *, given: tuple[int, ...] | None) -> str:
    known = {6: "the RGB of two dates, the older first", **SENTINEL_2}
    if given is not None or channels not in known:
        return ""
    return f", taken as {known[channels]}"


def _adapt(
    source: Source, weight: Tensor, wanted: int, choices: Choices
) -> tuple[Tensor, list[str]]:
    """The first convolution (C, channels, k, k) with ``wanted`` input channels, and
    what was done to it."""
    done = []
    rgb = choices.rgb
    channels = weight.shape[1]
    if rgb is not None:
        if max(rgb) >= channels:
            raise CheckpointError(
                f"extractor.init={source.name}?rgb={','.join(map(str, rgb))}: the "
                f"file has {channels} input channels, 0 to {channels - 1}"
            )
        weight = weight[:, list(rgb)]
        done.append(f"channels {', '.join(map(str, rgb))} taken as RGB")
    elif channels in SENTINEL_2:
        weight = weight[:, list(RGB)]
        done.append(f"channels {', '.join(map(str, RGB))} (B4, B3, B2) taken as RGB")
    if weight.shape[1] == 3 and wanted == 6:
        weight = weight.repeat(1, 2, 1, 1)
        told = "the first convolution repeated over the two dates"
        if choices.halved:
            weight = weight / 2
            told += " and halved"
        done.append(told)
    if weight.shape[1] == 6 and wanted == 3:
        raise CheckpointError(
            f"extractor.init={source.name} is of a network that sees two dates at "
            "once (6 input channels); extractor.structure=single-cat takes it, the "
            "others see 3 channels"
        )
    if weight.shape[1] != wanted:
        raise CheckpointError(
            f"extractor.init={source.name} has {channels} input channels, and their "
            "number does not tell which are red, green and blue; name them, counted "
            f"from 0: extractor.init={source.name}?rgb=2,1,0"
        )
    return weight, done
