"""Every error that sencap raises for something its user can mend.

    SencapError                 catch this one to catch them all
    ├── SettingsError           a wrong, unknown or conflicting setting (also a ValueError)
    ├── ShapeError              an array or tensor of a wrong shape or type (also a ValueError)
    ├── DataError               something is wrong with a file or an entry of a data set
    │   └── ImageError          one image cannot be read, or is refused with its reason
    ├── CheckpointError         a checkpoint folder that is not whole, or not one of ours
    ├── OutputError             a file or folder that cannot be written: a full disk, no permission
    └── MissingDependencyError  an optional program or package that is not installed

A message says what was wrong (the offending value), where (file, entry, setting) and
what to do next. The command line prints it after ``sencap: error:`` and ends with exit
code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SencapError(Exception):
    """The root of the tree drawn above."""


class SettingsError(SencapError, ValueError):
    """A wrong, unknown or conflicting setting; the message names each setting
    involved."""


class ShapeError(SencapError, ValueError):
    """An array or tensor whose shape or type cannot be what its name says."""


class DataError(SencapError):
    """Something is wrong with a data set: the message names the file and the entry."""


class ImageError(DataError):
    """One image cannot be read or is refused; the message names the file and the
    reason."""


class CheckpointError(SencapError):
    """A checkpoint folder is incomplete, inconsistent, or not in sencap's format."""


class OutputError(SencapError):
    """A file cannot be written; the message names it, the system's reason, and what to
    do."""


class MissingDependencyError(SencapError):
    """An optional package or program is missing; the message says how to install it."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM; it does, as after Ctrl-C. No
    `SencapError`: nobody did wrong."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A ready clause for a message: the nearest known name, or all of them.

    >>> nearest("resnet5", ["resnet50", "vit"])
    "did you mean 'resnet50'?"
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known are " + ", ".join(repr(name) for name in known)
