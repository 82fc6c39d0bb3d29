"""The engine of the core: ONNX Runtime on a checkpoint's graphs, without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sencap.checkpoint_folder import (
    CheckpointFolder,
    count_parameters,
    read_checkpoint_folder,
    read_header,
)
from sencap.engines import graphs
from sencap.engines.contract import Ids, PairMemory, Step
from sencap.errors import CheckpointError

Array = NDArray[Any]

_NUMPY: dict[int, np.dtype[Any]] = {
    onnx.TensorProto.FLOAT: np.dtype(np.float32),
    onnx.TensorProto.FLOAT16: np.dtype(np.float16),
}


@dataclass(frozen=True)
class ArrayState:
    """A decoder's state as arrays by name: ``of_pairs`` (B, …) and ``of_hypotheses`` (B, K, …).

    ``explain``: its steps tell where they looked.
    """

    of_pairs: Mapping[str, Array]
    of_hypotheses: Mapping[str, Array]
    explain: bool = False

    def select(self, parents: Ids) -> ArrayState:
        """See `State.select`; what belongs to a pair serves all its hypotheses, so it stays."""
        pair = np.arange(len(parents))[:, None]
        chosen = {name: array[pair, parents] for name, array in self.of_hypotheses.items()}
        return replace(self, of_hypotheses=chosen)

    def keep(self, pairs: Ids) -> ArrayState:
        """See `State.keep`."""
        return replace(
            self,
            of_pairs={name: array[pairs] for name, array in self.of_pairs.items()},
            of_hypotheses={name: array[pairs] for name, array in self.of_hypotheses.items()},
        )


class OnnxEngine:
    """A checkpoint's graphs, run by ONNX Runtime.

    ``threads`` are those of one operation (0: as many as there are cores).

    Raises:
        CheckpointError: a graph is missing, damaged, not ours, or wants what it must not have.
    """

    def __init__(self, folder: str | Path, *, threads: int = 0) -> None:
        self.folder = Path(folder)
        missing = [name for name in graphs.GRAPHS if not (self.folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{self.folder} has no {', '.join(missing)}; write the graphs with: sencap "
                f"export {self.folder}"
            )
        self._weights = np.memmap(self.folder / graphs.WEIGHTS, np.uint8, "r")
        self._encoder, metadata = self._open(graphs.ENCODER, threads)
        self._start, _ = self._open(graphs.START, threads)
        self._step, _ = self._open(graphs.STEP, threads)
        height, _, width = metadata[graphs.GRID].partition(",")
        self.grid = int(height), int(width)
        self._first_state = {
            entry.name: entry
            for entry in self._step.get_inputs()
            if entry.name.startswith(graphs.HYPOTHESIS)
        }
        self._state_inputs = [
            entry.name for entry in self._step.get_inputs() if entry.name != graphs.WORDS
        ]

    def encode(self, images: NDArray[np.uint8], *, explain: bool = False) -> PairMemory:
        """See `Engine.encode`."""
        names = [output.name for output in self._encoder.get_outputs()]
        wanted = names if explain else [graphs.TOKENS]
        values = self._encoder.run(wanted, {graphs.IMAGES: np.ascontiguousarray(images)})
        found = dict(zip(wanted, values, strict=True))
        parts = {
            n.removeprefix(graphs.PART): v for n, v in found.items() if n.startswith(graphs.PART)
        }
        received = {
            n.removeprefix(graphs.ATTENTION): v
            for n, v in found.items()
            if n.startswith(graphs.ATTENTION)
        }
        return PairMemory(found[graphs.TOKENS], self.grid, parts, received)

    def start(self, memory: PairMemory, *, explain: bool = False) -> ArrayState:
        """See `Decoding.start`."""
        names = [output.name for output in self._start.get_outputs()]
        values = self._start.run(names, {graphs.TOKENS: np.ascontiguousarray(memory.tokens)})
        first = {
            name: _zeros(entry, len(memory.tokens)) for name, entry in self._first_state.items()
        }
        return ArrayState(dict(zip(names, values, strict=True)), first, explain)

    def step(self, state: ArrayState, words: Ids) -> Step:
        """See `Decoding.step`."""
        given = {**state.of_pairs, **state.of_hypotheses}
        feed = {name: np.ascontiguousarray(given[name]) for name in self._state_inputs}
        feed[graphs.WORDS] = np.ascontiguousarray(words)
        names = [output.name for output in self._step.get_outputs()]
        if not state.explain:
            names = [name for name in names if name not in (graphs.CELLS, graphs.DATES)]
        found = dict(zip(names, self._step.run(names, feed), strict=True))
        new = {name: found[name + graphs.NEW] for name in self._first_state}
        return Step(
            found[graphs.LOGITS],
            replace(state, of_hypotheses=new),
            found.get(graphs.CELLS),
            found.get(graphs.DATES),
        )

    def parameters(self) -> dict[str, int]:
        """See `Engine.parameters`: what the file of weights holds, without the statistics of
        BatchNorms."""
        return count_parameters(read_header(self.folder / graphs.WEIGHTS))

    def _open(self, name: str, threads: int) -> tuple[ort.InferenceSession, dict[str, str]]:
        """A session on a graph, which gets its weights from us and opens no file of its own."""
        path = self.folder / name
        model = graphs.read_graph(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors alone: its warnings are about its own inside
        weights = self._hand_over(path, model)
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises errors of many kinds
            raise CheckpointError(
                f"{path} cannot be run ({str(error).splitlines()[0]}); write it again: sencap "
                f"export {self.folder}"
            ) from error
        return session, graphs.metadata_of(model)

    def _hand_over(self, path: Path, model: onnx.ModelProto) -> dict[str, Array]:
        """The weights that the graph has outside, by name, all in float32.

        Where they lie in half precision the graph widens them itself; here that is done once,
        before the session begins, since ONNX Runtime would do it again in every run, and would not
        fuse what follows.
        """
        outside = {
            t.name: t
            for t in model.graph.initializer
            if t.data_location == onnx.TensorProto.EXTERNAL
        }
        arrays = {name: self._array(path, tensor) for name, tensor in outside.items()}
        casts = [
            node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in outside
        ]
        for cast in casts:
            narrow, wide = outside[cast.input[0]], cast.output[0]
            arrays[wide] = arrays.pop(narrow.name).astype(np.float32)
            narrow.name, narrow.data_type = wide, onnx.TensorProto.FLOAT
            model.graph.node.remove(cast)
        return arrays

    def _array(self, path: Path, tensor: onnx.TensorProto) -> Array:
        """A weight of the graph, from the file of weights."""
        _, offset, length = graphs.external_range(tensor)
        dtype = _NUMPY.get(tensor.data_type)
        shape = tuple(tensor.dims)
        size = math.prod(shape)
        if dtype is None or offset + length > len(self._weights) or length != size * dtype.itemsize:
            raise CheckpointError(
                f"{path} and {graphs.WEIGHTS} do not belong together (tensor {tensor.name!r}); "
                f"write the graphs again: sencap export {self.folder}"
            )
        values: Array = self._weights[offset : offset + length].view(dtype).reshape(shape)
        return values


def open_checkpoint(folder: Path, *, threads: int = 0) -> tuple[OnnxEngine, CheckpointFolder]:
    """The engine of a checkpoint folder, and what else the folder holds.

    Raises:
        CheckpointError: the folder is not a whole checkpoint, or its graphs cannot be used.
    """
    checkpoint = read_checkpoint_folder(folder)
    return OnnxEngine(folder, threads=threads), checkpoint


def _zeros(entry: Any, pairs: int) -> Array:
    """A decoder's state before the first word: zeros, (B, 1, …); an axis that grows with the words
    has length 0."""
    fixed = [size if isinstance(size, int) else 0 for size in entry.shape[2:]]
    return np.zeros((pairs, 1, *fixed), np.float32)
