"""Which files of a downloaded folder hold the weights: one file, or several that are
parts of one.

The folders of Hugging Face's hub are of this kind, cloned, or as its cache has them:

model.safetensors                                    or pytorch_model.bin, or one file of weights
model-00001-of-00002.safetensors, …                  parts
model.safetensors.index.json                         optional: which part holds which tensor
snapshots/<revision>/…                               the cache: all of it lies in here
"""

from __future__ import annotations

import re
from pathlib import Path

from sencap.errors import CheckpointError
from sencap.json_files import read_json, shown

# The first of them where there are both.
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"
_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar")
_NO_WEIGHTS = re.compile(
    r"training_args|optimizer|scheduler|rng_state|random_states|scaler"
)
_PART = re.compile(r"(.+)-(\d{5})-of-(?!00000)(\d{5})(\.\w+)")
_MOST_MEGABYTES = 64  # of an index: a line for each tensor


def weight_files(folder: Path) -> list[Path]:
    """The files that together hold a folder's weights; several are parts of one.

    Raises:
        CheckpointError: none, or several that are no parts of one; a part that is
            missing. The message begins with the folder.
    """
    revisions = sorted(folder.glob("snapshots/*/"))
    if revisions:
        if len(revisions) > 1:
            raise CheckpointError(
                f"{folder} holds {_named(revisions)}; name one of them"
            )
        return weight_files(revisions[0])
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return [folder / name]
    indices = sorted(folder.glob(f"*{_INDEX}"))
    if indices:
        return _parts_of_index(indices[0])
    files = [file for file in sorted(folder.iterdir()) if _may_hold_weights(file)]
    parts = [part for file in files if (part := _PART.fullmatch(file.name))]
    if parts:
        return _all_parts(parts[0], folder)
    if len(files) == 1:
        return files
    if files:
        raise CheckpointError(
            f"{folder} holds several files that may be weights ({_named(files)}); "
            "name one of them"
        )
    raise CheckpointError(
        f"{folder} holds no weights: looked for {', '.join(_WEIGHT_FILES)}, and one file "
        f"that ends in {', '.join(_SUFFIXES)}, and saw "
        f"{_named(sorted(folder.iterdir()))}"
    )


def check_no_part(file: Path) -> None:
    """Refuse one of several parts by its name: the others lie beside it.

    Raises:
        CheckpointError: it is one.
    """
    part = _PART.fullmatch(file.name)
    if part is not None and int(part[3]) > 1:
        raise CheckpointError(
            f"{file} is one of {int(part[3])} parts; name the folder in which they lie"
        )


def _parts_of_index(index: Path) -> list[Path]:
    content = read_json(index, most_megabytes=_MOST_MEGABYTES)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} lists no tensors under weight_map")
    files = []
    for name in sorted(set(map(str, places.values()))):
        # a part lies beside its index: nothing elsewhere is read
        if Path(name).name != name:
            raise CheckpointError(
                f"{index} names the part {shown(name)}, which is no plain name"
            )
        files.append(index.parent / name)
    _refuse_missing(index.parent, files)
    return files


def _all_parts(first: re.Match[str], folder: Path) -> list[Path]:
    """All that belong to one part, by the number of parts in its name."""
    stem, _, count, suffix = first.groups()
    numbers = range(1, int(count) + 1)
    files = [folder / f"{stem}-{number:05d}-of-{count}{suffix}" for number in numbers]
    _refuse_missing(folder, files)
    return files


def _refuse_missing(folder: Path, files: list[Path]) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(files)} parts of its weights: "
            f"{_named(missing)}"
        )


def _may_hold_weights(file: Path) -> bool:
    if file.name.startswith(".") or _NO_WEIGHTS.search(file.name):
        return False
    return file.suffix in _SUFFIXES and file.is_file()


def _named(files: list[Path]) -> str:
    """The first names, and how many there are more."""
    names = [file.name for file in files[:5]]
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return (", ".join(names) or "nothing") + more
