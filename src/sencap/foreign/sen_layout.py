"""SEN as its authors save it: their names of modules, the settings read off shapes and
attributes, and what tensors alone do not tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sencap.checkpoint_folder import COUNTER
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.errors import CheckpointError
from sencap.foreign.pickled_modules import PickledModule
from sencap.json_files import shortened, shown
from sencap.models.captioner import Captioner
from sencap.models.misfit import misfit
from sencap.models.positions import sinusoids
from sencap.models.variants import build

RESNETS = {  # (blocks per layer, convolutions per block) → timm's name
    ((2, 2, 2, 2), 2): "resnet18",
    ((3, 4, 6, 3), 2): "resnet34",
    ((3, 4, 6, 3), 3): "resnet50",
    ((3, 4, 23, 3), 3): "resnet101",
    ((3, 8, 36, 3), 3): "resnet152",
}
CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
# Their module → ours, in the order in which they are tried; {i} is a layer's number.
EXTRACTOR = (("backbone.", "backbone."), ("P", "P"))
DIFFERENCE = (
    ("embed_img", "sfe.conv"),
    ("channel_attn_bef", "sfe.attention.bef"),
    ("channel_attn_aft", "sfe.attention.aft"),
    (r"blocks.{i}.cross_attn_(bef|aft).attn", r"layers.\1.cross.\2.attention"),
    (
        r"blocks.{i}.cross_attn_(bef|aft).(linear[12])",
        r"layers.\1.cross.\2.feed_forward.\3",
    ),
    (r"blocks.{i}.cross_attn_(bef|aft).(norm[12])", r"layers.\1.cross.\2.\3"),
    (r"blocks.{i}.attn", r"layers.\1.attention"),
    (r"blocks.{i}.norm", r"layers.\1.norm"),
)
DECODER = (
    ("vocab_embedding", "embedding"),
    (r"transformer.layers.{i}.self_attn", r"layers.\1.self_attention"),
    (r"transformer.layers.{i}.multihead_attn2", r"layers.\1.cross_attention"),
    (r"transformer.layers.{i}.(linear[12])", r"layers.\1.feed_forward.\2"),
    (r"transformer.layers.{i}.(norm[123])", r"layers.\1.\2"),
    ("wdc", "output"),
)
RENAMED = {"extractor": EXTRACTOR, "difference": DIFFERENCE, "decoder": DECODER}
POSITIONS = {
    "difference": ("pe_img.pe", "pe_feat.pe"),
    "decoder": ("position_encoding.pe",),
}
# Those with one row for each word
_BY_WORD = {"decoder.vocab_embedding.weight", "decoder.wdc.weight", "decoder.wdc.bias"}
UNUSED = {"position_encoding.embedding_1D.weight"}
# Our model of their tensors


def network_names(extractor: PickledModule) -> Callable[[str], str]:
    """Sequential(resnet, projection), or the resnet alone, children numbered or not →
    backbone.layer1.… and P.…"""
    numbered = {str(number): child for number, child in enumerate(CHILDREN)}
    is_bare = any(name in extractor.tensors for name in ("conv1.weight", "0.weight"))
    network = "" if is_bare else next(iter(extractor.tensors)).partition(".")[0]

    def name(theirs: str) -> str:
        child, _, rest = theirs.partition(".")
        if is_bare:
            rest = theirs
        elif child != network:
            return f"P.{rest}".rstrip(".")
        first, dot, tail = rest.partition(".")
        return f"backbone.{numbered.get(first, first)}{dot}{tail}"

    return name


def sen_captioner(
    parts: Mapping[str, PickledModule], order: list[int]
) -> tuple[Captioner, ModelSettings]:
    """Our SEN with the weights of theirs, and its settings.

    ``parts`` are ``extractor``, ``difference`` and ``decoder``; ``order`` are the ids
    that our words have there.

    Raises:
        CheckpointError: modules that SEN is not, or numbers that are none.
    """
    extractor = parts["extractor"]
    parts = {**parts, "extractor": extractor.renamed(network_names(extractor))}
    settings = _settings(parts)
    captioner = build(settings, len(order))
    for name, tables in POSITIONS.items():
        _check_positions(parts[name], tables)
    state = _state(parts, order)
    differences = misfit(captioner.state_dict(), state)
    if differences:
        raise CheckpointError(
            f"its modules are not SEN's as this version knows it: {differences}"
        )
    check_weight_numbers(state)
    captioner.load_state_dict(state)
    _check_geometry(parts, captioner)
    return captioner.eval(), settings


def check_weight_numbers(state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN, infinite or no floating-point numbers."""
    for name, tensor in state.items():
        is_counter = name.endswith(COUNTER)
        if not is_counter and not (
            tensor.is_floating_point() and tensor.isfinite().all()
        ):
            raise CheckpointError(
                f"its {name} holds numbers that are NaN, infinite, or no "
                "floating-point numbers"
            )


