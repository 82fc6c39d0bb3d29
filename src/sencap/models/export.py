"""A captioner's graphs, written beside its weights: what `sencap.engines.onnx` runs
without PyTorch.

PyTorch's exporter draws the graphs. Every weight stays a value of its own there, under
its name in the state, so that the graph can point into ``model.safetensors`` instead of
holding it a second time.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxscript import optimizer
from torch import Tensor, nn

from sencap.checkpoint_folder import TensorEntry, read_header
from sencap.engines import graphs
from sencap.engines.onnx import OnnxEngine
from sencap.engines.torch import TorchEngine, attention_of_step, attention_received
from sencap.errors import CheckpointError
from sencap.files import write_whole
from sencap.models.attention import recording
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import Checkpoint, load_checkpoint
from sencap.models.positions import SinusoidalPositions
from sencap.structures import Memory

OPSET = 20
TOLERANCE = 1e-3  # of a memory's largest number: float32 through a hundred layers, in another order
# Of the example that is traced: numbers that are no size of a network.
PAIRS, HYPOTHESES = (7, 5)
# what the exporter puts before a weight's name: the attribute of the modules below
_PREFIX = "captioner."
_CAST = "/float32"
DYNAMIC = torch.export.Dim.DYNAMIC


class _Type(NamedTuple):
    """How weights may be stored."""

    onnx: int
    numpy: np.dtype[Any]


_DTYPES = {
    "F32": _Type(onnx.TensorProto.FLOAT, np.dtype(np.float32)),
    "F16": _Type(onnx.TensorProto.FLOAT16, np.dtype(np.float16)),
}


class _Encoder(nn.Module):
    """Pixels → tokens, then the memory's parts, then the attention that the cells
    received."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        with recording(self.captioner) as seen:
            memory = self.captioner.encode(images)
        outputs = {graphs.TOKENS: memory.tokens}
        if memory.flag is not None:
            outputs[graphs.FLAG] = memory.flag
        if memory.mask is not None:
            outputs[graphs.MASK] = memory.mask
        if memory.distance is not None:
            outputs[graphs.DISTANCE] = memory.distance
        for name, part in memory.parts.items():
            outputs[graphs.PART + name] = part
        for name, received in attention_received(seen, memory.tokens.shape[1]).items():
            outputs[graphs.ATTENTION + name] = received
        return outputs


class _Start(nn.Module):
    """Tokens of a memory → what a decoder keeps of each pair."""

    def __init__(self, captioner: Captioner, grid: tuple[int, int]) -> None:
        super().__init__()
        self.captioner, self.grid = captioner, grid

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        state = self.captioner.search_decoder.start(Memory(tokens, self.grid))
        return {
            name: tensor
            for name, tensor in state.named().items()
            if name.startswith(graphs.PAIR)
        }


class _Step(nn.Module):
    """One word for each hypothesis → logits of the next, the new state, and what was
    looked at."""

    def __init__(self, captioner: Captioner, names: list[str]) -> None:
        super().__init__()
        self.captioner, self.names = captioner, names  # of the state's tensors

    def forward(self, words: Tensor, tensors: list[Tensor]) -> dict[str, Tensor]:
        decoder: Any = self.captioner.search_decoder
        state = decoder.state_of(dict(zip(self.names, tensors, strict=True)))
        with recording(decoder) as seen:
            logits, new = decoder.step(state, words)
        outputs = {graphs.LOGITS: logits}
        for name, tensor in new.named().items():
            if name.startswith(graphs.HYPOTHESIS):
                outputs[name + graphs.NEW] = tensor
        cells, dates = attention_of_step(seen)
        if cells is not None:
            outputs[graphs.CELLS] = cells
        if dates is not None:
            outputs[graphs.DATES] = dates
        return outputs


def export_checkpoint(folder: str | Path) -> list[Path]:
    """Write a checkpoint's graphs beside its weights, and see that they give what the
    network gives.

    Returns their paths.

    Raises:
        CheckpointError: the folder is not a whole checkpoint, or the graphs came out
            wrong; nothing else would have told.
        OutputError: it cannot be written to.
    """
    folder = Path(folder)
    checkpoint = load_checkpoint(folder)
    settings = checkpoint.settings
    max_words = settings.decoder.max_words
    written = export_graphs(
        checkpoint.captioner, folder, size=settings.size, max_words=max_words
    )
    _check_graphs(checkpoint, folder)
    return written


def _check_graphs(checkpoint: Checkpoint, folder: Path) -> None:
    """One pair of random pixels through both engines."""
    side = checkpoint.settings.size
    images = np.random.default_rng(0).integers(
        0, 256, (1, 2, 3, side, side), dtype=np.uint8
    )
    expected = TorchEngine(checkpoint.captioner).encode(images).tokens
    found = OnnxEngine(folder).encode(images).tokens
    furthest = float(np.abs(found - expected).max())
    if not furthest <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise CheckpointError(
            f"the graphs of {folder} differ from the network by {furthest:.2g}; "
            "caption with --engine torch, and tell the developers of sencap"
        )


