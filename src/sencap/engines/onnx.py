"""The engine of the core: ONNX Runtime on a checkpoint's graphs, without PyTorch."""

from __future__ import annotations

import hashlib
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
    count_stored_parameters,
    read_checkpoint_folder,
    read_header,
)
from sencap.engines import graphs
from sencap.engines.contract import Ids, PairMemory, Step
from sencap.engines.precisions import Precision, check_precision
from sencap.errors import CheckpointError

Array = NDArray[Any]

# The two types in which weights lie; half precision saves half of the file.
_NUMPY: dict[int, np.dtype[Any]] = {
    onnx.TensorProto.FLOAT: np.dtype(np.float32),
    onnx.TensorProto.FLOAT16: np.dtype(np.float16),
}


@dataclass(frozen=True)
class ArrayState:
    """A decoder's state as arrays by name: ``of_pairs`` (B, …) and ``of_hypotheses``
    (B, K, …).

    ``explain``: its steps tell where they looked.
    """

    of_pairs: Mapping[str, Array]
    of_hypotheses: Mapping[str, Array]
    explain: bool = False

    def select(self, parents: Ids) -> ArrayState:
        """See `State.select`; what belongs to a pair serves all its hypotheses, so it
        stays."""
        # Row b of parents (B, K') names the hypotheses of pair b that go on: (B, K, …)
        # → (B, K', …).
        pair = np.arange(len(parents))[:, None]
        chosen = {
            name: array[pair, parents] for name, array in self.of_hypotheses.items()
        }
        return replace(self, of_hypotheses=chosen)

    def keep(self, pairs: Ids) -> ArrayState:
        """See `State.keep`."""
        return replace(
            self,
            of_pairs={name: array[pairs] for name, array in self.of_pairs.items()},
            of_hypotheses={
                name: array[pairs] for name, array in self.of_hypotheses.items()
            },
        )


