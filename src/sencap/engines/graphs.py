"""The graphs of a captioner on disk: their files, the names of what goes in and out,
and what a graph may not do.

    encoder.onnx   images (B, 2, 3, S, S) uint8 ▶ tokens (B, N, D) · flag (B,) · mask (B, N) ·
                   distance (B,) · part/NAME · attention/NAME
    start.onnx     tokens (B, N, D) ▶ pair.*
    step.onnx      words (B, K) · pair.* (B, …) · hypothesis.* (B, K, …) ▶ logits (B, K, V) ·
                   hypothesis.* · cells (B, K, N) or dates (B, K, 3)
    encoder.int8.onnx   as encoder.onnx, in int8, with weights of its own inside; may be absent

The weights lie once, in ``model.safetensors``: the graphs name that file, an offset and
a length, as ONNX's external data. Any ONNX runtime can open them so. sencap itself
hands the weights over, and lets a graph open no file at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from sencap.errors import CheckpointError
from sencap.json_files import NotJsonError, parse_json
from sencap.weights import names

GRAPHS, ENCODER_INT8, WEIGHTS = names.GRAPHS, names.ENCODER_INT8, names.WEIGHTS
ENCODER, START, STEP = GRAPHS
INT8 = "int8"  # the key of its metadata: a JSON object, see `int8_record`

IMAGES, TOKENS, FLAG, MASK, DISTANCE = "images", "tokens", "flag", "mask", "distance"
WORDS, LOGITS, CELLS, DATES = "words", "logits", "cells", "dates"
PART, ATTENTION = "part/", "attention/"
PAIR, HYPOTHESIS = "pair.", "hypothesis."
# After the names of a step's new state: a graph's inputs and outputs may not share
# names
NEW = ".new"
# Keys of a graph's metadata, and their format
GRID, FORMAT_KEY, FORMAT = "grid", "sencap", "sencap-graph-1"

# Of a graph: the paper's encoder in int8, weights inside, has 36 MB
_MOST_BYTES = 512_000_000
_STANDARD_DOMAINS = ("", "ai.onnx")


def read_graph(path: Path) -> onnx.ModelProto:
    """A graph whose weights are still outside, after a look at what it would do.

    Raises:
        CheckpointError: it is no graph of sencap; it asks for another file than
            ``model.safetensors`` beside it; it needs operators that are not ONNX's own.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(
            f"{path} has {path.stat().st_size:,} bytes; a graph has 512 MB at most"
        )
    try:
        # ONNX's own loader would follow the paths in the graph, before they are
        # checked.
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf raises errors of its own
        raise CheckpointError(
            f"{path} is no ONNX graph, or is damaged; write it again: sencap export"
        ) from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if metadata.get(FORMAT_KEY) != FORMAT:
        raise CheckpointError(
            f"{path} is no graph that this version of sencap wrote; write it again: "
            "sencap export"
        )
    # A graph is data from elsewhere: before it runs it may neither name other files nor
    # bring code of its own.
    _check_operators(path, model)
    for tensor in all_tensors(model):
        _check_location(path, tensor)
    return model


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """What the graph says of itself."""
    return {entry.key: entry.value for entry in model.metadata_props}


def int8_record(path: Path) -> dict[str, Any]:
    """What the graph of an encoder in int8 says of itself.

    ``source``: the digest of what it was made of; ``calibrated_on``; and ``measured``,
    once it was compared with fp32.

    Raises:
        CheckpointError: it is no graph of sencap, or says nothing of the kind.
    """
    try:
        record = parse_json(metadata_of(read_graph(path)).get(INT8, "").encode())
    except NotJsonError:
        record = None
    if not isinstance(record, dict):
        raise CheckpointError(
            f"{path} does not say what it was made of; write it again"
        )
    return record


def external_range(tensor: onnx.TensorProto) -> tuple[str, int, int]:
    """File, offset and length of a tensor that lies outside of its graph."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return (
        entries.get("location", ""),
        int(entries.get("offset", 0)),
        int(entries.get("length", -1)),
    )


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a graph holds or points to, in subgraphs, attributes and
    functions too."""
    for graph in _all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in all_nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, in subgraphs and functions too."""
    for graph in _all_graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _all_graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    waiting = [model.graph]
    for function in model.functions:
        waiting += _subgraphs(function.node)
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += _subgraphs(graph.node)


def _subgraphs(nodes: object) -> list[onnx.GraphProto]:
    found: list[onnx.GraphProto] = []
    for node in nodes:  # type: ignore[attr-defined]  # a repeated field of protobuf
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.append(attribute.g)
            found.extend(attribute.graphs)
    return found


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    for node in all_nodes(model):
        if node.domain not in _STANDARD_DOMAINS:
            raise CheckpointError(
                f"{path} needs the operator {node.domain}.{node.op_type}, which is "
                "not one of ONNX's own; sencap loads no operators from elsewhere"
            )


def _check_location(path: Path, tensor: onnx.TensorProto) -> None:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    try:
        location, offset, length = external_range(tensor)
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged: the tensor {tensor.name!r} lies nowhere"
        ) from error
    if location != WEIGHTS:
        raise CheckpointError(
            f"{path} asks for the file {location!r}; a graph of sencap reads "
            f"{WEIGHTS} beside it, and nothing else"
        )
    if offset < 0 or length < 0:
        raise CheckpointError(
            f"{path} is damaged: the tensor {tensor.name!r} lies nowhere"
        )