def export_graphs(
    captioner: Captioner, folder: Path, *, size: int, max_words: int = 50
) -> list[Path]:
    """Write the three graphs of a captioner into the folder that holds its
    ``model.safetensors``.

    ``size`` is the side of the images in pixels, S in `sencap.engines.graphs`;
    ``max_words`` the longest caption that a graph can step through.
    """
    weights = _Weights(folder / graphs.WEIGHTS)
    was_training = captioner.training
    captioner.eval()
    for module in captioner.search_decoder.modules():  # type: ignore[attr-defined]  # every decoder is a Module
        if isinstance(module, SinusoidalPositions):
            module.reserve(max_words + 1)  # <start> and all words
    device = captioner.mean.device
    images = torch.zeros(PAIRS, 2, 3, size, size, dtype=torch.uint8, device=device)
    written = []
    with torch.no_grad(), _quiet_exporter():
        memory = captioner.encode(images)
        decoder: Any = captioner.search_decoder
        state = decoder.start(memory)
        # two words have been fed: no axis has length 1, which the exporter would take
        # for a constant
        _, state = decoder.step(
            state, torch.zeros(PAIRS, 1, dtype=torch.long, device=device)
        )
        state = state.select(
            torch.zeros(PAIRS, HYPOTHESES, dtype=torch.long, device=device)
        )
        words = torch.zeros(PAIRS, HYPOTHESES, dtype=torch.long, device=device)
        _, state = decoder.step(state, words)
        named = state.named()
        grid = f"{memory.grid[0]},{memory.grid[1]}"
        pairs, hypotheses = {0: DYNAMIC}, {0: DYNAMIC, 1: DYNAMIC}
        encoder = _graph(_Encoder(captioner), [graphs.IMAGES], (images,), (pairs,))
        start = _graph(
            _Start(captioner, memory.grid), [graphs.TOKENS], (memory.tokens,), (pairs,)
        )
        step = _graph(
            _Step(captioner, list(named)),
            [graphs.WORDS, *named],
            (words, list(named.values())),
            (hypotheses, [_dynamic_axes(*item) for item in named.items()]),
        )
        for file, model in zip(graphs.GRAPHS, (encoder, start, step), strict=True):
            _point_to_weights(model, weights)
            _add_metadata(model, {graphs.FORMAT_KEY: graphs.FORMAT, graphs.GRID: grid})
            written.append(write_whole(folder / file, model.SerializeToString()))
    captioner.train(was_training)
    return written


def _dynamic_axes(name: str, tensor: Tensor) -> dict[int, Any]:
    """Which axes of a state's tensor vary: pairs, hypotheses, and the words so far of a
    cache (B, K, heads, t, d)."""
    axes = {0: DYNAMIC}
    if name.startswith(graphs.HYPOTHESIS):
        axes[1] = DYNAMIC
        if tensor.ndim == 5:
            axes[3] = DYNAMIC
    return axes


def _graph(
    module: nn.Module,
    inputs: list[str],
    arguments: tuple[Any, ...],
    dynamic: tuple[Any, ...],
) -> onnx.ModelProto:
    """The graph of a module, inputs and outputs under our names."""
    outputs = module(*arguments)
    # not strict: Python runs as it is written, and only what happens to tensors is
    # taken down
    traced = torch.export.export(
        module, arguments, dynamic_shapes=dynamic, strict=False
    )
    program = torch.onnx.export(
        traced,
        dynamo=True,
        input_names=inputs,
        output_names=list(outputs),
        opset_version=OPSET,
        optimize=False,  # done below, in our way
        verbose=False,
    )
    assert program is not None
    # constants alone: the exporter's own optimisation would also melt BatchNorms into
    # the convolutions' weights
    optimizer.inline(program.model)
    optimizer.fold_constants(program.model, should_fold=_may_be_folded)
    optimizer.remove_unused_nodes(program.model)
    model: onnx.ModelProto = program.model_proto
    # Where in PyTorch's source each node came from: most of the bytes.
    for node in graphs.all_nodes(model):
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
    ]:
        del value.metadata_props[:]
    return model


def _may_be_folded(node: Any) -> bool | None:
    """Not a transposed weight, which would be a copy of it inside the graph; the
    runtime does that as it loads."""
    return False if node.op_type == "Transpose" else None


class _Weights:
    """The tensors of a safetensors file: where they lie, and their values."""

    def __init__(self, path: Path) -> None:
        self.tensors = read_header(path)
        self._data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")

    def values(self, entry: TensorEntry) -> NDArray[Any]:
        """A tensor's values, in float32 as the graph has them."""
        stored = self._data[entry.begin : entry.end].view(_DTYPES[entry.dtype].numpy)
        return stored.reshape(entry.shape).astype(np.float32)


def _point_to_weights(model: onnx.ModelProto, weights: _Weights) -> None:
    """Let each weight of the graph be the file's; where that is in half precision, the
    graph widens it."""
    casts = []
    for tensor in model.graph.initializer:
        entry = weights.tensors.get(tensor.name.removeprefix(_PREFIX))
        if (
            entry is None
            or entry.dtype not in _DTYPES
            or tuple(tensor.dims) != entry.shape
        ):
            continue
        if not np.array_equal(
            onnx.numpy_helper.to_array(tensor), weights.values(entry)
        ):
            continue  # the exporter made another tensor of it, under the same name
        if entry.dtype != "F32":
            casts.append(_widen(model, tensor))
        tensor.data_type = _DTYPES[entry.dtype].onnx
        for field in ("raw_data", "float_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        place = {
            "location": graphs.WEIGHTS,
            "offset": entry.begin,
            "length": entry.end - entry.begin,
        }
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _widen(model: onnx.ModelProto, tensor: onnx.TensorProto) -> onnx.NodeProto:
    """A cast of a weight to float32, which every node that used the weight uses from
    now on."""
    wide = tensor.name + _CAST
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == tensor.name:
                node.input[position] = wide
    return onnx.helper.make_node(
        "Cast", [tensor.name], [wide], name=wide, to=onnx.TensorProto.FLOAT
    )


def _add_metadata(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter and what it uses warn of their own inside, which nobody here can
    mend."""
    loggers = [
        logging.getLogger(name)
        for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
