"""The packed form: the same pixels, checked by hashes, whole or not at all, going on
after a kill."""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sencap.cli import VERBS, Verb, main, verb_parser
from sencap.errors import DataError, OutputError, SettingsError
from sencap.places import (
    FolderPlaces,
    PackedPlaces,
    PairPlaces,
    Places,
    SyntheticPlaces,
    open_places,
    pack,
    packing,
    verify,
)
from sencap.places.packed import index_hash, read_index
from sencap.synthetic import write_dataset

SAMPLES = Path(__file__).parents[1] / "samples" / "ssl4eo_v1_0"
CHILD = """
import sys
from sencap.places import SyntheticPlaces, pack
pack(SyntheticPlaces(40, size=32), sys.argv[1], size=32, places_per_file=3)
"""


def hashes(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """Six places of two to four dates, one that cannot be read and one damaged date."""
    root, rng = tmp_path / "dated", np.random.default_rng(0)
    for number, count in enumerate((2, 4, 3, 2, 2, 3)):
        (root / f"p{number}").mkdir(parents=True)
        for month in range(1, count + 1):
            image = Image.fromarray(rng.integers(1, 255, (48, 48, 3)).astype(np.uint8))
            image.save(root / f"p{number}" / f"2021-{month:02d}-11.png")
    (root / "p3" / "2021-02-11.png").write_bytes(b"")
    (root / "p5" / "2021-01-11.png").write_bytes(b"")
    return root


@pytest.mark.parametrize("workers", [1, 2])
def test_packed_places_are_the_places(
    dated: Path, tmp_path: Path, workers: int
) -> None:
    places = FolderPlaces(dated)
    report = pack(
        places, tmp_path / "packed", size=48, workers=workers, places_per_file=4
    )
    packed = open_places(tmp_path / "packed")
    assert isinstance(packed, PackedPlaces)
    names = [packed.name(i) for i in range(len(packed))]
    assert names == ["p0", "p1", "p2", "p4", "p5"]
    source = {places.name(i): i for i in range(len(places))}
    for index, name in enumerate(names):
        expected, found = places.read(source[name]), packed.read(index)
        assert found.dates == packed.dates(index) == expected.dates
        assert found.name == name
        assert np.array_equal(found.images, expected.images)
    assert (report.places, report.images) == (5, 2 + 4 + 3 + 2 + 2)
    assert packed.report == report
    assert "2021-02-11" in report.left_out["p3"]
    assert "2021-01-11" in report.missing["p5"][0]
    assert verify(tmp_path / "packed") == report


def test_the_bytes_do_not_depend_on_the_number_of_workers(
    dated: Path, tmp_path: Path
) -> None:
    for workers in (1, 2):
        pack(
            FolderPlaces(dated),
            tmp_path / str(workers),
            size=48,
            workers=workers,
            places_per_file=2,
        )
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")
    assert sorted(hashes(tmp_path / "1")) == [
        *(f"images-0000{number}.npy" for number in range(3)), "index.json", "pack.json"
    ]  # fmt: skip


def test_reading_maps_the_file_and_cannot_change_it(
    dated: Path, tmp_path: Path
) -> None:
    pack(FolderPlaces(dated), tmp_path / "packed", size=48)
    packed = PackedPlaces(tmp_path / "packed")
    images = packed.read(1).images
    base = images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0, 0] = 1
    assert np.array_equal(pickle.loads(pickle.dumps(packed)).read(1).images, images)
    whole = np.load(tmp_path / "packed" / "images-00000.npy", mmap_mode="r")
    assert whole.shape == (13, 3, 48, 48)
    with pytest.raises(IndexError):
        packed.read(5)
    with pytest.raises(IndexError):
        packed.read(-1)


