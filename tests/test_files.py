"""Files are whole or not there, never over an input, never outside of their folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.errors import OutputError, SettingsError
from sencap.files import (
    check_inputs,
    check_output_folder,
    check_outputs,
    delete_drafts,
    file_name,
    not_a_file,
    whole_file,
    write_whole,
)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_whole(path, "first\n")
    write_whole(path, b"second\n")
    assert path.read_bytes() == b"second\n"
    assert list(tmp_path.iterdir()) == [path]


def _write_half(path: Path, interruption: BaseException | type[BaseException]) -> None:
    with whole_file(path) as draft:
        draft.write_text("half")
        raise interruption


@pytest.mark.parametrize(
    "interruption",
    [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")],
)
def test_what_stops_in_the_middle_leaves_the_old_file_and_no_draft(
    tmp_path: Path, interruption: BaseException | type[BaseException]
) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises((KeyboardInterrupt, OutputError)):
        _write_half(path, interruption)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(
        OutputError, match=r"report\.json cannot be written \(No space .*\); make room"
    ):
        _write_half(path, OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)
def test_a_device_is_written_to_as_it_is() -> None:
    with pytest.raises(OutputError, match=r"/dev/full cannot be written \(No space"):
        write_whole("/dev/full", "text")
    assert Path("/dev/full").is_char_device()
    write_whole(os.devnull, "text")


def test_drafts_of_a_killed_run_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".report.123.new.json").write_text("half")
    (tmp_path / "new.json").write_text("whole")
    delete_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.json"]


def _as_it_is(path: Path) -> Path:
    return path


def _through_a_link(path: Path) -> Path:
    link = path.with_name("link.png")
    link.symlink_to(path)
    return link


def _hard_linked(path: Path) -> Path:
    other = path.with_name("hard.png")
    other.hardlink_to(path)
    return other


def _roundabout(path: Path) -> Path:
    return path.parent / "." / ".." / path.parent.name / path.name


@pytest.mark.parametrize(
    "other_way", [_as_it_is, _through_a_link, _hard_linked, _roundabout]
)
def test_an_output_that_is_an_input_is_refused(
    tmp_path: Path, other_way: object
) -> None:
    source = tmp_path / "before.png"
    source.write_bytes(b"pixels")
    assert callable(other_way)
    output = other_way(source)
    with pytest.raises(
        SettingsError,
        match=r"picture=.* is the input .*before\.png; give the output another",
    ):
        check_outputs({"picture": output}, [source])
    assert source.read_bytes() == b"pixels"


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"markdown=.*x and json=.*x are one file"):
        check_outputs(
            {"json": tmp_path / "x", "markdown": tmp_path / "x", "page": None}
        )
    check_outputs({"json": tmp_path / "x", "markdown": tmp_path / "y", "page": None})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "is a folder; name a file in it"),
        ("missing/x.json", "missing does not exist; make it first"),
        ("file/x.json", "file does not exist; make it first"),
    ],
)
def test_a_place_for_no_file_is_refused_before_any_work(
    tmp_path: Path, output: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=message):
        check_outputs({"json": tmp_path / output})


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc")
def test_a_place_where_nobody_may_write_is_refused() -> None:
    with pytest.raises(OutputError, match=r"json=/proc/x\.json cannot be written"):
        check_outputs({"json": "/proc/x.json"})
    with pytest.raises(OutputError, match="out=/proc/x cannot be written"):
        check_output_folder("out", "/proc/x")


@pytest.mark.parametrize("folder", ["file", "file/below", "file/below/deeper"])
def test_a_folder_is_no_file(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file is a file; name a folder"):
        check_output_folder("out", tmp_path / folder)
    check_output_folder("out", tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()


NAMES = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "../evil",
            "/etc/passwd",
            "C:\\x",
            "-rf",
            "a\nb",
            "con",
            "aux.png",
            "\ud800",
        ]
    ),
)


@given(st.lists(NAMES, max_size=8))
def test_any_names_become_as_many_files_in_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    taken: list[str] = []
    for name in names:
        safe = file_name(name, taken)
        taken.append(safe)
        (folder / f"{safe}.png").write_text(name, errors="replace")
        assert not safe.startswith(("-", "."))
    assert len(list(folder.iterdir())) == len(names)


@pytest.mark.parametrize(
    "name", ["plot 1", "test_000001", "_x-", "Straße", "場所", "a.b"]
)
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_written_to_if_somebody_reads_it_and_not_waited_for(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(
        OutputError, match=r"pipe\.json is a pipe that nobody reads; start its"
    ):
        write_whole(pipe, "lost")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "read")
    assert os.read(reader, 100) == b"read"
    os.close(reader)


def test_inputs_that_are_not_there_are_told_with_their_flag(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    there: dict[str, str | Path | None] = {
        "data": tmp_path,
        "captions": tmp_path / "file",
        "init": "timm:resnet50",
        "places": "synthetic:9",
    }
    check_inputs({**there, "imagenet": "timm", "seco": None})
    with pytest.raises(
        SettingsError, match="start=nowhere: it does not exist; name a file or a folder"
    ):
        check_inputs({**there, "start": "nowhere"})
    with pytest.raises(
        SettingsError, match="pipe: it is a pipe; name a file or a folder that is there"
    ):
        check_inputs({**there, "start": tmp_path / "pipe"})


@pytest.mark.parametrize("url", ["https://x.org/a/b.tif", "s3://bucket/b", "gs://x/y"])
def test_an_address_is_no_place_for_a_file(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"json=.* is an address, and sencap writes to files"
    ):
        check_outputs({"json": Path(url)})
    with pytest.raises(
        SettingsError, match=r"out=.* is an address, and sencap writes to files"
    ):
        check_output_folder("out", url)
    with pytest.raises(
        SettingsError, match=rf"data=.*: it is an address.*; fetch {url}"
    ):
        check_inputs({"data": url})


def test_a_folder_may_be_called_like_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab:").mkdir()
    (tmp_path / "ab:" / "x").touch()
    assert not_a_file("ab:/x") == ""
    check_output_folder("out", "ab:/y")
