"""Files that sencap writes: whole or not at all, never over an input, never outside the
folder they are meant for.

All writing of the package goes through `write_whole` or `whole_file`, and every verb
hands its outputs and inputs to `check_outputs` before it works.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from sencap.errors import OutputError, SettingsError

Identity = str | tuple[int, int]

_DRAFT = ".new"
_NO_FILES = r"timm$|timm:|synthetic:|hub:"  # what inputs may be instead
# http://…, s3://…, GDAL's /vsicurl/…; a Path has made one slash of two. No drive's name
# is so long.
_ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+):/+(?=[^/])|/vsi[a-z0-9_]+/")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and endings and drafts need some
_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}
_ADVICE = {
    errno.ENOSPC: "make room, and give the same command again",
    errno.EDQUOT: "your share of the disk is used up; make room, and give the same command again",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.EROFS: "choose a place that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class Closing:
    """What is open until ``close``, which the end of a ``with`` calls. For subclasses
    to extend."""

    def close(self) -> None:
        """Let go of what is open."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """Write a file whole or not at all; one that was there is replaced. Text becomes
    UTF-8 with Unix line ends, half a letter an escape.

    Raises:
        OutputError: the file cannot be written; why, and what to do.
    """
    data = (
        content.encode("utf-8", "backslashreplace")
        if isinstance(content, str)
        else content
    )
    with whole_file(path) as draft:
        draft.write_bytes(data)
    return Path(path)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A draft to write to, beside ``path`` and with its ending; renamed to it if all
    goes well, else deleted.

    A device or a pipe, such as /dev/stdout, is written to as it is.

    Raises:
        OutputError: the draft cannot be written or renamed; why, and what to do.
    """
    path = Path(path)
    # A device has no other file beside it that could be renamed to it.
    if _is_stream(path):
        with told_as_output(path), _reader_waits(path):
            yield path
        return
    # The ending stays last, since libraries choose the format by it.
    draft = path.with_name(f".{path.stem[:40]}.{os.getpid()}{_DRAFT}{path.suffix}")
    try:
        with told_as_output(path):
            yield draft
            # Renaming within a folder happens at once or not at all, so that nobody
            # ever sees half a file.
            draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _reader_waits(path: Path) -> Iterator[None]:
    """Refuse a pipe that nobody reads: to open it would take for ever. One that is read
    stays open meanwhile."""
    if not stat.S_ISFIFO(path.stat().st_mode):
        yield
        return
    try:
        # Without waiting, opening a pipe fails with ENXIO if nobody reads it.
        held = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OutputError(
            f"{path} is a pipe that nobody reads; start its reader first, or name a "
            "file"
        ) from error
    try:
        yield
    finally:
        os.close(held)


