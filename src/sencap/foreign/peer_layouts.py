"""The published checkpoints of the systems that SEN is compared with, as our systems of
these names.

Whose checkpoint it is, is told by what it holds: of the systems whose every module is
there, the one that leaves the least. Each is built with its own numbers
(`sencap.models.variants`), which are those of its published code; D, the grid and the
network are read off the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sencap.config import ExtractorSettings, ModelSettings
from sencap.errors import CheckpointError, SettingsError
from sencap.foreign import load_backbone
from sencap.foreign.pickled_modules import PickledModule
from sencap.foreign.read import Source, read
from sencap.foreign.sen_layout import (
    are_sinusoids,
    check_weight_numbers,
    network_names,
    resnet_of,
)
from sencap.foreign.units import (
    MisfitError,
    Unit,
    Units,
    joined_attentions,
    match,
    parted_attentions,
    units_of,
)
from sencap.json_files import shortened
from sencap.models.captioner import Captioner
from sencap.models.variants import build, resolved

PEERS = (
    "mccformer-s",
    "mccformer-d",
    "rsiccformer-c",
    "rsiccformer",
    "psnet",
    "duda",
)
_NO_SIZES = 10**6  # units lacking: further from this system than any that has sizes
_BY_WORD = {
    "decoder.embedding.weight",
    "decoder.output.weight",
    "decoder.output.bias",
}


@dataclass(frozen=True)
class Published:
    """A file of theirs: the network, if it holds one, and the modules after it by part.

    A file that does not tell its parts has one, named "".
    """

    name: str
    network: PickledModule | None
    parts: Mapping[str, PickledModule]


class _Fit:
    """A system that a file fits: its settings, their unit for each of ours, and what is
    left."""

    def __init__(self, settings: ModelSettings, published: Published, V: int) -> None:
        self.settings = settings
        try:
            with torch.device("meta"):
                captioner = build(settings, V)
        except SettingsError as error:  # sizes that this system cannot have
            raise MisfitError(str(error), _NO_SIZES) from error
        self.pairs: dict[str, Unit] = {}
        self.left: list[str] = []
        misfits = []
        for part, module in published.parts.items():
            ours = units_of(joined_attentions(_own_state(captioner, part)))
            theirs = _useful(module)
            try:
                found = match(ours.units, theirs.units)
            except MisfitError as error:
                misfits.append(error)
                continue
            self.pairs |= found
            taken = {unit.path for unit in found.values()}
            prefix = f"{part}." if part else ""
            names = [unit.path for unit in theirs.units if unit.path not in taken]
            self.left += [prefix + name for name in [*names, *theirs.loose]]
        if misfits:
            lacking = sum(error.lacking for error in misfits)
            raise MisfitError("; ".join(map(str, misfits)), lacking)


def peer_captioner(
    published: Published, order: list[int], *, backbone: str | None
) -> tuple[Captioner, ModelSettings, list[str]]:
    """Our system with the weights of theirs, its settings, and what of theirs is left.

    ``order`` are the ids that our words have there; ``backbone`` names the weights of
    the network where the file holds none.

    Raises:
        CheckpointError: none of the systems, or numbers that are none.
    """
    fits: list[_Fit] = []
    reasons: dict[str, MisfitError] = {}
    for system in PEERS:
        try:
            settings = _settings(published, system, len(order))
            fits.append(_Fit(settings, published, len(order)))
        except MisfitError as reason:
            reasons[system] = reason
    if not fits:
        nearest = min(reasons, key=lambda name: reasons[name].lacking)
        raise CheckpointError(
            f"it is of none of {', '.join(('sen', *PEERS))}. As {nearest}, which it is "
            f"nearest to: {shortened(str(reasons[nearest]), 200)}"
        )
    fit = min(fits, key=lambda one: len(one.left))
    _check_heads(published, resolved(fit.settings))
    captioner = build(fit.settings, len(order))
    state = _state(fit, captioner, order)
    check_weight_numbers(state)
    captioner.load_state_dict({**captioner.state_dict(), **state})
    _load_network(captioner, published, backbone)
    return captioner.eval(), fit.settings, fit.left


def _own_state(captioner: Captioner, part: str) -> dict[str, Tensor]:
    """Our tensors of a part, or of both where the file does not tell its parts."""
    wanted = (part,) if part else ("difference", "decoder")
    return {
        name: tensor
        for name, tensor in captioner.state_dict().items()
        if name.partition(".")[0] in wanted
    }


def _useful(module: PickledModule) -> Units:
    """The units of a module of theirs; position tables that are sinusoids need not be
    kept.

    Raises:
        CheckpointError: a position table is another one.
    """
    kept = {}
    for name, tensor in module.tensors.items():
        is_table = name.rpartition(".")[2] == "pe"
        if is_table and not are_sinusoids(tensor):
            raise CheckpointError(
                f"its {module.name}.{shortened(name, 60)} is no table of sinusoids, "
                "which the decoder's positions are"
            )
        if not is_table:
            kept[name] = tensor
    return units_of(kept)


def _settings(published: Published, system: str, V: int) -> ModelSettings:
    """D, the grid and the network, as the shapes tell them; the rest is the system's.

    Raises:
        MisfitError: there is no table of V words.
    """
    units: list[Unit] = []
    for module in published.parts.values():
        units += _useful(module).units
    tables = [unit.tensors["weight"] for unit in units if [*unit.tensors] == ["weight"]]
    words = [table for table in tables if table.ndim == 2 and len(table) == V]
    outputs = [
        unit.tensors["weight"]
        for unit in units
        if {*unit.tensors} == {"weight", "bias"} and len(unit.tensors["weight"]) == V
    ]
    if not words or not outputs or outputs[0].ndim != 2:
        raise MisfitError(
            f"it has no embedding and output of V={V}, the word map's words", _NO_SIZES
        )
    own = resolved(ModelSettings(system=system))
    if system == "duda":
        extractor = _network_settings(published, own.extractor, grid=None)
        return ModelSettings(
            system=system, dimension=outputs[0].shape[1], extractor=extractor
        )
    D = words[0].shape[1] // 2  # the decoders are 2D wide
    sides = [len(table) for table in tables if table.shape[1:] == (D // 2,)]
    extractor = _network_settings(
        published, own.extractor, grid=sides[0] if sides else None
    )
    return ModelSettings(system=system, dimension=D, extractor=extractor)


def _network_settings(
    published: Published, own: ExtractorSettings, *, grid: int | None
) -> ExtractorSettings:
    """The ResNet of the file, at the system's stage or before; else the system's own."""
    settings = ExtractorSettings(grid=None if grid == own.grid else grid)
    if published.network is None:
        return settings
    renamed = published.network.renamed(network_names(published.network))
    try:
        backbone, stage = resnet_of(renamed)
    except CheckpointError:
        return settings  # the system's own: PSNet's is no ResNet
    assert own.stage is not None  # every system names its own
    stage = min(stage, own.stage)
    if backbone != own.backbone:
        settings = dataclasses.replace(settings, backbone=backbone)
    if stage != own.stage:
        settings = dataclasses.replace(settings, stage=stage)
    return settings


def _state(fit: _Fit, captioner: Captioner, order: list[int]) -> dict[str, Tensor]:
    """Their tensors under our names, the rows that stand for words in our order."""
    joined = {}
    for path, unit in fit.pairs.items():
        for slot, tensor in unit.tensors.items():
            joined[f"{path}.{slot}"] = tensor
    state = parted_attentions(joined)
    wanted = captioner.state_dict()
    shaped = {}
    for name, tensor in state.items():
        ordered = tensor[order] if name in _BY_WORD else tensor
        # a 1×1 convolution may be a linear layer there
        shaped[name] = ordered.reshape(wanted[name].shape)
    return shaped


def _check_heads(published: Published, settings: ModelSettings) -> None:
    """No tensor tells the number of heads; where the modules do, it must be ours."""
    for part, module in published.parts.items():
        heads: Any = getattr(settings, part).heads if part else None
        for name, attributes in module.attributes.items():
            told = attributes.get("num_heads", heads)
            if told != heads and heads is not None:
                raise CheckpointError(
                    f"its {module.name}.{shortened(name, 60)} has {told!r} heads; "
                    f"{settings.system} has {heads}"
                )


def _load_network(
    captioner: Captioner, published: Published, backbone: str | None
) -> None:
    """The network's weights, of the file or of ``backbone``."""
    extractor: Any = captioner.extractor
    if backbone is not None:
        load_backbone(extractor, read(backbone))
        return
    if published.network is not None:
        held = published.network.tensors
        load_backbone(extractor, Source("encoder_image", {"": held}))
        return
    name = captioner.settings.extractor.backbone
    raise CheckpointError(
        f"it holds no network: {captioner.settings.system} was trained on features of a "
        f"frozen {name}; name its weights, for example --backbone {name}.pth"
    )