def test_other_sizes_are_cut_to_a_square_and_resized(tmp_path: Path) -> None:
    for day in ("2020-01-01", "2020-07-01"):
        picture = np.zeros((64, 160, 3), np.uint8)
        # The central square: left half 50, right half 200.
        picture[:, 48:80], picture[:, 80:112] = (50, 200)
        (tmp_path / "d" / "x").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "d" / "x" / f"{day}.png")
    pack(FolderPlaces(tmp_path / "d"), tmp_path / "packed", size=32)
    image = PackedPlaces(tmp_path / "packed").read(0).images[0]
    assert image.shape == (3, 32, 32)
    assert (image[:, :, :15] == 50).all()
    assert (image[:, :, 17:] == 200).all()


def test_every_changed_byte_is_found(dated: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(FolderPlaces(dated), out, size=48, places_per_file=3)
    file = out / "images-00001.npy"
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)
    PackedPlaces(out)  # the sizes are right still
    with pytest.raises(DataError, match=r"pixels of images-00001.npy are not"):
        verify(out)
    file.write_bytes(content[:-1])
    with pytest.raises(DataError, match="missing or cut off"):
        PackedPlaces(out)
    index = out / "index.json"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace('"p1"', '"p9"'), encoding="utf-8")
    with pytest.raises(DataError, match="changed after it was written"):
        PackedPlaces(out)
    index.write_text(text[:50], encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        PackedPlaces(out)
    # Of the line that tells shape and type.
    file.write_bytes(content[:10] + b"(" + content[11:])
    index.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="is damaged: delete the folder"):
        PackedPlaces(out).read(3)


def rewritten(index: Path, **changes: object) -> None:
    """Change an index, and its hash with it, as a stranger could."""
    content = json.loads(index.read_text(encoding="utf-8")) | changes
    content["sha256"] = index_hash(content)
    index.write_text(json.dumps(content), encoding="utf-8")


FILE = {
    "file": "images-00000.npy",
    "names": ["a"],
    "dates": [["2020-01-01", "2020-06-01"]],
    "images": 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "48"},
        {"size": 10**9},
        {"places": 2},
        {"images": None},
        {"missing": []},
        {"left_out": "none"},
        {"source": 3},
        {"files": {}},
        {"files": None},
        {"files": [FILE | {"file": "../images-00000.npy"}]},
        {"files": [FILE | {"file": 7}]},
        {"files": [FILE | {"names": [3]}]},
        {"files": [FILE | {"names": "a"}], "places": 1, "images": 3},
        {"files": [FILE | {"dates": [["2020-01-01", "2020-13-01"]]}]},
        {"files": [FILE | {"dates": [["2020-01-01"]]}]},
        {"files": [FILE | {"dates": [[1, 2]]}]},
        {"files": [{"file": "images-00000.npy"}]},
    ],
)
def test_an_index_of_other_content_is_told_though_its_hash_is_right(
    changes: dict[str, object], tmp_path: Path
) -> None:
    write_index(tmp_path / "index.json")
    rewritten(tmp_path / "index.json", **changes)
    with pytest.raises(
        DataError, match=r"does not hold what .* holds; delete the folder"
    ):
        read_index(tmp_path)


def write_index(file: Path) -> None:
    """The index of one place, as a pack writes it."""
    index = {
        "format": "sencap-packed-1", "size": 48, "places": 1, "images": 2, "missing": {}, "left_out": {},  # noqa: E501
        "source": {}, "files": [FILE],
    }  # fmt: skip
    file.write_text(json.dumps(index), encoding="utf-8")
    rewritten(file)
    assert read_index(file.parent)["places"] == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"format": 3}', "{}", "[" * 100_000, "\x00", "\xe9"]
)
def test_a_damaged_index_is_told_with_what_to_delete(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(
        DataError, match=r"index\.json .*(delete the folder|this sencap reads)"
    ):
        open_places(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "[" * 100_000, "\xe9", '{"size": 48}']
)
@pytest.mark.parametrize("form", ["pack", "synth"])
def test_a_damaged_note_is_told_with_what_to_do(
    form: str, text: str, tmp_path: Path
) -> None:
    note = tmp_path / {"pack": "pack.json", "synth": "synthetic.json"}[form]
    note.write_bytes(text.encode("latin-1"))
    run: dict[str, Callable[[], object]] = {
        "pack": lambda: pack(SyntheticPlaces(2, size=32), tmp_path, size=32),
        "synth": lambda: write_dataset(tmp_path, pairs=10, workers=1, progress=False),
    }
    with pytest.raises(DataError, match=r"delete the folder|other settings \("):
        run[form]()
    assert [path.name for path in tmp_path.iterdir()] == [note.name]


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"images": 2}', "\x00"])
def test_a_damaged_list_of_a_part_only_costs_the_part(
    dated: Path, tmp_path: Path, text: str
) -> None:
    out = tmp_path / "packed"
    pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    whole = hashes(out)
    (out / "index.json").unlink()
    (out / "images-00000.json").write_text(text, encoding="utf-8")
    pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    assert hashes(out) == whole


