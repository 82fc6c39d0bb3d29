"""A checkpoint folder looked at before anything is built: it may come from a stranger,
and costs little to refuse.

No PyTorch is imported here. What comes out is sound in itself: files of bounded size,
settings in their bounds, a vocabulary that is the config's, tensors of known types that
lie in the file and hold finite numbers. Whether the tensors are those of the model that
the settings describe is for whoever builds it to say.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.config import ModelSettings, SearchSettings, model_from_dict
from sencap.data.vocabulary import MOST_SENTENCES, Vocabulary
from sencap.errors import CheckpointError, SettingsError
from sencap.files import not_a_file
from sencap.json_files import (
    MEGABYTE,
    NotJsonError,
    parse_json,
    read_json,
    shortened,
    shown,
)
from sencap.weights import names

CONFIG, WEIGHTS, VOCABULARY = names.CONFIG, names.WEIGHTS, names.VOCABULARY
CARD, FORMAT = names.CARD, names.FORMAT

# What a model is given of an image, and how values of more than 8 bits become 8: by one
# scale for both dates. Folders of before say nothing of it, and mean this
BANDS, STRETCH = ("red", "green", "blue"), "together"

LONGEST_HEADER = 8 * MEGABYTE  # ours take 100 bytes a tensor
PIECE = 2**20  # numbers looked at together
# BatchNorm's: the only integers among the tensors of a network.
COUNTER = "num_batches_tracked"
# Of a BatchNorm: tensors, but no parameters.
STATISTICS = ("running_mean", "running_var", COUNTER)
# What the tensors of a `sencap.models.domain.Domain` begin with: no parameters either.
DOMAIN = "domain."


@dataclass(frozen=True)
class FloatType:
    """A type of numbers that weights may have: NumPy's unsigned integer of its size,
    and its exponent's bits."""

    bits: type[np.unsignedinteger[Any]]
    exponent: int


# A number is NaN or infinite where all bits of its exponent are set
FLOATS = {
    "F32": FloatType(np.uint32, 0x7F80_0000),
    "F16": FloatType(np.uint16, 0x7C00),
    "BF16": FloatType(np.uint16, 0x7F80),
}
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}


@dataclass(frozen=True)
class TensorEntry:
    """What the header of a safetensors file says of a tensor; it lies in bytes
    ``begin`` to ``end`` of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class CheckpointFolder:
    """What a folder holds, its tensors' numbers apart."""

    path: Path
    settings: ModelSettings
    vocabulary: Vocabulary
    training: dict[str, Any]
    tensors: dict[str, TensorEntry]


def read_checkpoint_folder(folder: Path | str) -> CheckpointFolder:
    """The content of a folder that `sencap.models.checkpoint.save_checkpoint` wrote,
    checked as the module says.

    Raises:
        CheckpointError: a file is missing, broken, or does not go with the others.
    """
    folder = Path(folder)
    # The cheap checks come first: the settings, the header, their sizes. The numbers,
    # which are read in full, come last.
    config, settings = _read_settings(folder)
    tensors = read_header(folder / WEIGHTS)
    _check_sizes(folder, settings, tensors)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    # Ids mean words of one vocabulary only; with another one of the same length the
    # model would speak nonsense.
    if vocabulary.digest != config["vocabulary_digest"]:
        raise CheckpointError(
            f"{folder / VOCABULARY} is not the vocabulary that {CONFIG} was written "
            "with"
        )
    check_finite(folder / WEIGHTS, tensors)
    return CheckpointFolder(
        folder, settings, vocabulary, config.get("training", {}), tensors
    )


def image_size(folder: Path) -> int:
    """The side in pixels of the images that a checkpoint's model sees; nothing else of
    it is looked at.

    Raises:
        CheckpointError: as `read_checkpoint_folder`, of the folder and its settings.
    """
    return _read_settings(folder)[1].size


def search_settings(folder: Path) -> SearchSettings:
    """How captions are searched for with a checkpoint, where whoever captions does not
    say; nothing else of it is looked at.

    Raises:
        CheckpointError: as `read_checkpoint_folder`, of the folder and its settings.
    """
    return _read_settings(folder)[1].search


