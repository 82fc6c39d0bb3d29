"""Where a picture goes: its ending, its place and what draws it are checked before any
work."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

from sencap.errors import MissingDependencyError, SettingsError
from sencap.files import check_outputs

DRAWN = (".png", ".pdf", ".svg")  # what matplotlib writes
PAGE = ".html"


def check_path(
    path: str | Path,
    *,
    endings: Sequence[str] = (*DRAWN, PAGE),
    inputs: Iterable[str | Path] = (),
    flag: str = "out",
) -> Path:
    """The path of a picture that can be written, and that is none of ``inputs``;
    ``flag`` gave it, for messages.

    Raises:
        SettingsError: another ending than ``endings``, a folder that is not there, a
            path that is a folder or an input.
        OutputError: a folder in which one may not write.
        MissingDependencyError: a drawn picture without matplotlib.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise SettingsError(
            f"{flag}={path} must end in one of {', '.join(endings)}: the ending "
            "names the kind"
        )
    # A picture may take long to compute: that it cannot be written is told before.
    check_outputs({flag: path}, inputs)
    if path.suffix.lower() in DRAWN and importlib.util.find_spec("matplotlib") is None:
        hint = f", or let the file end in {PAGE}" if PAGE in endings else ""
        raise MissingDependencyError(
            f"{path.suffix} pictures need matplotlib: pip install "
            f"'sencap[figures]'{hint}"
        )
    return path
