"""Which file an extractor starts from, and what tells one file from another: its
content, not where it lies."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from sencap.data.caption_files import find_caption_files
from sencap.errors import SettingsError
from sencap.foreign import CHOICES
from sencap.foreign.read import HUB
from sencap.weights import weights_path

# Of a hash, in the names of folders: enough to tell the files of one project apart.
DIGITS = 8


def find_weights(given: str, backbone: str, *, flag: str) -> str:
    """The weights of a backbone, as `initialise_backbone` takes them.

    given: a file; a folder that sencap wrote, or its name on Hugging Face's hub
    (``hub:OWNER/NAME@REVISION``); a folder of files named after backbones
    (``resnet101.pth``), of which the one of ``backbone`` is taken; or ``timm``, which
    is timm's own for each.

    Raises:
        SettingsError: there is no such file, or there are several.
    """
    # The word timm alone means its weights of whatever backbone the row has.
    if given == HUB.rstrip(":"):
        return HUB + backbone
    if given.startswith(HUB):
        return given
    path = _path(given)
    if not path.exists():
        raise SettingsError(f"{flag}={given}: there is no such file or folder")
    if path.is_file() or (path / "config.json").is_file():
        return given
    # Named after the backbone with an ending or without one.
    files = sorted(
        file for file in path.iterdir() if backbone in (file.name, file.stem)
    )
    if len(files) != 1:
        found = (
            ", ".join(file.name for file in files or sorted(path.iterdir()))
            or "nothing"
        )
        raise SettingsError(
            f"{flag}={given} must hold one file of the weights of {backbone}, such as "
            f"{backbone}.pth; it holds {found}"
        )
    return str(files[0])


def fingerprint(weights: str) -> str:
    """The last name of weights and a hash of their content; of timm's the name
    alone."""
    if weights.startswith(HUB):
        return weights
    path = _path(weights)
    files = [path]
    if not path.is_file():
        files = [file for file in path.iterdir() if file.is_file()]
    return f"{Path(weights).name}:{_hash(files)}"


def fingerprint_of_captions(data: str) -> str:
    """A hash of the caption files of a data set, which name its images."""
    return _hash(find_caption_files(Path(data)))


def _path(weights: str) -> Path:
    given = CHOICES.search(weights)
    return weights_path(weights[: given.start()] if given else weights)


def _hash(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        # Size and time of change are part of the key, so that a file that is written
        # again is hashed again, and one that is not only once.
        whole.update(_hash_of_file(file, status.st_size, status.st_mtime_ns))
    return whole.hexdigest()[:DIGITS]


@functools.lru_cache(maxsize=256)
def _hash_of_file(file: Path, _size: int, _changed: int) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