def _read_settings(folder: Path) -> tuple[dict[str, Any], ModelSettings]:
    """The content of config.json, and the model's settings in it."""
    if not _is(stat.S_ISDIR, folder):
        reason = not_a_file(folder) or "it is a file"
        raise CheckpointError(
            f"{folder} is not a checkpoint folder ({reason}); it should hold "
            f"{CONFIG}, {WEIGHTS}, {VOCABULARY}"
        )
    files = (CONFIG, WEIGHTS, VOCABULARY)
    missing = [name for name in files if not _is(stat.S_ISREG, folder / name)]
    if missing:
        raise CheckpointError(
            f"{folder} is no whole checkpoint: {', '.join(missing)} missing, or no "
            "regular file"
        )
    config = _read_config(folder / CONFIG)
    try:
        return config, model_from_dict(config["model"], source="its settings")
    except SettingsError as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be used: {error}") from error


def _is(kind: Callable[[int], bool], path: Path) -> bool:
    """Whether there is something of that kind; False for a name that no system
    takes."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = (
            config.get("format") if isinstance(config, dict) else type(config).__name__
        )
        raise CheckpointError(
            f"{path} has format {shown(found)}; this version reads {FORMAT!r}"
        )
    for key in ("model", "vocabulary_digest"):
        if key not in config:
            raise CheckpointError(f"{path} lacks the key {key!r}")
    _check_input(path, config.get("input"))
    _check_record(path, config.get("training", {}))
    return config


def input_record() -> dict[str, Any]:
    """The entry ``input`` of config.json."""
    return {"bands": [*BANDS], "stretch": STRETCH}


def _check_input(path: Path, told: Any) -> None:
    """A model of other bands, or of values scaled otherwise, would be given the wrong
    ones without a word."""
    if told is not None and told != input_record():
        raise CheckpointError(
            f"{path}: input is {shown(told)}; this version gives a model "
            f"{', '.join(BANDS)}, scaled {STRETCH}, and no others"
        )


def _check_record(path: Path, training: Any) -> None:
    """Reports repeat what data a model was trained on, and captions are told by its
    sentences of no change; the rest of its record is for people."""
    if not isinstance(training, dict):
        raise CheckpointError(
            f"{path}: training is {shown(training)}; it must be an object"
        )
    no_change = training.get("no_change", [])
    is_short = isinstance(no_change, list) and len(no_change) <= MOST_SENTENCES
    if not is_short or not all(
        isinstance(one, str) and one.split() for one in no_change
    ):
        raise CheckpointError(
            f"{path}: training.no_change is {shown(no_change)}; it must be a list of "
            f"at most {MOST_SENTENCES} sentences"
        )
    settings = training.get("settings", {})
    if not isinstance(settings, dict):
        raise CheckpointError(
            f"{path}: training.settings is {shown(settings)}; it must be an object"
        )
    data = settings.get("data")
    names = data if isinstance(data, list) else [data]
    if data is not None and not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"{path}: training.settings.data is {shown(data)}; it must be names of "
            "folders"
        )


def _check_sizes(
    folder: Path, settings: ModelSettings, tensors: Mapping[str, TensorEntry]
) -> None:
    """Sizes that no tensor has are refused before a model of them is thought of."""
    # A config of a few bytes can ask for a model of terabytes; the tensors are bounded
    # by the size of their file.
    lengths = set(chain.from_iterable(entry.shape for entry in tensors.values()))
    if settings.dimension is not None and settings.dimension not in lengths:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit {CONFIG}: dimension is "
            f"{settings.dimension}, and no tensor has such an axis"
        )
    for part in ("difference", "decoder"):
        layers = getattr(settings, part).layers
        # Each layer has at least one tensor, so there cannot be more layers than
        # tensors.
        named = sum(name.startswith(f"{part}.") for name in tensors)
        if layers is not None and layers > named:
            raise CheckpointError(
                f"{folder / WEIGHTS} does not fit {CONFIG}: {part}.layers is {layers}, "
                f"and it has {named} tensors named {part}.…"
            )


def read_header(path: Path) -> dict[str, TensorEntry]:
    """The tensors of a safetensors file by name, as its header lists them; no number is
    read.

    Raises:
        CheckpointError: no such file, one that is cut short or whose header is not
            sound, or a tensor of a type that no weights have (F32, F16 and BF16 are
            taken, and I64 for the counters of BatchNorm).
    """
    header, start, size = _raw_header(path)
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, told, start) for name, told in header.items()}
    # Tensors fill the file without gaps and overlaps, as the format demands: no bytes
    # can hide between them.
    end = start
    for name, entry in sorted(
        entries.items(), key=lambda item: (item[1].begin, item[1].end)
    ):
        if entry.begin != end:
            raise _no_safetensors(
                path,
                f"{shortened(name, 60)} does not begin where the tensor before it ends",
            )
        end = entry.end
    if end != size:
        raise _no_safetensors(
            path, f"its tensors end at byte {end:,}, and the file at {size:,}"
        )
    return entries


def count_stored_parameters(tensors: Mapping[str, TensorEntry]) -> dict[str, int]:
    """The parameters of a captioner by part, and in all; statistics, of BatchNorms and
    of the training images, are none."""
    counts = {"extractor": 0, "difference": 0, "decoder": 0}
    for name, entry in tensors.items():
        part = name.partition(".")[0]
        if not name.endswith(STATISTICS) and not name.startswith(DOMAIN):
            counts[part] = counts.get(part, 0) + math.prod(entry.shape)
    return {**counts, "total": sum(counts.values())}


def _raw_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header's JSON object, the byte at which the tensors begin, and the size of
    the file."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{path} is no regular file")
        with path.open("rb") as file:
            # A safetensors file: 8 bytes for the length of the header, the header in
            # JSON, then the numbers of all tensors.
            length = int.from_bytes(file.read(8), "little")
            if found.st_size < 8 or 8 + length > found.st_size:
                raise _no_safetensors(path, "its header is longer than the file")
            if length > LONGEST_HEADER:
                raise _no_safetensors(
                    path, f"its header is of {length / MEGABYTE:,.0f} MB"
                )
            header = parse_json(file.read(length))
    except OSError as error:
        reason = not_a_file(path) or error.strerror or error
        raise CheckpointError(f"{path} cannot be read ({reason})") from error
    except NotJsonError as error:
        raise _no_safetensors(path, f"its header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise _no_safetensors(path, "its header is no object")
    return header, 8 + length, found.st_size


def _entry(path: Path, name: str, told: Any, start: int) -> TensorEntry:
    short = shortened(name, 60)
    told = told if isinstance(told, dict) else {}
    dtype = told.get("dtype")
    shape = told.get("shape")
    offsets = told.get("data_offsets")
    if (
        not isinstance(dtype, str)
        or not _are_lengths(shape)
        or not _are_lengths(offsets, 2)
    ):
        raise _no_safetensors(
            path, f"its header tells no type, shape and place of {short}"
        )
    if dtype not in FLOATS and not (dtype == "I64" and name.endswith(COUNTER)):
        raise CheckpointError(
            f"{path}: {short} is of type {shortened(dtype, 20)}; weights are of "
            f"{', '.join(FLOATS)}"
        )
    begin, end = offsets
    needed = math.prod(shape) * BYTES[dtype]
    if end - begin != needed:
        raise _no_safetensors(
            path,
            f"{short} of shape {shown(shape)} needs {needed:,} bytes, and has "
            f"{end - begin:,}",
        )
    return TensorEntry(dtype, tuple(shape), start + begin, start + end)


def _are_lengths(values: Any, count: int | None = None) -> bool:
    if (
        not isinstance(values, list)
        or len(values) > 16
        or count not in (None, len(values))
    ):
        return False
    # Below 2**62 a length fits into 64 bits with a sign; in Python True is an int too.
    return all(type(value) is int and 0 <= value < 2**62 for value in values)


def _no_safetensors(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a safetensors file, or a damaged one: {reason}"
    )


def check_finite(path: Path, tensors: Mapping[str, TensorEntry]) -> None:
    """Read every number of a safetensors file, in pieces, and refuse NaN and infinity.

    Raises:
        CheckpointError: the first tensor that holds such a number, and what to do.
    """
    # Mapped into memory, so that a piece is read from the disk only when it is looked
    # at.
    content: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    for name, entry in tensors.items():
        if entry.dtype in FLOATS and not _all_finite(
            content[entry.begin : entry.end], FLOATS[entry.dtype]
        ):
            raise CheckpointError(
                f"{path}: {shortened(name, 60)} holds numbers that are NaN or "
                "infinite, so that no caption could come of it; use a checkpoint of "
                "an earlier epoch, or train again with a lower learning rate"
            )


def _all_finite(content: NDArray[np.uint8], kind: FloatType) -> bool:
    # Bytes seen as whole numbers: NumPy has no type for BF16, and the bits of the
    # exponent are enough to tell.
    numbers = content.view(kind.bits)
    mask = kind.bits(kind.exponent)
    for first in range(0, len(numbers), PIECE):
        exponents = numbers[first : first + PIECE] & mask
        if (exponents == mask).any():
            return False
    return True
