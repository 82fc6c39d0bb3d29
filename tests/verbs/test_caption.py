"""`sencap caption`: each pair its own picture, equal images told, and no number that
does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sencap import load
from sencap.captioning import caption_files, picture_paths
from sencap.cli import main
from sencap.errors import SettingsError
from sencap.files import write_whole
from sencap.images import find_pairs

HOSTILE = [
    "../evil",
    "/abs",
    "a/b",
    "..",
    ".hidden",
    "-rf",
    "line\nbreak",
    "x" * 300,
    "ä" * 300,
    "con",
    "",
    "\udc80",
]
names = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=12)
    | st.sampled_from(["a", "A", "a-2", "a/", "a."])
)


@given(st.lists(names, max_size=12))
def test_every_pair_has_a_picture_of_its_own_inside_the_folder(
    given_names: list[str],
) -> None:
    folder = Path("pictures")
    paths = picture_paths(folder, given_names)
    assert len(paths) == len(given_names)
    assert {path.parent for path in paths} <= {folder}
    assert len({path.name.casefold() for path in paths}) == len(given_names)
    for path in paths:
        assert path.name == Path(path.name).name
        assert not path.name.startswith((".", "-"))
        assert len(path.name.encode()) < 240


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_of_any_name_can_be_written(name: str, tmp_path: Path) -> None:
    (path,) = picture_paths(tmp_path, [name])
    write_whole(path, b"picture")
    assert list(tmp_path.iterdir()) == [path]


def _table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = [",".join(row) for row in [("before", "after", "name"), *rows]]
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines))
    return path


def test_three_pairs_give_three_pictures_whatever_their_names(
    weights: Path,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs = tmp_path / "inputs"
    for place in ("t1", "t2"):
        (inputs / place).mkdir(parents=True)
        for date, path in zip(("before", "after"), pair, strict=True):
            (inputs / place / f"{date}.png").write_bytes(Path(path).read_bytes())
    rows = [
        (f"t{i}/before.png", f"t{i}/after.png", name)
        for i, name in ((1, ""), (2, ""), (2, "../evil"))
    ]
    table = _table(inputs, rows)
    before = set(tmp_path.rglob("*"))
    pictures = tmp_path / "pictures"
    flags = ["--weights", str(weights), "--picture", str(pictures)]
    assert main(["caption", str(table), "--json", *flags]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    new = set(tmp_path.rglob("*")) - before - {pictures}
    assert {Path(line["picture"]) for line in lines} == new == set(pictures.iterdir())
    assert len(new) == 3
    for picture in new:
        with Image.open(picture) as drawn:
            assert drawn.width > drawn.height


def test_pictures_beside_their_inputs_overwrite_none(
    weights: Path,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = _table(tmp_path, [(*pair, "test_000002")])
    images = Path(pair[0]).parent
    content = Path(pair[0]).read_bytes()
    flags = ["--weights", str(weights), "--picture", str(images)]
    assert main(["caption", str(table), *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "is the input" in shown.err
    assert Path(pair[0]).read_bytes() == content


def test_a_folder_with_a_point_in_its_name_takes_pictures(
    weights: Path, own: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures" / "v1.2"
    flags = ["--weights", str(weights), "--picture", str(folder)]
    assert main(["caption", str(own / "images" / "test"), *flags]) == 0
    assert len(list(folder.iterdir())) == 4


def test_a_name_stays_on_its_line_and_in_its_column(
    weights: Path,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path, date in zip(pair, ("before", "after"), strict=True):
        (tmp_path / f"a\tb_{date}.png").write_bytes(Path(path).read_bytes())
    assert main(["caption", str(tmp_path), "--weights", str(weights)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("a b\t")
    assert line.count("\t") == 1


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (("{a}", "{a}"), "before and after are one file"),
        (
            ("{a}", "{copy}"),
            "the two images are equal, pixel by pixel, at the model's 64 × 64 pixels",
        ),
        (("{a}", "{link}"), "before and after are one file"),
    ],
)
def test_equal_images_are_said_to_be_equal(
    files: tuple[str, str],
    note: str,
    weights: Path,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy, link = tmp_path / "copy.png", tmp_path / "link.png"
    copy.write_bytes(Path(pair[0]).read_bytes())
    link.symlink_to(pair[0])
    given = [file.format(a=pair[0], copy=copy, link=link) for file in files]
    assert main(["caption", *given, "--weights", str(weights)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "the scene is the same as before\n"
    assert shown.err == f"sencap: note: {note}\n"
    assert main(["caption", *given, "--weights", str(weights), "--json"]) == 0
    shown = capsys.readouterr()
    details = json.loads(shown.out)
    assert (details["note"], details["changed"], details["change_probability"]) == (
        note,
        False,
        0.0,
    )
    assert shown.err == ""


def test_a_pair_that_differs_has_no_note(
    weights: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["caption", *pair, "--weights", str(weights), "--json"]) == 0
    details = json.loads(capsys.readouterr().out)
    assert details["note"] == ""
    assert details["picture"] is None
    assert details["change_probability"] > 0


def test_json_says_how_a_pair_was_read(
    weights: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--scale", "0,128", "--bands", "3,2,1", "--weights", str(weights)]
    assert main(["caption", *pair, "--json", *flags]) == 0
    details = json.loads(capsys.readouterr().out)["read"]
    assert details["scale"] == {"low": 0, "high": 128, "told_by": "given"}
    assert details["no_data"] == [0, 0, 0]
    assert main(["caption", *pair, "--json", "--weights", str(weights)]) == 0
    assert json.loads(capsys.readouterr().out)["read"]["scale"] is None


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--scale", "5"], "two numbers LOW,HIGH, as in"),
        (["--scale", "9,3"], "LOW below HIGH"),
        (["--bands", "1,2"], "three numbers from 1"),
        (["--bands", "4,3,2"], "it has 3 bands, but band 4 is wanted"),
        (["--empty", "2"], "empty=2.0 is a share of a pair"),
        (["--windows", "3"], "windows is 3"),
    ],
)
def test_flags_of_reading_that_cannot_be_are_refused_before_a_model_is_loaded(
    flags: list[str],
    reason: str,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sencap.predictor.load", None)
    assert main(["caption", *pair, *flags]) == 2
    assert reason in capsys.readouterr().err
    if flags[0] != "--windows":
        assert main(["explain", *pair, "--out", str(tmp_path / "x.html"), *flags]) == 2
        assert reason in capsys.readouterr().err


def test_a_pair_much_larger_than_the_weights_know_is_told_and_looked_at_in_windows(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = np.random.default_rng(0).integers(0, 256, (600, 520, 3), dtype=np.uint8)
    after = before.copy()
    after[-200:, -200:] = 255  # in one window only
    files = []
    for name, image in (("a", before), ("b", after)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        files.append(str(tmp_path / f"{name}.png"))
    flags = ["--weights", str(weights), "--decision", "search"]
    assert main(["caption", *files, *flags]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert (
        "the pair is 520×600 pixels, reduced to 64×64: small changes are lost"
        in told.err
    )
    assert "sencap scan BEFORE AFTER -o" in told.err
    assert main(["caption", *files, *flags, "--windows", "256", "--json"]) == 0
    windows = json.loads(capsys.readouterr().out)["windows"]
    assert windows["windows"] == 9
    assert windows["equal"] == 5  # the last of row and column reach back
    for window in windows["changed"]:
        assert (window["row"] + 256 > 400, window["column"] + 256 > 320) == (True, True)
    assert main(["caption", *files, *flags, "--windows", "256"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{len(windows['changed'])} of 9 windows changed"
    assert len(lines) == 2 + len(windows["changed"])


def test_windows_are_of_one_pair(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["caption", str(own / "images" / "test"), "--windows", "256"]) == 2
    assert "windows are captioned of one pair" in capsys.readouterr().err


def test_a_scene_above_all_limits_is_captioned_in_little_memory(
    weights: Path, tmp_path: Path
) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs the extra geo (rasterio)")
    size = 9000  # 81 megapixels; sparse: no tile is written
    grid = rasterio.Affine(0.5, 0, 620_000, 0, -0.5, 3_350_000)
    profile = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": 3,
        "dtype": "uint8",
    }
    profile |= {
        "crs": "EPSG:32614",
        "transform": grid,
        "tiled": True,
        "sparse_ok": True,
    }
    before, after = tmp_path / "a.tif", tmp_path / "b.tif"
    for path in (before, after):
        with rasterio.open(path, "w", **profile) as file:
            corner = np.full((3, 512, 512), 90, np.uint8)
            file.write(corner, window=rasterio.windows.Window(0, 0, 512, 512))
    (found,) = caption_files(load(weights), [(before, after, "scene")], [])
    assert found.read["pixels"] == [size, size]
    assert "reduced to 64×64" in found.caption.note


@pytest.mark.parametrize("batch_size", [-1, 0, True, 2.0])
def test_a_batch_size_that_captions_nothing_is_refused(
    batch_size: int, weights: Path, own: Path
) -> None:
    pairs = find_pairs(own / "images" / "test")
    with pytest.raises(
        SettingsError,
        match=f"batch_size is {batch_size}; it must be a whole number from 1",
    ):
        caption_files(load(weights), pairs, [], batch_size=batch_size)