def delete_drafts(folder: str | Path, pattern: str = f".*{_DRAFT}*") -> None:
    """Delete the drafts that a killed run left in a folder. Only for a folder that no
    other process writes to."""
    for draft in sorted(Path(folder).glob(pattern)):
        if draft.is_file():
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def told_as_output(path: str | Path) -> Iterator[None]:
    """Turn the system's errors of the block into an `OutputError` about ``path``."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read the output has gone: no error of a file
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from error


def cannot_write(path: str | Path, error: OSError) -> str:
    """Why a file could not be written, and what to do, in one line."""
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return f"{path} cannot be written ({error.strerror or error}); {advice}"


def check_outputs(
    outputs: Mapping[str, str | Path | None], inputs: Iterable[str | Path | None] = ()
) -> None:
    """Refuse, before any work, an output file that cannot be written or that would
    destroy an input.

    ``outputs`` are files by the name of their flag (``json``, ``picture``); None is
    "not asked for". Files are the same if the system says so, links followed.

    Raises:
        SettingsError: an output that is an input, a folder, or another output; a folder
            that is not there.
        OutputError: a folder in which one may not write.
    """
    sources = {identity(path): path for path in inputs if path is not None}
    seen: dict[Identity, str] = {}
    for flag, path in outputs.items():
        if path is None:
            continue
        with told_as_output(path):  # a name too long is the system's to refuse
            _check_place(flag, Path(path))
        key = identity(path)
        if key in sources:
            raise SettingsError(
                f"{flag}={path} is the input {sources[key]}; give the output another "
                "name"
            )
        if key in seen and not _is_stream(Path(path)):
            raise SettingsError(
                f"{flag}={path} and {seen[key]} are one file; give two names"
            )
        seen[key] = f"{flag}={path}"


def check_output_folder(flag: str, folder: str | Path) -> None:
    """Refuse, before any work, a folder that is a file, or that cannot be made or
    written to.

    Raises:
        SettingsError: it, or a folder above it, is a file.
        OutputError: one may not write there.
    """
    folder = Path(folder)
    _refuse_address(flag, folder)
    # The nearest folder that exists decides whether the others can be made below it.
    above = folder
    while not (above.exists() or above.is_symlink()) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise SettingsError(f"{flag}={folder}: {above} is a file; name a folder")
    _check_writable(flag, folder, above)


def check_inputs(inputs: Mapping[str, str | Path | None]) -> None:
    """Refuse, before anything heavy is loaded, files and folders to read that are not
    there, or are neither.

    ``inputs`` are paths by the name of their flag; None is "not given", and timm's
    weights, those of the hub and synthetic places are no files. What files hold is for
    their readers to check.

    Raises:
        SettingsError: with the flag, the path and the reason.
    """
    for flag, given in inputs.items():
        if given is None or re.match(_NO_FILES, str(given)):
            continue
        path = Path(str(given).removeprefix("local:"))
        if path.is_dir():
            continue
        if reason := not_a_file(path):
            raise SettingsError(
                f"{flag}={path}: {reason}; name a file or a folder that is there"
            )


def identity(path: str | Path) -> Identity:
    """What two paths of one file have in common, links followed; a file to come is
    known by where it will lie."""
    try:
        found = Path(path).stat()
    except OSError:
        return os.path.normcase(Path(path).resolve())
    # Device and inode number are one for each file, under whatever name.
    return found.st_dev, found.st_ino


def is_address(path: str | Path) -> bool:
    """Whether something is the address of what lies elsewhere, and no path.

    >>> [is_address(path) for path in ("s3://bucket/a.tif", "C:/a.tif", "in/a.tif")]
    [True, False, False]
    """
    found = _ADDRESS.match(str(path))
    # Somebody may have a folder of that name after all.
    return found is not None and not os.path.lexists(found[0].rstrip("/"))


def not_a_file(path: str | Path) -> str:
    """Why a path is no regular file, for a message; "" if it is one. Nothing is opened:
    a pipe would wait for ever.

    >>> not_a_file("/dev/null")
    'it is a device'
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except ValueError:  # Python's own check, before the system is asked
        return "its name holds a character that no file's name has"
    except OSError as error:
        return _unreachable(path, error)
    if stat.S_ISREG(mode):
        return ""
    return _KINDS.get(stat.S_IFMT(mode), "it is no regular file")


def _unreachable(path: Path, error: OSError) -> str:
    """Why there is nothing under a path."""
    if is_address(path):
        whole = re.sub(r"(?i)([a-z][a-z0-9+.-]+):/+", r"\1://", str(path))
        return f"it is an address, and sencap reads files only; fetch {whole} first"
    if error.errno == errno.ELOOP:
        return "it is a link that leads back to itself"
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"it is a link to {path.readlink()}, which does not exist"
    if error.errno == errno.ENOENT:
        return "it does not exist"
    return error.strerror or "it cannot be reached"


def file_name(name: str, taken: Iterable[str] = ()) -> str:
    """A name that any system takes as one file in a folder, made of any text; not one
    of ``taken``.

    >>> file_name("../evil/plot 1")
    '_evil_plot 1'
    >>> file_name("a", taken=["a"])
    'a-2'
    """
    # One form of accented letters: two names that look alike are then one name.
    text = unicodedata.normalize("NFC", name)
    # Separators, control characters, half surrogates, and what Windows refuses.
    text = re.sub(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff]+', "_", text)
    # A dot first hides a file, a hyphen first looks like a flag, and Windows drops dots
    # and spaces at the end.
    text = text.lstrip(" .-").rstrip(" .") or "unnamed"
    # Windows takes these names for devices, with any ending.
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", text):
        text = f"_{text}"
    # Cut in bytes, as file systems count; half a letter at the cut is dropped.
    text = text.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip(" .")
    used = {other.casefold() for other in taken}  # some systems do not tell capitals
    free, number = text, 1
    while free.casefold() in used:
        number += 1
        free = f"{text}-{number}"
    return free


def _is_stream(path: Path) -> bool:
    """Whether there is a device, a pipe or a socket under this name: nothing to rename
    a draft to."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _refuse_address(flag: str, path: Path) -> None:
    if is_address(path):
        raise SettingsError(
            f"{flag}={path} is an address, and sencap writes to files and folders "
            "only; name one here, and send it there afterwards"
        )


def _check_place(flag: str, path: Path) -> None:
    _refuse_address(flag, path)
    if path.is_dir():
        raise SettingsError(f"{flag}={path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise SettingsError(
            f"{flag}={path}: the folder {path.parent} does not exist; make it first"
        )
    if not _is_stream(path):
        _check_writable(flag, path, path.parent)


def _check_writable(flag: str, path: Path, folder: Path) -> None:
    """Try it: permissions alone do not tell of read-only disks and of places like
    /proc."""
    draft = folder / f".sencap.{os.getpid()}{_DRAFT}"
    try:
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise OutputError(cannot_write(f"{flag}={path}", error)) from error
