"""What is no regular file is refused at once, before anything is opened: a pipe would
wait for ever."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sencap.cli import main
from sencap.errors import DataError, ImageError
from sencap.files import not_a_file
from sencap.images import find_pairs, read_image
from sencap.places.folders import FolderPlaces
from sencap.places.shards import ShardPlaces
from sencap.places.ssl4eo import SceneFolderPlaces
from tiny_data import write_tiny_data

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="this system has no pipes with names"
)


@pytest.fixture(autouse=True)
def within_half_a_minute() -> Iterator[None]:
    """Whatever waits for a pipe is woken, and the test fails."""

    def wake(*_: object) -> None:
        raise TimeoutError("it waited for a pipe")

    if threading.current_thread() is not threading.main_thread():
        pytest.skip("alarms are for the main thread")
    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(30)  # importing PyTorch on a busy machine takes some of it
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make_socket(path: Path) -> None:
    # A socket's name is short, pytest's folders are not.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


ODD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "it does not exist"),
    "folder": (Path.mkdir, "it is a folder"),
    "pipe": (os.mkfifo, "it is a pipe"),
    "socket": (make_socket, "it is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "broken link": (
        lambda path: path.symlink_to("nowhere"),
        "it is a link to nowhere, which does not exist",
    ),
    "link to itself": (
        lambda path: path.symlink_to(path),
        "it is a link that leads back to itself",
    ),
    "link to a pipe": (link_to_pipe, "it is a pipe"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_no_image(tmp_path: Path, kind: str) -> None:
    make, reason = ODD[kind]
    path = tmp_path / "x.png"
    make(path)
    assert not_a_file(path) == reason
    with pytest.raises(ImageError, match=rf"x\.png: {reason}: give an image file$"):
        read_image(path)


def test_a_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    (tmp_path / "link").symlink_to("x")
    assert not_a_file(tmp_path / "x") == not_a_file(tmp_path / "link") == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a\0b", "a character that no"), ("n" * 300, "File name too long")],
)
def test_names_that_no_file_has(name: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(name)


@pytest.mark.parametrize("kind", sorted(set(ODD) - {"folder", "missing"}))
def test_what_is_no_file_is_no_table_of_pairs(tmp_path: Path, kind: str) -> None:
    make, reason = ODD[kind]
    path = tmp_path / "pairs.csv"
    make(path)
    with pytest.raises(
        DataError, match=rf"pairs\.csv: {reason}; give a folder of pairs or a CSV file"
    ):
        find_pairs(path)


def test_a_table_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "pairs.csv").open("wb") as file:
        file.truncate(20 << 30)  # takes no room: nothing is written
    with pytest.raises(
        DataError,
        match=r"pairs\.csv has 21,474,836,480 bytes, more than 268,435,456; give",
    ):
        find_pairs(tmp_path / "pairs.csv")


HEADS = {
    "png": b"\x89PNG\r\n\x1a\n"
    + bytes(8)
    + (64).to_bytes(4, "big") * 2
    + b"\x10\x02\0\0\0",
    "jpeg": b"\xff\xd8\xff\xe0",
    "webp": b"RIFF" + bytes(4) + b"WEBPVP8L",
    "tiff": b"II*\0\x08\0\0\0",
}


@pytest.mark.parametrize("kind", HEADS)
def test_an_image_file_of_gigabytes_is_not_read(tmp_path: Path, kind: str) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.write(HEADS[kind])
        file.truncate(20 << 30)
    with pytest.raises(
        ImageError, match=r"x: it is a file of 21\.5 GB, more than an image may take"
    ):
        read_image(tmp_path / "x")


def test_pipes_in_a_folder_of_pairs_are_told_when_they_are_read(tmp_path: Path) -> None:
    for name in ("p_before.png", "p_after.png"):
        os.mkfifo(tmp_path / name)
    ((before, _, _),) = find_pairs(tmp_path)
    with pytest.raises(ImageError, match=r"p_before\.png: it is a pipe"):
        read_image(before)


def test_a_pipe_in_a_table_of_pairs_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    (tmp_path / "pairs.csv").write_text("before,after\np.png,p.png\n")
    with pytest.raises(DataError, match=r"line 2: before 'p\.png' is no file"):
        find_pairs(tmp_path / "pairs.csv")


# --- readers of dated images


def test_a_pipe_among_dated_images(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    for date in ("2020-01-01", "2020-06-01"):
        os.mkfifo(tmp_path / "place" / f"{date}.tif")
    places = FolderPlaces(tmp_path)
    with pytest.raises(ImageError, match=r"2020-01-01\.tif: it is a pipe"):
        places.read_source(tmp_path / "place" / "2020-01-01.tif")


def test_a_pipe_among_scenes(tmp_path: Path) -> None:
    for date in ("20200101", "20200601"):
        scene = tmp_path / "s2c" / "0000000" / f"{date}T000000_x"
        scene.mkdir(parents=True)
        for band in ("B4", "B3", "B2"):
            os.mkfifo(scene / f"{band}.tif")
    places = SceneFolderPlaces(tmp_path)
    with pytest.raises(ImageError, match=r"B4\.tif: it is a pipe"):
        places.read_source(
            ("0000000/20200101T000000_x", ("B4.tif", "B3.tif", "B2.tif"))
        )


def test_a_pipe_among_archives(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "train" / "S2RGB").mkdir(parents=True)
    os.mkfifo(tmp_path / "train" / "S2RGB" / "ssl4eos12_train_0.zarr.zip")
    with pytest.raises(DataError, match=r"ssl4eos12_train_0\.zarr\.zip: it is a pipe"):
        ShardPlaces(tmp_path)


def test_a_pipe_among_rasters(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    from sencap.places.series import SeriesPlaces

    for date in ("2020-01-01", "2020-06-01"):
        os.mkfifo(tmp_path / f"{date}.tif")
    with pytest.raises(DataError, match=r"2020-01-01\.tif: it is a pipe"):
        SeriesPlaces(tmp_path, size=64)


# --- verbs


def images_in_pipes(folder: Path) -> str:
    """A data set whose one image file is a pipe, both dates."""
    write_tiny_data(folder)
    for date in ("A", "B"):
        image = folder / "images" / "test" / date / "test_000001.png"
        image.unlink()
        os.mkfifo(image)
    return str(folder)


def captions_in_a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "LevirCCcaptions.json")
    return str(folder)


def two_pipes(folder: Path) -> list[str]:
    paths = [folder / "before.png", folder / "after.png"]
    for path in paths:
        os.mkfifo(path)
    return [str(path) for path in paths]


VERBS: dict[str, Callable[[Path], list[str]]] = {
    "caption": lambda folder: ["caption", *two_pipes(folder)],
    "explain": lambda folder: [
        "explain",
        *two_pipes(folder),
        "--out",
        str(folder / "x.html"),
    ],
    "check, images": lambda folder: ["check", images_in_pipes(folder)],
    "check, captions": lambda folder: ["check", captions_in_a_pipe(folder)],
    "evaluate, captions": lambda folder: [
        "evaluate",
        "--data",
        captions_in_a_pipe(folder),
    ],
    "train, captions": lambda folder: [
        "train",
        "--data",
        captions_in_a_pipe(folder),
        "--out",
        str(folder / "run"),
    ],
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_end_at_once(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(VERBS[verb](tmp_path)) == 2
    assert "is a pipe" in capsys.readouterr().err