class OnnxEngine:
    """A checkpoint's graphs, run by ONNX Runtime.

    ``threads`` are those of one operation (0: as many as there are cores).
    ``precision`` is the encoder's; the decoder computes in fp32 always.

    Raises:
        CheckpointError: a graph is missing, damaged, not ours, or wants what it must
            not have; the int8 graph is one of other weights.
        SettingsError: this processor does not have the precision.
    """

    def __init__(
        self, folder: str | Path, *, threads: int = 0, precision: Precision = "fp32"
    ) -> None:
        check_precision(precision)
        self.folder = Path(folder)
        missing = [name for name in graphs.GRAPHS if not (self.folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{self.folder} has no {', '.join(missing)}; write the graphs with: "
                f"sencap export {self.folder}"
            )
        # Mapped, not read: the three graphs share one file, and each takes only its own
        # parts of it.
        self._weights = np.memmap(self.folder / graphs.WEIGHTS, np.uint8, "r")
        encoder = graphs.ENCODER
        if precision == "int8":
            self._check_int8()
            encoder = graphs.ENCODER_INT8
        self._encoder, metadata = self._open(encoder, threads)
        self._start, _ = self._open(graphs.START, threads)
        self._step, _ = self._open(graphs.STEP, threads)
        # The grid (h, w) of the memory is fixed when a graph is written, as is the size
        # of the images.
        height, _, width = metadata[graphs.GRID].partition(",")
        self.grid = int(height), int(width)
        # The decoder's state is told by the names and shapes of the step graph's
        # inputs, so that this engine knows no decoder by name.
        self._first_state = {
            entry.name: entry
            for entry in self._step.get_inputs()
            if entry.name.startswith(graphs.HYPOTHESIS)
        }
        self._state_inputs = [
            entry.name
            for entry in self._step.get_inputs()
            if entry.name != graphs.WORDS
        ]

    def encode(self, images: NDArray[np.uint8], *, explain: bool = False) -> PairMemory:
        """See `Engine.encode`."""
        # Only what is asked for is computed: ONNX Runtime leaves out nodes that no
        # wanted output needs.
        names = [output.name for output in self._encoder.get_outputs()]
        needed = (graphs.TOKENS, graphs.FLAG, graphs.MASK, graphs.DISTANCE)
        wanted = [name for name in names if explain or name in needed]
        values = self._encoder.run(
            wanted, {graphs.IMAGES: np.ascontiguousarray(images)}
        )
        found = dict(zip(wanted, values, strict=True))
        parts = _named(found, graphs.PART)
        received = _named(found, graphs.ATTENTION)
        heads = [
            found.get(name) for name in (graphs.FLAG, graphs.MASK, graphs.DISTANCE)
        ]
        return PairMemory(found[graphs.TOKENS], self.grid, parts, received, *heads)

    def start(self, memory: PairMemory, *, explain: bool = False) -> ArrayState:
        """See `Decoding.start`."""
        names = [output.name for output in self._start.get_outputs()]
        # What is the same at every word, such as keys and values of the memory, is
        # computed once for each pair.
        values = self._start.run(
            names, {graphs.TOKENS: np.ascontiguousarray(memory.tokens)}
        )
        first = {
            name: _zeros(entry, len(memory.tokens))
            for name, entry in self._first_state.items()
        }
        return ArrayState(dict(zip(names, values, strict=True)), first, explain)

    def step(self, state: ArrayState, words: Ids) -> Step:
        """See `Decoding.step`."""
        # One word: the state before goes in as inputs, the state after comes back as
        # outputs with the ending NEW.
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
        """See `Engine.parameters`: what the file of weights holds, without the
        statistics of BatchNorms."""
        return count_stored_parameters(read_header(self.folder / graphs.WEIGHTS))

    def encoder_graph(self) -> onnx.ModelProto:
        """The encoder's graph in fp32, with its weights inside."""
        path = self.folder / graphs.ENCODER
        model = graphs.read_graph(path)
        weights = self._hand_over(path, model)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                values = np.ascontiguousarray(weights[tensor.name])
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return model

    def _check_int8(self) -> None:
        """Refuse an int8 encoder that is not there, or was made of other weights than
        those here."""
        path = self.folder / graphs.ENCODER_INT8
        command = f"sencap export {self.folder} --precision int8"
        if not path.is_file():
            raise CheckpointError(
                f"{self.folder} offers no int8 (there is no {path.name}); use fp32, "
                f"or write it: {command}"
            )
        # If the weights were replaced since, int8 would go on captioning with the old
        # ones.
        if graphs.int8_record(path).get("source") != source_digest(self.folder):
            raise CheckpointError(
                f"{path} was made of other weights than those beside it; use fp32, "
                f"or write it again: {command}"
            )

    def _open(
        self, name: str, threads: int
    ) -> tuple[ort.InferenceSession, dict[str, str]]:
        """A session on a graph, which gets its weights from us and opens no file of its
        own."""
        path = self.folder / name
        model = graphs.read_graph(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # a pattern is kept for each size of a batch, and takes memory for each
        options.enable_mem_pattern = False
        # Errors alone: its warnings are about its own inside
        options.log_severity_level = 3
        # The three graphs take turns, each with threads of its own: those of one that
        # is done would spin for a while, on the cores that the next one needs
        options.add_session_config_entry("session.force_spinning_stop", "1")
        weights = self._hand_over(path, model)
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        # Handed over as arrays: a path inside a graph that somebody else made is never
        # opened.
        options.add_external_initializers(list(weights), values)
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises errors of many kinds
            raise CheckpointError(
                f"{path} cannot be run ({str(error).splitlines()[0]}); write it "
                f"again: sencap export {self.folder}"
            ) from error
        return session, graphs.metadata_of(model)

    def _hand_over(self, path: Path, model: onnx.ModelProto) -> dict[str, Array]:
        """The weights that the graph has outside, by name, all in float32.

        Where they lie in half precision the graph widens them itself; here that is done
        once, before the session begins, since ONNX Runtime would do it again in every
        run, and would not fuse what follows.
        """
        # Weights that lie in the file beside the graph; small constants stay inside.
        outside = {
            t.name: t
            for t in model.graph.initializer
            if t.data_location == onnx.TensorProto.EXTERNAL
        }
        arrays = {name: self._array(path, tensor) for name, tensor in outside.items()}
        casts = [
            node
            for node in model.graph.node
            if node.op_type == "Cast" and node.input[0] in outside
        ]
        # The widened array takes the name of the cast's output, so that the nodes that
        # used it need no change, and the cast goes.
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
        # Offsets and lengths are the graph's own word: they are compared with the file
        # and with the shape before anything is read there.
        if (
            dtype is None
            or offset + length > len(self._weights)
            or length != size * dtype.itemsize
        ):
            raise CheckpointError(
                f"{path} and {graphs.WEIGHTS} do not belong together (tensor "
                f"{tensor.name!r}); write the graphs again: sencap export "
                f"{self.folder}"
            )
        values: Array = (
            self._weights[offset : offset + length].view(dtype).reshape(shape)
        )
        return values


def open_onnx(
    folder: Path, *, threads: int = 0, precision: Precision = "fp32"
) -> tuple[OnnxEngine, CheckpointFolder]:
    """The engine of a checkpoint folder, and what else the folder holds.

    Raises:
        CheckpointError: the folder is not a whole checkpoint, or its graphs cannot be
            used.
        SettingsError: this processor does not have the precision.
    """
    checkpoint = read_checkpoint_folder(folder)
    return OnnxEngine(folder, threads=threads, precision=precision), checkpoint


def was_measured(folder: Path) -> bool:
    """Whether the int8 encoder of a folder was compared with fp32 on captioned
    pairs."""
    return "measured" in graphs.int8_record(folder / graphs.ENCODER_INT8)


def source_digest(folder: Path) -> str:
    """SHA-256 of what an int8 encoder is made of: the encoder in fp32, and its
    weights."""
    digest = hashlib.sha256()
    for name in (graphs.ENCODER, graphs.WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _named(found: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The outputs whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): values
        for name, values in found.items()
        if name.startswith(prefix)
    }


def _zeros(entry: Any, pairs: int) -> Array:
    """A decoder's state before the first word: zeros, (B, 1, …); an axis that grows
    with the words has length 0."""
    # The first two axes are pairs and hypotheses; the others have a fixed size, or grow
    # by one with each word.
    fixed = [size if isinstance(size, int) else 0 for size in entry.shape[2:]]
    return np.zeros((pairs, 1, *fixed), np.float32)