def test_a_stopped_run_goes_on_and_what_is_done_stays(
    dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(FolderPlaces(dated), tmp_path / "whole", size=48, places_per_file=2)
    out, read = tmp_path / "packed", packing._read
    asked: list[int] = []

    def stopping(places: FolderPlaces, index: int, size: int) -> packing._Read:
        if index == 3 and 3 not in asked:
            asked.append(index)
            raise KeyboardInterrupt
        asked.append(index)
        return read(places, index, size)

    monkeypatch.setattr(packing, "_read", stopping)
    with pytest.raises(KeyboardInterrupt):
        pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    with pytest.raises(DataError, match="not packed to the end"):
        open_places(out)
    first = (out / "images-00000.npy").stat().st_mtime_ns
    pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    assert asked == [0, 1, 2, 3, 2, 3, 4, 5]
    assert (out / "images-00000.npy").stat().st_mtime_ns == first
    assert hashes(out) == hashes(tmp_path / "whole")
    pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    assert len(asked) == 8  # nothing left to do


def test_a_run_killed_at_its_very_end_leaves_no_lists_behind(
    dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "packed"
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.match("images-*.json"):
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    assert (out / "index.json").is_file()
    report = pack(FolderPlaces(dated), out, size=48, places_per_file=2)
    assert sorted(hashes(out)) == [
        *(f"images-0000{number}.npy" for number in range(3)), "index.json", "pack.json"
    ]  # fmt: skip
    assert report == verify(out)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_run_leaves_nothing_that_looks_whole_and_goes_on(
    tmp_path: Path,
) -> None:
    out = tmp_path / "packed"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)])
    limit = time.monotonic() + 120
    while not (out / "images-00001.json").is_file():
        assert child.poll() is None, "the child ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "index.json").is_file()
    with pytest.raises(DataError, match="not packed to the end"):
        PackedPlaces(out)
    before = {
        file.name: file.stat().st_mtime_ns for file in sorted(out.glob("images-*.npy"))
    }
    assert len(before) >= 2
    places = SyntheticPlaces(40, size=32)
    report = pack(places, out, size=32, places_per_file=3)
    assert report.places == 40
    for name, written in list(before.items())[:-1]:
        assert (out / name).stat().st_mtime_ns == written
    packed = PackedPlaces(out)
    packed.verify()
    for index in (0, 5, 6, 39):
        assert np.array_equal(packed.read(index).images, places.read(index).images)
    assert not list(out.glob(".*"))


