"""Where a picture goes: endings and folders checked before any work, files written whole or not at all."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from sencap.errors import MissingDependencyError, SettingsError

DRAWN = (".png", ".pdf", ".svg")  # what matplotlib writes
PAGE = ".html"


def check_path(path: str | Path, *, endings: Sequence[str] = (*DRAWN, PAGE)) -> Path:
    """The path of a picture that can be written.

    Raises:
        SettingsError: another ending than ``endings``, a folder that is not there, or a path that is a folder.
        MissingDependencyError: a drawn picture without matplotlib.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise SettingsError(f"out={path} must end in one of {', '.join(endings)}: the ending names the kind")
    if not path.parent.is_dir():
        raise SettingsError(f"out={path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise SettingsError(f"out={path} is a folder; name a file in it")
    if path.suffix.lower() in DRAWN and importlib.util.find_spec("matplotlib") is None:
        hint = f", or let the file end in {PAGE}" if PAGE in endings else ""
        raise MissingDependencyError(
            f"{path.suffix} pictures need matplotlib: pip install 'sencap[figures]'{hint}"
        )
    return path


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all; one that was there is replaced."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise SettingsError(f"out={path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return path
