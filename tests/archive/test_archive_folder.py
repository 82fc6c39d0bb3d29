"""An archive without Ray: the list in blocks, a worker's block, what is said at the
end, and what is refused."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sencap.archive import ArchiveSettings, run, work, write_archive
from sencap.archive.cluster import check_address
from sencap.archive.folder import Folder
from sencap.archive.page import write_page
from sencap.archive.summary import ArchiveSummary
from sencap.archive.work import BlockCaptioner
from sencap.cli import main
from sencap.errors import CheckpointError, DataError, SettingsError
from sencap.images import Reading
from sencap.images.lists import read_list
from sencap.images.options import USUAL
from sencap.predictor import load
from sencap.weights import Weights, resolve_weights

from .pair_tables import write_list

SMALL = ArchiveSettings(batch_size=4, block_size=8)
COUNT = 20  # three blocks, the last of them not full


def without_ray(
    folder: Folder, settings: ArchiveSettings, missing: list[int], _: Any
) -> None:
    """Takes the place of Ray: the blocks one after another, in this process."""
    worker = BlockCaptioner(folder.path, settings, 1)
    for block in missing:
        told = worker({"block": np.array([block])})
        if told["problem"][0]:
            raise DataError(told["problem"][0])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Ray is started."""
    monkeypatch.setattr(run, "_caption", without_ray)


def told_rows(out: Path, blocks: int) -> list[dict[str, Any]]:
    from sencap.archive.folder import ROW

    rows = list(Folder(out).rows(blocks, ROW.names))
    return [{**row, "read": json.loads(row["read"])} for row in rows]