def test_a_script_without_a_guard_packs_in_several_processes(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import os\n"
        "from sencap.places import SyntheticPlaces, pack\n"
        f"print('run by', os.getpid())\n"
        "places = SyntheticPlaces(4, size=32)\n"
        "places.ballast = bytes(1_000_000)  # more than a pipe holds\n"
        f"pack(places, {str(tmp_path / 'packed')!r}, size=32, workers=2)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("run by") == 1
    assert len(PackedPlaces(tmp_path / "packed")) == 4


def _some(dated: Path, out: Path, *names: str) -> Path:
    """A folder with some of the places."""
    for name in names:
        shutil.copytree(dated / name, out / name)
    return out


def test_a_folder_of_other_places_or_settings_is_left_alone(
    dated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed"
    pack(FolderPlaces(dated), out, size=48)
    with pytest.raises(DataError, match="size 48 ≠ 32"):
        pack(FolderPlaces(dated), out, size=32)
    with pytest.raises(DataError, match="other settings"):
        pack(FolderPlaces(_some(dated, tmp_path / "some", "p0", "p1")), out, size=48)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="holds something else"):
        pack(FolderPlaces(dated), tmp_path / "other")
    with pytest.raises(SettingsError, match="is a file"):
        pack(FolderPlaces(dated), tmp_path / "other" / "mine.txt")
    with pytest.raises(SettingsError, match="workers is -1"):
        pack(FolderPlaces(dated), tmp_path / "new", workers=-1)


def test_a_full_disk_is_told_before_it_is_full(
    dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(OutputError, match="GB left; make room"):
        pack(FolderPlaces(dated), tmp_path / "packed", size=48)


def test_a_source_without_any_readable_place_is_refused(
    dated: Path, tmp_path: Path
) -> None:
    places = FolderPlaces(_some(dated, tmp_path / "some", "p3"))
    with pytest.raises(DataError, match=r"no place can be packed(.|\n)*p3 is left out"):
        pack(places, tmp_path / "packed", size=48)
    assert not (tmp_path / "packed" / "index.json").exists()


def test_a_part_without_places_and_what_a_kill_left_behind_leave_no_file(
    dated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed"
    out.mkdir()
    (out / ".images-00000.77.new.npy").write_bytes(b"half")
    pack(FolderPlaces(dated), out, size=48, places_per_file=1)
    numbers = (0, 1, 2, 4, 5)  # p3 cannot be read
    assert sorted(hashes(out)) == [
        *(f"images-{n:05d}.npy" for n in numbers),
        "index.json",
        "pack.json",
    ]
    assert PackedPlaces(out).name(3) == "p4"


def test_packing_from_the_packed_form_to_a_smaller_one(
    dated: Path, tmp_path: Path
) -> None:
    pack(FolderPlaces(dated), tmp_path / "large", size=48)
    pack(open_places(tmp_path / "large"), tmp_path / "small", size=32)
    small = PackedPlaces(tmp_path / "small")
    assert small.read(1).images.shape == (4, 3, 32, 32)
    assert small.dates(0) == (datetime.date(2021, 1, 11), datetime.date(2021, 2, 11))


# -- the verb --------------------------------------------------------------------------


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb as the command line lists it, whether it does so yet or not."""
    monkeypatch.setitem(
        VERBS, "pack", Verb("sencap.verbs.pack", "pack dated images", ("source", "out"))
    )


@pytest.mark.usefixtures("verb")
def test_the_verb_packs_checks_and_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "pack",
        str(SAMPLES),
        str(tmp_path / "p"),
        "--size",
        "40",
        "--white",
        "3000",
        "--workers",
        "1",
    ]
    assert main([*arguments, "--verify", "--quiet"]) == 0
    assert "3 places with 12 images" in capsys.readouterr().out
    packed = PackedPlaces(tmp_path / "p")
    index = json.loads((tmp_path / "p" / "index.json").read_text(encoding="utf-8"))
    assert index["source"]["white"] == 3_000
    assert index["source"]["kind"] == "ssl4eo-v1.0"
    assert packed.read(0).images.mean() > 60
    assert (
        main(
            [
                "pack",
                "synthetic:2",
                str(tmp_path / "s"),
                "--size",
                "32",
                "--workers",
                "1",
                "--quiet",
            ]
        )
        == 0
    )
    assert PackedPlaces(tmp_path / "s").read(1).images.shape == (4, 3, 32, 32)


@pytest.mark.usefixtures("verb")
def test_the_verb_refuses_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra, reason in (
        (["--dates", "june"], "'june' is no date"),
        (["--bands", "3,2,1"], "takes no bands"),
        (["--stride", "5"], "takes no stride"),
    ):
        assert main(["pack", str(SAMPLES), str(tmp_path / "p"), *extra]) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.usefixtures("verb")
def test_the_help_of_the_verb_tells_every_flag() -> None:
    from sencap.verbs.pack import command

    text = verb_parser("pack", command).format_help()
    assert "Output:" in text
    for flag in (
        "--kind",
        "--size",
        "--product",
        "--split",
        "--stride",
        "--dates",
        "--bands",
        "--white",
        "--verify",
    ):
        assert flag in text


def test_pairs_of_other_folders_with_the_same_names_are_another_source(
    tmp_path: Path,
) -> None:
    for number, root in enumerate(("one", "two")):
        for date, value in (("A", 60), ("B", 120)):
            folder = tmp_path / root / date
            folder.mkdir(parents=True)
            noise = np.random.default_rng(number).integers(
                value, value + 20 + 30 * number, (48, 48, 3)
            )
            Image.fromarray(noise.astype(np.uint8)).save(folder / "p.png")
    pack(
        PairPlaces(tmp_path / "one"),
        tmp_path / "out",
        size=48,
        workers=1,
        progress=False,
    )
    with pytest.raises(DataError, match="other settings"):
        pack(
            PairPlaces(tmp_path / "two"),
            tmp_path / "out",
            size=48,
            workers=1,
            progress=False,
        )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("source", ["scenes", "shards", "series", "synthetic"])
def test_every_other_source_can_be_packed_too(
    source: str, workers: int, tmp_path: Path
) -> None:
    samples = Path(__file__).parents[1] / "samples"
    if source == "series":
        rasterio = pytest.importorskip("rasterio")
        rasters = tmp_path / "series"
        rasters.mkdir()
        for number, day in enumerate(("2019-03-01", "2019-07-01")):
            values = np.random.default_rng(number).integers(
                1, 255, (3, 64, 96), dtype=np.uint8
            )
            with rasterio.open(
                rasters / f"{day}.tif", "w", driver="GTiff", height=64, width=96, count=3, dtype="uint8",  # noqa: E501
                crs="EPSG:32633", transform=rasterio.Affine(10, 0, 3e5, 0, -10, 5e6),
            ) as file:  # fmt: skip
                file.write(values)
        places: Places = open_places(rasters, size=32)
    elif source == "synthetic":
        places = SyntheticPlaces(3, size=64)
    else:
        if source == "shards":
            pytest.importorskip("zarr")
        places = open_places(
            samples / {"scenes": "ssl4eo_v1_0", "shards": "ssl4eo_v1_1"}[source]
        )
    size = min(places.read(0).images.shape[2:])
    report = pack(
        places, tmp_path / "packed", size=size, workers=workers, progress=False
    )
    packed = open_places(tmp_path / "packed")
    assert len(packed) == len(places) == report.places > 1
    for index in range(len(places)):
        assert np.array_equal(packed.read(index).images, places.read(index).images)


# -- numbers, outputs, disks -----------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--stride", "0"], "stride is 0"),
        (["--stride", "-1"], "stride is -1"),
        (["--size", "0"], "size is 0"),
        (["--size", "5000"], "size is 5000"),
        (["--size", "1e9"], "size"),
        (["--workers", "-1"], "workers is -1"),
        (["--workers", "10000"], "workers is 10000"),
        (["--black", "-1"], "black is -1"),
        (["--white", "0"], "white is 0"),
        (["--white", "65536"], "white is 65536"),
        (["--black", "500", "--white", "500"], "black < white"),
        (["--black", "500", "--white", "100"], "black < white"),
        (["--black", "20000"], "black < white"),
        (["--dates", ""], "dates is empty"),
        (["--dates", ","], "'' is no date"),
        (["--bands", "0,1,2"], "three numbers from 1"),
        (["--bands=-1,1,2"], "three numbers from 1"),
        (["--bands", "1,2"], "three numbers from 1"),
        (["--kind", "serie"], "did you mean 'series'"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_anything_is_written(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rasterio", reason="series need the extra geo (rasterio)")
    source = two_rasters(tmp_path)
    kind = [] if "--kind" in flags else ["--kind", "series"]
    assert main(["pack", str(source), str(tmp_path / "out"), *kind, *flags]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("synthetic:0", "count=0"),
        ("synthetic:1000000000000", "count=1000000000000"),
        ("synthetic:" + "9" * 5000, "must be synthetic:COUNT"),
        ("synthetic:-1", "must be synthetic:COUNT"),
        ("synthetic:3:4294967296", "seed is 4294967296"),
        ("synthetic:3:-1", "must be synthetic:COUNT"),
        ("synthetic:", "must be synthetic:COUNT"),
    ],
)
def test_a_synthetic_source_that_cannot_be_is_refused(
    source: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", source, str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error) < 300


def test_from_python_numbers_are_refused_likewise(dated: Path, tmp_path: Path) -> None:
    for name, value in (
        ("stride", 0),
        ("size", 0),
        ("workers", 10_000),
        ("size", 48.0),
    ):
        given: dict[str, Any] = {name: value}
        with pytest.raises(SettingsError, match=f"{name} is {value}"):
            pack(dated, tmp_path / "out", **given)
    with pytest.raises(SettingsError, match="places_per_file is 0"):
        pack(FolderPlaces(dated), tmp_path / "out", places_per_file=0)
    assert not (tmp_path / "out").exists()


def two_rasters(folder: Path) -> Path:
    for day in ("2020-01-01", "2020-07-01"):
        image = np.random.default_rng(1).integers(1, 255, (64, 64, 3), dtype=np.uint8)
        (folder / "rasters").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "rasters" / f"{day}.png")
    return folder / "rasters"


@pytest.mark.parametrize("verb", ["pack", "synth"])
@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere", "locked"])
def test_a_folder_that_cannot_be_written_is_refused_before_work(
    verb: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "locked").mkdir(mode=0o500)
    if place.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    if place == "locked" and os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("root may write everywhere")
    out = str(tmp_path / place)  # an absolute place stays as it is
    words = {
        "pack": ["pack", "synthetic:2", out],
        "synth": ["synth", out, "--pairs", "10"],
    }[verb]
    assert main([*words, "--quiet", "--workers", "1"]) == 2
    assert re.search(
        "is a file; name a folder|cannot be written", capsys.readouterr().err
    )
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("out", [".", "packed", "p1/packed"])
def test_a_pack_inside_its_source_is_refused(out: str, dated: Path) -> None:
    before = sorted(dated.rglob("*"))
    with pytest.raises(SettingsError, match="lies inside the source"):
        pack(dated, dated / out)
    assert sorted(dated.rglob("*")) == before


@pytest.mark.parametrize(("verb", "workers"), [("pack", "1"), ("synth", "2")])
def test_a_full_disk_ends_with_a_word_and_the_same_command_goes_on(
    verb: str, workers: str, tmp_path: Path
) -> None:
    """A limit on the size of a file stands for a disk that fills: the system refuses to
    write more."""
    resource = pytest.importorskip("resource", reason="needs limits of POSIX")
    out = tmp_path / "out"
    words = {
        "pack": ["pack", "synthetic:3", str(out), "--size", "64"],
        "synth": ["synth", str(out), "--pairs", "10"],
    }[verb]
    command = [sys.executable, "-m", "sencap", *words, "--quiet", "--workers", workers]
    limit = 60_000  # a scene's PNG has more, and so have two packed places
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"sencap: error: \S+ cannot be written \(File too large\); .*\n", done.stderr
    )
    images = [path for path in out.rglob("*") if path.suffix in (".png", ".npy")]
    assert not [path for path in images if path.name.startswith(".")]
    assert verb == "synth" or not images
    again = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60
    )
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_the_last_files_is_told(
    number: int, dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, fsync = FolderPlaces(dated), os.fsync

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"images-00000.npy cannot be written .*make room"
    ):
        pack(places, tmp_path / "out", size=48)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pack.json"]
    monkeypatch.setattr(os, "fsync", fsync)
    assert pack(places, tmp_path / "out", size=48).places == 5
