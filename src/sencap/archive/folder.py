"""The folder of an archive: the list as it was given, cut into blocks, and a Parquet
file of rows for each block that is done.

    archive.json          what the run was begun with
    pairs.parquet         the list; a row group is a block
    captions/00000.parquet …   the rows of each block, whole or not there
    summary.json, index.html   what came of it
    ray.log               what Ray said
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sencap.data.resumable import claim
from sencap.errors import DataError
from sencap.files import told_as_output, whole_file
from sencap.images.lists import WINDOW, ListedPair, read_list
from sencap.images.windows import Window

NOTE, PAIRS, CAPTIONS = "archive.json", "pairs.parquet", "captions"

_PAIR = pa.schema(
    [
        ("number", pa.int64()),
        ("id", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        *((name, pa.int64()) for name in WINDOW),
    ]
)
_SENTENCE = pa.struct(
    [("caption", pa.string()), ("log_prob", pa.float64()), ("changed", pa.bool_())]
)
ROW = pa.schema(
    [
        ("id", pa.string()),
        ("number", pa.int64()),
        ("before", pa.string()),
        ("after", pa.string()),
        *((name, pa.int64()) for name in WINDOW),
        ("caption", pa.string()),
        ("log_prob", pa.float64()),
        ("changed", pa.bool_()),
        ("change_probability", pa.float64()),
        ("domain", pa.float64()),
        ("finished", pa.bool_()),
        ("note", pa.string()),
        ("read", pa.string()),  # JSON: its keys depend on the files
        ("alternatives", pa.list_(_SENTENCE)),
        ("error", pa.string()),
    ]
)


class Folder:
    """An archive's folder, by its path; nothing is opened before it is needed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()

    def begin(self, source: Path, record: Mapping[str, Any], block_size: int) -> int:
        """Make the folder that of a list; returns how many blocks it has.

        Raises:
            DataError: a list that cannot be read; a folder begun otherwise, or that
                holds something else.
            OutputError: it cannot be written.
        """
        digest, count = list_digest(source)
        told = {"list": digest, "pairs": count, **record}
        claim(self.path, NOTE, told, [CAPTIONS])
        if not (self.path / PAIRS).exists():
            self._write_pairs(source, block_size)
        return -(-count // block_size)

    def _write_pairs(self, source: Path, block_size: int) -> None:
        with (
            whole_file(self.path / PAIRS) as draft,
            pq.ParquetWriter(draft, _PAIR) as to,
        ):
            pairs = read_list(source)
            while block := list(islice(pairs, block_size)):
                rows = [_pair_row(pair) for pair in block]
                to.write_table(pa.Table.from_pylist(rows, _PAIR))

    def pairs(self, block: int) -> list[ListedPair]:
        """The pairs of a block."""
        with pq.ParquetFile(self.path / PAIRS) as file:
            rows = file.read_row_group(block).to_pylist()
        return [_listed(row) for row in rows]

    def count_pairs(self, blocks: Sequence[int]) -> int:
        """How many pairs some blocks have."""
        about = pq.read_metadata(self.path / PAIRS)
        return sum(about.row_group(block).num_rows for block in blocks)

    def file(self, block: int) -> Path:
        """Where the rows of a block are, once they are all there."""
        return self.path / CAPTIONS / f"{block:05d}.parquet"

    def missing(self, blocks: int) -> list[int]:
        """The blocks that are not done."""
        return [block for block in range(blocks) if not self.file(block).exists()]

    def write_block(self, block: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a block, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        told = [{**row, "read": json.dumps(row["read"])} for row in rows]
        with whole_file(self.file(block)) as draft, told_as_output(self.file(block)):
            pq.write_table(pa.Table.from_pylist(told, ROW), draft)

    def rows(self, blocks: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows of all blocks, one by one, of some columns.

        Raises:
            DataError: a block's file is damaged, or not there.
        """
        for block in range(blocks):
            path = self.file(block)
            try:
                yield from pq.read_table(path, columns=list(columns)).to_pylist()
            except (OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                raise DataError(
                    f"{path} cannot be read ({reason}); delete it, and give the same "
                    "command again: its pairs are captioned once more"
                ) from error


def list_digest(source: Path) -> tuple[str, int]:
    """SHA-256 of the rows of a list, and how many there are."""
    digest = hashlib.sha256()
    count = 0
    for pair in read_list(source):
        digest.update(json.dumps(_pair_row(pair)).encode())
        count += 1
    return digest.hexdigest(), count


def _pair_row(pair: ListedPair) -> dict[str, Any]:
    window: Sequence[int | None] = pair.window or (None,) * len(WINDOW)
    return {
        "number": pair.number,
        "id": pair.key,
        # the workers may run in another folder
        "before": str(pair.before.absolute()),
        "after": str(pair.after.absolute()),
        **dict(zip(WINDOW, window, strict=True)),
    }


def _listed(row: Mapping[str, Any]) -> ListedPair:
    places = [row[name] for name in WINDOW]
    return ListedPair(
        row["number"],
        row["id"],
        Path(row["before"]),
        Path(row["after"]),
        None if places[0] is None else Window(*places),
    )
