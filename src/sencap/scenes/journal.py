"""What a scan has done so far, beside its output: a stopped scan goes on with it.

The file ``<output>.unfinished`` has one line of JSON for what is scanned and how, and
then one for each batch, flushed to the disk as the batch is done. A line that a killed
run left half-written is cut off. It is deleted when the output is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

from sencap.errors import DataError
from sencap.files import Closing, told_as_output
from sencap.scenes.rows import Row

_BLOCK = 1 << 20


@dataclass
class ScannedBatch:
    """A step of a scan: the number of the window after it, its rows, and what else it
    saw.

    ``without_data`` windows hold too little data, ``unread`` of them were told to
    without reading; ``unseen`` pixels of their own ground hold data all the same.
    """

    end: int
    rows: list[Row] = field(default_factory=list)
    without_data: int = 0
    unread: int = 0
    unseen: int = 0

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> ScannedBatch:
        """Back from a line of a journal."""
        return cls(**{**told, "rows": [Row.from_json(row) for row in told["rows"]]})


def rows_of_batches(batches: Iterable[ScannedBatch]) -> list[Row]:
    """The rows of all of them, in order."""
    return list(chain.from_iterable(batch.rows for batch in batches))


class Journal(Closing):
    """The file that keeps the batches of a scan; ``done`` are those that it held
    already.

    Raises:
        DataError: it was begun with other files or settings, or is no journal; told
            with what to do.
        OutputError: it cannot be written.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self.path = output.with_name(f"{output.name}.unfinished")
        self._output = output
        # As it would come back from the file: tuples become lists.
        wanted = json.loads(json.dumps(settings))
        self.done: list[ScannedBatch] = []
        whole = 0
        if self.path.exists():
            whole = self._read(wanted)
        with told_as_output(self.path):
            # Without a buffer, which would fail once more as it is closed on a full
            # disk.
            self._file: FileIO = self.path.open("r+b" if whole else "wb", buffering=0)
            # A line that a killed run left half-written goes.
            self._file.truncate(whole)
            self._file.seek(whole)
        if not whole:
            self._write(wanted)

    def _read(self, wanted: Mapping[str, Any]) -> int:
        """Take what the file holds; returns how many bytes of it are whole lines."""
        with told_as_output(self.path):
            content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines()
        # It was killed before it had begun.
        if not lines:
            return 0
        try:
            begun, *batches = [json.loads(line) for line in lines]
            self.done = [ScannedBatch.from_json(batch) for batch in batches]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{self.path} is no record of a scan that sencap can go on with; "
                "delete it, or give the output another name"
            ) from error
        differences = list(_differences(begun, wanted))
        if differences:
            raise DataError(
                f"{self._output} was begun otherwise: {'; '.join(differences)}. Give "
                f"the command that it was begun with, delete {self.path} to begin "
                "again, or give the output another name"
            )
        return whole

    def add(self, batch: ScannedBatch) -> None:
        """Keep a batch: after a crash of the machine, too."""
        self._write(asdict(batch))

    def _write(self, line: Mapping[str, Any]) -> None:
        with told_as_output(self.path):
            # Without a buffer a write may take a part only.
            rest = json.dumps(line).encode() + b"\n"
            while rest:
                rest = rest[self._file.write(rest) :]
            # On the disk, not only in the system's memory, before the next batch
            # begins.
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Leave the file for the run that goes on."""
        self._file.close()

    def delete(self) -> None:
        """The output is there: it is not needed any more."""
        self.close()
        self.path.unlink(missing_ok=True)


def _differences(begun: Any, wanted: Any, name: str = "") -> list[str]:
    """What differs between two records, by name."""
    if isinstance(begun, dict) and isinstance(wanted, dict):
        told = []
        for key in {**begun, **wanted}:
            inner = f"{name}.{key}" if name else key
            told += _differences(begun.get(key), wanted.get(key), inner)
        return told
    if begun == wanted:
        return []
    return [f"{name} was {begun!s:.60} and is {wanted!s:.60}"]


def file_record(path: str | Path) -> dict[str, Any]:
    """What tells a large file from another one without reading all of it."""
    # Size and time of change: to read scenes of many gigabytes would take minutes.
    found = Path(path).stat()
    return {"bytes": found.st_size, "modified": found.st_mtime_ns}


def content_digest(*paths: Path) -> str:
    """SHA-256 of the content of files."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