def test_rows_are_those_of_caption_with_any_number_of_shards(
    here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal in every value, rows of what cannot be read among them."""
    table = write_list(tmp_path / "list.csv", COUNT, missing=[5, *range(8, 12)])
    summary = write_archive(table, tmp_path / "out", settings=SMALL)
    found = told_rows(tmp_path / "out", 3)
    command = ["caption", str(table), "--json", "--batch-size", "4"]
    assert main(command) == 2
    whole, errors = capsys.readouterr()
    assert "place-5: " in errors
    assert "gone.png" in errors
    assert [json.loads(line) for line in whole.splitlines()] == found
    parts = []
    for number in range(1, 4):
        main([*command, "--shard", f"{number}/3"])
        parts.append(capsys.readouterr().out)
    assert "".join(parts) == whole
    assert [row["id"] for row in found] == [f"place-{n}" for n in range(COUNT)]
    assert [row["number"] for row in found if row["error"]] == [5, 8, 9, 10, 11]
    assert (summary.pairs, summary.unreadable) == (COUNT, 5)
    assert sum(summary.histogram) == summary.captioned == COUNT - 5
    assert summary.changed == sum(bool(row["changed"]) for row in found)


def test_a_second_run_does_what_is_missing(here: None, tmp_path: Path) -> None:
    table, out = write_list(tmp_path / "list.csv", COUNT), tmp_path / "out"
    write_archive(table, out, settings=SMALL)
    before = told_rows(out, 3)
    files = [Folder(out).file(block) for block in range(3)]
    dates = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    write_archive(table, out, settings=SMALL)
    assert told_rows(out, 3) == before
    assert [file.stat().st_mtime_ns for file in files[::2]] == dates[::2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": COUNT + 1}, "list .* ≠ .*; pairs 20 ≠ 21"),
        ({"name": "other-{}"}, "list .* ≠ "),
        ({"settings": {"beam": 1}}, "beam 5 ≠ 1"),
        ({"settings": {"decision": "search"}}, "decision either-order ≠ search"),
        ({"settings": {"scale": (0, 9)}}, r"scale None ≠ \[0, 9\]"),
        ({"settings": {"block_size": 16}}, "block_size 8 ≠ 16"),
        ({"weights": True}, "weights .* ≠ "),
    ],
)
def test_another_list_or_settings_are_refused(
    change: dict[str, Any],
    told: str,
    here: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names what differs, and nothing is touched."""
    out = tmp_path / "out"
    monkeypatch.setattr(Weights, "sha256", "that of before", raising=False)
    Folder(out).begin(
        write_list(tmp_path / "list.csv", COUNT),
        run._record(resolve_weights(None), SMALL),
        8,
    )
    if "weights" in change:
        monkeypatch.setattr(Weights, "sha256", "another")
    more = dict(change.get("settings", {}))
    if "scale" in more:
        more = {"reading": Reading(scale=more["scale"])}
    settings = ArchiveSettings(**{"batch_size": 4, "block_size": 8, **more})
    options = {"name": change["name"]} if "name" in change else {}
    table = write_list(tmp_path / "list.csv", change.get("count", COUNT), **options)
    with pytest.raises(DataError, match=told):
        write_archive(table, out, settings=settings)
    assert not list((out / "captions").iterdir())


def test_wrong_words_are_refused_before_ray_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(write_list(tmp_path / "list.csv", 3))
    full = tmp_path / "full"
    full.mkdir()
    (full / "other.txt").write_text("mine")
    (tmp_path / "plain.csv").write_text("before,after\na.png,b.png\n")
    out = ["-o", str(tmp_path / "out")]
    for words, told in [
        ([str(tmp_path / "plain.csv"), *out], "has no column id in its first line"),
        ([str(tmp_path / "none.csv"), *out], "it does not exist"),
        ([str(full), *out], "it is a folder"),
        ([table, "-o", str(full)], "holds something else"),
        ([table, "-o", table], "is a file; name a folder"),
        ([table, *out, "--workers", "0"], "workers is 0; it must be at least 1"),
        ([table, *out, "--threads", "0"], "threads is 0; it must be at least 1"),
        ([table, *out, "--block-size", "20"], "block_size=20 is no multiple of"),
        ([table, *out, "--address", "http://a"], "it is HOST:PORT"),
        ([table, *out, "--weights", "nowhere"], "not a checkpoint folder"),
        ([table, *out, "--precision", "bf16"], "bf16"),
        ([table, *out, "--beam", "0"], "beam is 0"),
    ]:
        assert main(["archive", *words]) == 2, words
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_worker_cannot_do_comes_back_as_words(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    folder.begin(write_list(tmp_path / "list.csv", 3), {}, 8)
    worker = BlockCaptioner(folder.path, ArchiveSettings(weights=tmp_path), 1)
    told = worker({"block": np.array([0])})
    assert told["pairs"] == [0]
    assert "is no whole checkpoint" in told["problem"][0]


def test_a_worker_is_sent_a_path_and_loads_the_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What travels is a few hundred bytes; the weights have megabytes."""
    folder = Folder(tmp_path / "out")
    folder.begin(write_list(tmp_path / "list.csv", 12), {}, 8)
    sent = pickle.dumps(BlockCaptioner(folder.path, SMALL, 1))
    assert len(sent) < 2000
    worker = pickle.loads(sent)
    loaded = []

    def load_once(*how: Any, **more: Any) -> Any:
        loaded.append(how)
        return load(*how, **more)

    monkeypatch.setattr(work, "load", load_once)
    assert worker({"block": np.array([0])})["pairs"] == [8]
    assert worker({"block": np.array([1])})["pairs"] == [4]
    assert len(loaded) == 1


def test_a_damaged_block_is_told(here: None, tmp_path: Path) -> None:
    table, out = write_list(tmp_path / "list.csv", 8), tmp_path / "out"
    write_archive(table, out, settings=SMALL)
    Folder(out).file(0).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="delete it, and give the same command again"):
        write_archive(table, out, settings=SMALL)


def test_one_run_at_a_time(here: None, tmp_path: Path) -> None:
    from filelock import FileLock

    table, out = write_list(tmp_path / "list.csv", 8), tmp_path / "out"
    write_archive(table, out, settings=SMALL)
    with (
        FileLock(out / ".lock"),
        pytest.raises(DataError, match="another process works in"),
    ):
        write_archive(table, out, settings=SMALL)


def row(number: int, **more: Any) -> dict[str, Any]:
    usual = {"id": f"<{number}>", "number": number, "before": "a", "after": "b"}
    usual |= dict.fromkeys(("row", "column", "height", "width", "error"))
    usual |= {"caption": "c", "changed": True, "domain": 0.5, "change_probability": 0.5}
    return usual | more


class Rows(Folder):
    """Rows that are made up."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def rows(self, *_: Any) -> Any:
        return iter(self._rows)


def test_the_rows_to_look_at_first(tmp_path: Path) -> None:
    """The most probable first, strange images last, ties in the list's order; what
    cannot be read is counted and not shown."""
    summary = ArchiveSummary.of(
        Rows(
            [
                row(0, change_probability=0.0, changed=False),
                row(1, change_probability=1.0, domain=1.5),
                row(2, change_probability=0.9),
                row(3, change_probability=1.0),
                row(4, change_probability=0.9),
                row(5, error="gone", changed=None, change_probability=None),
                row(6, change_probability=None, domain=None),
            ]
        ),
        1,
    )
    assert [shown["number"] for shown in summary.first] == [3, 6, 2, 4, 0, 1]
    assert (summary.pairs, summary.unreadable, summary.unlike) == (7, 1, 1)
    assert (summary.changed, summary.share_changed) == (5, 5 / 6)
    assert summary.histogram[0] == 1
    assert summary.histogram[18] == summary.histogram[19] == 2
    many = ArchiveSummary.of(Rows([row(number) for number in range(400)]), 1)
    assert [shown["number"] for shown in many.first] == list(range(300))
    page = write_page(tmp_path, summary, USUAL, title="<list>").read_text()
    assert "Captions of &lt;list&gt;" in page
    assert "&lt;3&gt;" in page
    assert "0.95 to 1.00: 2 pairs" in page


def test_addresses() -> None:
    for good in (None, "auto", "10.0.0.1:6379", "head.local:6379", "[::1]:6379"):
        check_address(good)
    for wrong in ("", "ray://head:10001", "head", "head:port", "a b:1"):
        with pytest.raises(SettingsError, match="it is HOST:PORT of a Ray cluster"):
            check_address(wrong)


def test_an_address_where_nothing_answers_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray itself would try for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        table = write_list(tmp_path / "list.csv", 3)
        words = [str(table), "-o", str(tmp_path / "out"), "--address", address]
        assert main(["archive", *words]) == 2
    assert f"address={address}: nothing answers there" in capsys.readouterr().err


def test_no_checkpoint_is_told_before_the_list_is_read(tmp_path: Path) -> None:
    settings = ArchiveSettings(weights=tmp_path)
    table = write_list(tmp_path / "list.csv", 3)
    with pytest.raises(CheckpointError, match="is no whole checkpoint"):
        write_archive(table, tmp_path / "out", settings=settings)
    assert list(read_list(table))