def _state(parts: Mapping[str, PickledModule], order: list[int]) -> dict[str, Tensor]:
    """Their tensors under our names, the rows that stand for words in our order."""
    state: dict[str, Tensor] = {}
    for name, part in parts.items():
        skipped = {*POSITIONS.get(name, ()), *UNUSED}
        for theirs, tensor in part.tensors.items():
            if theirs in skipped:
                continue
            if f"{name}.{theirs}" in _BY_WORD and tensor.shape[:1] == (len(order),):
                tensor = tensor[order]  # noqa: PLW2901
            for ours, piece in _renamed(part.name, theirs, tensor, RENAMED[name]):
                state[f"{name}.{ours}"] = piece
    return state


def _settings(parts: Mapping[str, PickledModule]) -> ModelSettings:
    extractor, difference, decoder = (
        parts["extractor"],
        parts["difference"],
        parts["decoder"],
    )
    D = decoder.tensor("vocab_embedding.weight", 2).shape[1]
    backbone, stage = resnet_of(extractor)
    has_projection = any(name.startswith("P.") for name in extractor.tensors)
    channels = extractor.tensor("backbone.conv1.weight", 4).shape[1]
    if channels != 6:
        raise CheckpointError(
            f"its extractor sees {channels} channels; SEN's sees 6, two RGB dates"
        )
    cross, attended = "blocks.0.cross_attn_bef.attn", "transformer.layers.0.self_attn"
    return ModelSettings(
        dimension=D,
        extractor=ExtractorSettings(
            backbone=backbone,
            stage=stage,
            projection=None if has_projection else "where-needed",
        ),
        difference=DifferenceSettings(
            layers=difference.count(r"blocks\.(\d+)\."),
            heads=difference.number(cross, "num_heads", 8),
            dropout=difference.number(cross, "dropout", 0.5),
            position_dropout=difference.number("pe_img.dropout", "p", 0.1),
            reduction=D // len(difference.tensor("channel_attn_bef.mlp.0.weight", 4)),
            kernel_size=difference.tensor("embed_img.weight", 4).shape[-1],
        ),
        decoder=DecoderSettings(
            layers=decoder.count(r"transformer\.layers\.(\d+)\."),
            heads=decoder.number(attended, "num_heads", 8),
            expansion=len(decoder.tensor("transformer.layers.0.linear1.weight", 2))
            // D,
            dropout=decoder.number(attended, "dropout", 0.5),
            position_dropout=decoder.number("position_encoding.dropout", "p", 0.1),
        ),
    )


def resnet_of(extractor: PickledModule) -> tuple[str, int]:
    """Name of the network and its last stage, by its blocks."""
    counts = [extractor.count(rf"backbone\.layer{i}\.(\d+)\.") for i in (1, 2, 3, 4)]
    depth = tuple(count for count in counts if count)
    convolutions = 3 if "backbone.layer1.0.conv3.weight" in extractor.tensors else 2
    for (blocks, width), name in RESNETS.items():
        if depth and width == convolutions and blocks[: len(depth)] == depth:
            return name, len(depth)
    raise CheckpointError(
        f"its extractor, with {counts} blocks of {convolutions} convolutions, is no "
        "known ResNet"
    )


