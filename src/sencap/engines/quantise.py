"""The encoder in int8, written beside a checkpoint's graphs; no PyTorch is needed.

Weights have a scale for each channel, activations one for each tensor, of 8 bits
without a sign and with a zero point, so that a ReLU or ReLU6 costs nothing: it is the
range's end. The ranges are those met on calibration pairs. What else was tried is in
docs/performance.md.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sencap.engines import graphs
from sencap.engines.onnx import OnnxEngine, source_digest
from sencap.files import write_whole
from sencap.images import find_pairs, read_pair, resize
from sencap.synthetic import render_pair

PAIRS = 32  # for calibration: twice as many move no range by more than a percent
# What is computed in int8; the rest (softmax, layer norms) is little, and would lose
# most by it
OPERATIONS = ["Conv", "MatMul", "Add", "Clip", "Relu", "Concat", "MaxPool"]

_Pixels = NDArray[np.uint8]


def drawn_pairs(size: int) -> Iterator[_Pixels]:
    """Pairs that the renderer draws, (1, 2, 3, size, size); whatever is made of them
    may be shipped."""
    for number in range(PAIRS):
        drawn = render_pair(0, number)
        # (H, W, 3) of each date → (2, 3, H, W).
        dates = np.stack((drawn.before, drawn.after)).transpose(0, 3, 1, 2)
        yield resize(dates, size)[None]


def calibration_pairs(source: str | Path, size: int) -> Iterator[_Pixels]:
    """Pairs of a folder or a CSV file, (1, 2, 3, size, size), evenly spread over it.

    Raises:
        DataError, ImageError: no pairs there, or one that cannot be read.
    """
    found = find_pairs(source)
    # Neighbours in a list may be cut from one scene: pairs spread over all of it show
    # more kinds of ground.
    stride = max(1, len(found) // PAIRS)
    for before, after, _ in found[::stride][:PAIRS]:
        yield resize(read_pair(before, after, size=size).images, size)[None]


def write_int8(
    folder: str | Path, pairs: Iterable[_Pixels], calibrated_on: str
) -> Path:
    """Write the encoder in int8, calibrated on pairs; ``calibrated_on`` says what they
    are.

    Raises:
        CheckpointError: the folder has no graphs that can be used.
        OutputError: it cannot be written to.
    """
    from onnxruntime.quantization import QuantType, quantize_static  # noqa: PLC0415  (0.1 s)

    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="sencap-int8-") as name:
        simple, quantised = Path(name) / "simple.onnx", Path(name) / "int8.onnx"
        _simplify(OnnxEngine(folder).encoder_graph(), simple)
        # Static: the ranges of activations are fixed here, from the calibration pairs,
        # and not measured anew in every run.
        quantize_static(
            simple,
            quantised,
            _Reader(pairs),
            op_types_to_quantize=OPERATIONS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load_model(quantised)
    metadata = graphs.metadata_of(graphs.read_graph(folder / graphs.ENCODER))
    # An int8 encoder belongs to the weights it was made of; their digest goes with it.
    origin = {"source": source_digest(folder), "calibrated_on": calibrated_on}
    onnx.helper.set_model_props(model, {**metadata, graphs.INT8: json.dumps(origin)})
    return write_whole(folder / graphs.ENCODER_INT8, model.SerializeToString())


def _simplify(model: onnx.ModelProto, path: Path) -> None:
    """Write the graph with BatchNorms inside the convolutions and constants folded, by
    ONNX Runtime itself."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    simple = onnx.load_model(path)
    # ONNX Runtime names all sets of operators that it knows; the graph uses ONNX's own.
    own = [one for one in simple.opset_import if one.domain == ""]
    del simple.opset_import[:]
    simple.opset_import.extend(own)
    # so the quantiser knows that this has been done, and does not advise it
    onnx.helper.set_model_props(simple, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save_model(simple, path)


class _Reader:
    """Calibration pairs as the quantiser asks for them: one by one, then None."""

    def __init__(self, pairs: Iterable[_Pixels]) -> None:
        self._pairs = iter(pairs)

    def get_next(self) -> dict[str, Any] | None:
        images = next(self._pairs, None)
        return None if images is None else {graphs.IMAGES: images}
