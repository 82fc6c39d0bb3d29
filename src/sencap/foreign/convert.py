"""The SEN authors' own checkpoints, whole pickled modules, into a checkpoint of ours;
nothing in them is run.

Their file is a dict with the modules ``encoder_image`` (extractor), ``encoder_feat``
(difference encoder) and ``decoder``, each perhaps wrapped by torch.compile.
`sencap.foreign.inert` reads it; what is left to do is to give each tensor our name, to
read the settings off shapes and attributes, and to put the words in our order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sencap.checkpoint_folder import COUNTER
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.data.vocabulary import MOST_MEGABYTES, SPECIAL_WORDS, Vocabulary
from sencap.errors import CheckpointError, SettingsError
from sencap.files import check_output_folder, not_a_file
from sencap.foreign.inert import read_torch_file
from sencap.foreign.pickled_modules import PickledModule, read_module
from sencap.json_files import read_json, shortened, shown
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.export import export_checkpoint
from sencap.models.misfit import misfit
from sencap.models.positions import sinusoids
from sencap.models.variants import build

_PARTS = {
    "encoder_image": "extractor",
    "encoder_feat": "difference",
    "decoder": "decoder",
}
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
BY_WORD = {"decoder.vocab_embedding.weight", "decoder.wdc.weight", "decoder.wdc.bias"}
UNUSED = {"position_encoding.embedding_1D.weight"}
ALIASES = {"<null>": "<pad>", "<sos>": "<start>", "<bos>": "<start>", "<eos>": "<end>"}
# Functions that no module needs, and that a pickle which does harm asks for
DANGEROUS = re.compile(
    r"(ctypes|importlib|nt|os|posix|pty|runpy|shutil|socket|subprocess|sys|urllib)\."
    r"|builtins\.(__import__|compile|eval|exec|execfile|open)$"
)


class Converted(NamedTuple):
    """The checkpoint made, and one line that says what it is made of and what was
    left."""

    checkpoint: Checkpoint
    message: str


def convert(source: Path | str, vocabulary: Path | str, out: Path | str) -> Converted:
    """`convert_official`, and the graphs that caption without PyTorch."""
    converted = convert_official(source, vocabulary, out)
    export_checkpoint(out)
    return converted


def convert_official(
    source: Path | str, vocabulary: Path | str, out: Path | str
) -> Converted:
    """Write the authors' checkpoint ``source`` with their word map ``vocabulary`` as a
    checkpoint folder ``out``.

    The converted model gives the logits of the original, with the words' ids put in our
    order (special words first). Dropout, heads, strides and depths are read off the
    modules.

    Raises:
        CheckpointError: not such a checkpoint, modules that this model is not, or
            another model's word map.
        SettingsError: ``out`` holds something already.
    """
    source, out = Path(source), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(
            f"{out} exists and is not an empty folder; name another one"
        )
    if reason := not_a_file(source):
        raise CheckpointError(f"{source} is not a file ({reason})")
    check_output_folder("out", out)
    content, asked = read_torch_file(source)
    _check_parts(source, content)
    try:
        parts = {
            ours: read_module(theirs, content[theirs])
            for theirs, ours in _PARTS.items()
        }
        parts["extractor"] = parts["extractor"].renamed(
            _extractor_names(parts["extractor"])
        )
        rows = len(parts["decoder"].tensor("vocab_embedding.weight", 2))
        words, order = _words(Path(vocabulary), rows)
        captioner, settings = _captioner(parts, order)
    except (CheckpointError, SettingsError) as error:
        raise CheckpointError(f"{source} cannot be converted: {error}") from error
    made = Checkpoint(captioner, words, settings, {"converted_from": source.name}, out)
    card = f"Converted by sencap from {source.name}, a checkpoint of SEN's authors.\n"
    save_checkpoint(out, made, card=card)

    left = [shortened(str(key), 60) for key in content if key not in _PARTS]
    reordered = order != list(range(len(words)))
    message = (
        f"{out}: {settings.extractor.backbone} to stage {settings.extractor.stage}, "
        f"D={settings.dimension}, N_e={settings.difference.layers}, "
        f"N_d={settings.decoder.layers}, "
        f"V={len(words)}{' (words put in another order)' * reordered}; left: "
        f"{', '.join(left) or 'nothing'}"
    )
    dangerous = sorted(name for name in asked if DANGEROUS.match(name))
    if dangerous:  # told for the user's sake: nothing was called
        called = shortened(", ".join(dangerous), 200)
        message += f". BEWARE: loaded as a pickle, {source.name} would call {called}"
    return Converted(made, message)


def _check_parts(source: Path, content: Any) -> None:
    held = content if isinstance(content, dict) else {}
    missing = [name for name in _PARTS if name not in held]
    if missing:
        keys = shortened(", ".join(map(str, held)), 200)
        what = keys if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{source} is not a checkpoint of the SEN authors': it lacks "
            f"{', '.join(missing)}; it holds {what}. Weights of a backbone alone go "
            "to extractor.init"
        )


# Their words


def _words(path: Path, rows: int) -> tuple[Vocabulary, list[int]]:
    """Our vocabulary of their word map, and the id that each of its words has there."""
    try:
        table = read_json(path, most_megabytes=MOST_MEGABYTES)
    except CheckpointError as error:
        raise CheckpointError(f"the word map {error}") from error
    if not isinstance(table, dict) or not all(
        type(number) is int for number in table.values()
    ):
        raise CheckpointError(f"the word map {path} is not a JSON object, word → id")
    if sorted(table.values()) != list(range(rows)):
        raise CheckpointError(
            f"the word map {path} has {len(table)} words with ids "
            f"{min(table.values(), default=0)} to {max(table.values(), default=0)}; "
            f"the decoder's embedding has {rows} rows, 0 to {rows - 1}, one for each "
            "word. Is it the word map of this model?"
        )
    ids = {_special(word): number for word, number in table.items()}
    missing = [word for word in SPECIAL_WORDS if word not in ids]
    if missing or len(ids) < len(table):
        raise CheckpointError(
            f"the word map {path} lacks {', '.join(missing) or 'one of two like words'}"
        )
    # the special words first, as in every vocabulary of ours; the others stay in their
    # order
    by_id = sorted(ids, key=ids.__getitem__)
    words = [*SPECIAL_WORDS, *(word for word in by_id if word not in SPECIAL_WORDS)]
    return Vocabulary(tuple(words)), [ids[word] for word in words]


def _special(word: str) -> str:
    lower = word.lower()
    return ALIASES.get(lower, lower) if lower in (*ALIASES, *SPECIAL_WORDS) else word


# Our model of their tensors


def _extractor_names(extractor: PickledModule) -> Callable[[str], str]:
    """Sequential(resnet, projection), children numbered or not → backbone.layer1.… and
    P.…"""
    network = next(iter(extractor.tensors)).partition(".")[0]
    numbered = {str(number): child for number, child in enumerate(CHILDREN)}

    def name(theirs: str) -> str:
        child, _, rest = theirs.partition(".")
        if child != network:
            return f"P.{rest}".rstrip(".")
        first, dot, tail = rest.partition(".")
        return f"backbone.{numbered.get(first, first)}{dot}{tail}"

    return name


def _captioner(
    parts: Mapping[str, PickledModule], order: list[int]
) -> tuple[Captioner, ModelSettings]:
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
    _check_numbers(state)
    captioner.load_state_dict(state)
    _check_geometry(parts, captioner)
    return captioner.eval(), settings


def _check_numbers(state: Mapping[str, Tensor]) -> None:
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
            if f"{name}.{theirs}" in BY_WORD and tensor.shape[:1] == (len(order),):
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
    backbone, stage = _resnet(extractor)
    channels = extractor.tensor("backbone.conv1.weight", 4).shape[1]
    if channels != 6:
        raise CheckpointError(
            f"its extractor sees {channels} channels; SEN's sees 6, two RGB dates"
        )
    cross, attended = "blocks.0.cross_attn_bef.attn", "transformer.layers.0.self_attn"
    return ModelSettings(
        dimension=D,
        extractor=ExtractorSettings(backbone=backbone, stage=stage),
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


def _resnet(extractor: PickledModule) -> tuple[str, int]:
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
        if name in part.tensors:
            table = part.tensors[name].squeeze().float()
            if table.ndim != 2 or not torch.allclose(
                table, sinusoids(*table.shape), atol=1e-4
            ):
                raise CheckpointError(
                    f"its {part.name}.{name} is no table of sinusoids, which SEN's "
                    "positions are"
                )


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