def _renamed(
    part: str, name: str, tensor: Tensor, table: tuple[tuple[str, str], ...]
) -> list[tuple[str, Tensor]]:
    """One of their tensors by our name, or by three where we keep apart what they keep
    in one."""
    for theirs, ours in table:
        prefix = theirs.rstrip(".") + "."
        pattern = prefix.replace(".", r"\.").replace("{i}", r"(\d+)")
        match = re.match(pattern, name)
        if match:
            return _attention(
                f"{match.expand(ours).rstrip('.')}.", name[match.end() :], tensor
            )
    raise CheckpointError(
        f"its {part} has {shortened(name, 60)} {tuple(tensor.shape)}, which SEN as "
        "described has not"
    )


def _attention(prefix: str, rest: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """nn.MultiheadAttention keeps query, key and value in one matrix; the others keep
    their names."""
    match rest:
        case "in_proj_weight" | "in_proj_bias":
            kind = rest.removeprefix("in_proj_")
            names = [f"{prefix}{name}.{kind}" for name in ("query", "key", "value")]
            return list(zip(names, tensor.chunk(3), strict=False))
        case "out_proj.weight" | "out_proj.bias":
            return [(f"{prefix}out.{rest.removeprefix('out_proj.')}", tensor)]
    return [(prefix + rest, tensor)]


# What tensors alone do not tell


def _check_positions(part: PickledModule, names: tuple[str, ...]) -> None:
    """Their position tables must be the sinusoids that ours are."""
    for name in names:
        if name in part.tensors and not are_sinusoids(part.tensors[name]):
            raise CheckpointError(
                f"its {part.name}.{name} is no table of sinusoids, which SEN's "
                "positions are"
            )


def are_sinusoids(stored: Tensor) -> bool:
    """Whether a position table is ours, to the digits that its type has."""
    table = stored.squeeze()
    if table.ndim != 2 or not table.is_floating_point():
        return False
    tolerance = max(1e-4, torch.finfo(table.dtype).eps)
    return torch.allclose(table.float(), sinusoids(*table.shape), atol=tolerance)


def _check_geometry(parts: Mapping[str, PickledModule], captioner: Captioner) -> None:
    """Strides, paddings and epsilons are in no tensor: where the modules tell them,
    they must be ours."""
    _check_backbone(parts["extractor"], captioner.extractor.get_submodule("backbone"))
    _check_embedding(
        parts["difference"], captioner.difference.get_submodule("sfe.conv")
    )
    for part in parts.values():
        _check_layers(part)


def _check_backbone(extractor: PickledModule, backbone: nn.Module) -> None:
    for name, module in backbone.named_modules():
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            continue
        for attribute in ("stride", "padding", "dilation", "groups", "eps"):
            ours = getattr(module, attribute, None)
            theirs = extractor.attribute(f"backbone.{name}", attribute, ours)
            if theirs != ours:
                raise CheckpointError(
                    f"its extractor's {name} has {attribute} {theirs}; this ResNet "
                    f"has {ours}"
                )


def _check_embedding(difference: PickledModule, embedding: Any) -> None:
    k = embedding.kernel_size[0]
    same = {
        "stride": embedding.stride,
        "padding": ((k - 1) // 2,) * 2,
        "dilation": (1, 1),
        "groups": 1,
    }
    for attribute, ours in same.items():
        theirs = difference.attribute("embed_img", attribute, ours)
        if theirs != ours or k % 2 == 0:
            raise CheckpointError(
                f"its embed_img, of kernel {k}, has {attribute} {theirs}; this model "
                f"has {ours}, with an odd kernel"
            )


def _check_layers(part: PickledModule) -> None:
    """All attentions have one number of heads, and norms come after them, with
    PyTorch's usual epsilon."""
    heads = {
        name: a["num_heads"] for name, a in part.attributes.items() if "num_heads" in a
    }
    if len(set(heads.values())) > 1:
        raise CheckpointError(
            f"the attentions of its {part.name} have different numbers of heads, "
            f"{shown(heads, 200)}; SEN's have one number"
        )
    for name, attributes in part.attributes.items():
        is_norm = "normalized_shape" in attributes
        if attributes.get("norm_first") or (is_norm and attributes.get("eps") != 1e-5):
            raise CheckpointError(
                f"its {part.name}.{name} is normalised in another way than SEN's "
                "layers are"
            )
