"""Synthetic pairs: same seed same bytes, half changed, captions true, distractors
everywhere."""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sencap.errors import DataError, OutputError, SettingsError
from sencap.synthetic import KIND_NAMES, render_pair, render_seasons, write_dataset
from sencap.synthetic.canopy import canopies, cast_shadow
from sencap.synthetic.captions import UNCHANGED, describe
from sencap.synthetic.compose import compose
from sencap.synthetic.facts import Facts, place_of
from sencap.synthetic.look import Look, make_look
from sencap.synthetic.pair import plan_pair
from sencap.synthetic.render import radiance
from sencap.synthetic.world import PAD, DrawnScene

TINY = {"pairs": 12, "seed": 3, "val": 0.2, "test": 0.2, "progress": False}


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def under_one_light(
    scene: DrawnScene, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both dates under the same light with the same cars: whatever differs is a change
    of the world."""
    look: Look = make_look(np.random.default_rng(seed), 0)
    trees = canopies(scene.trees)
    first, second = (radiance(scene, date, look, trees[date]) for date in (0, 1))
    return first[PAD:-PAD, PAD:-PAD], second[PAD:-PAD, PAD:-PAD]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "one"
    return write_dataset(folder, workers=1, **TINY)  # type: ignore[arg-type]


# -- one pair --------------------------------------------------------------------------


def test_a_pair_depends_on_its_arguments_alone() -> None:
    one, again, other = render_pair(5, 8), render_pair(5, 8), render_pair(5, 9)
    assert one.captions == again.captions
    assert np.array_equal(one.before, again.before)
    assert np.array_equal(one.after, again.after)
    assert not np.array_equal(one.before, other.before)


def test_shapes_types_and_size() -> None:
    pair = render_pair(1, 2, changed=True, size=96)
    for image in (pair.before, pair.after):
        assert image.shape == (96, 96, 3)
        assert image.dtype == np.uint8
    assert render_pair(1, 2).before.shape == (256, 256, 3)


def test_size_changes_the_pixels_only() -> None:
    small, large = (
        render_pair(1, 2, changed=True, size=64),
        render_pair(1, 2, changed=True),
    )
    assert small.captions == large.captions
    shrunk = large.before.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.before).mean() < 6


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_kind_renders_and_says_five_different_things(kind: str) -> None:
    pair = render_pair(11, 0, kind=kind)
    assert pair.kind == kind
    assert pair.changed
    assert len(set(pair.captions)) == 5
    assert not set(pair.captions) & set(UNCHANGED)
    for caption in pair.captions:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*)+", caption), caption
        assert 2 < len(caption.split()) <= 39
        assert not re.search(r"\b(\w+ \w+ \w+) \1\b", caption), (
            f"says it twice: {caption}"
        )
        assert not re.match(
            r"an? ((?!and )[\w-]+ )*?(road|building|house|lot|lake) (are|appear|have|show)\b",
            caption,
        )
        assert not re.match(
            r"\w+ (roads|buildings|houses|trees) (is|appears|has|shows)\b", caption
        )


def test_unchanged_pairs_have_the_fixed_sentences_and_the_same_world() -> None:
    for index in range(6):
        pair = render_pair(2, index, changed=False)
        assert sorted(pair.captions) == sorted(UNCHANGED)
        assert (pair.changed, pair.kind) == (False, "unchanged")
        first, second = under_one_light(plan_pair(2, index, changed=False).scene)
        assert np.array_equal(first, second)
        difference = np.abs(pair.before.astype(float) - pair.after.astype(float))
        assert difference.mean() > 4, "without distractors the task is trivial"


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_changes_are_visible_and_where_the_region_is(kind: str) -> None:
    scene, facts = compose(4, 1, kind)
    first, second = under_one_light(scene)
    differs = np.abs(first - second).max(axis=2) > 12
    assert differs[facts.region].mean() > 0.4
    # Outside: cast shadows, gardens and trees that gave way, near the region; never far
    # away from it.
    rows, columns = np.nonzero(facts.region)
    box = np.zeros_like(facts.region)
    box[
        max(rows.min() - 50, 0) : rows.max() + 51,
        max(columns.min() - 50, 0) : columns.max() + 51,
    ] = True
    assert not differs[~box].any()


def test_changed_pairs_differ_in_season_or_light_too() -> None:
    pair = render_pair(6, 1, changed=True, kind="pool_built")
    _, facts = compose(6, 1, "pool_built")
    away = ~facts.region
    assert (
        np.abs(pair.before.astype(float) - pair.after.astype(float))
        .mean(axis=2)[away]
        .mean()
        > 4
    )


# -- captions are true -----------------------------------------------------------------

SIDES = {
    "top": (r"\b(top|upper)\b", 0, False),
    "bottom": (r"\b(bottom|lower)\b", 0, True),
    "left": (r"\bleft\b", 1, False),
    "right": (r"\bright\b", 1, True),
}


def check_caption(
    caption: str, facts: Facts, scene: DrawnScene, differs: NDArray[np.bool_]
) -> None:
    """Every claim of a caption against the changed pixels and the scene's elements."""
    text = caption.replace("lower-", "lower ").replace("upper-", "upper ")
    for name, (pattern, axis, far) in SIDES.items():
        if re.search(pattern, text):
            position = np.nonzero(differs)[axis]
            beyond = position >= 128 if far else position < 128
            assert beyond.mean() > 0.7, f"{caption!r}: not {name}"
    if re.search(r"\b(center|middle)\b", text):
        rows, columns = np.nonzero(differs)
        assert abs(rows.mean() - 128) < 48, caption
        assert abs(columns.mean() - 128) < 48, caption
    standing = [road for road in scene.roads if road.dates[1]]
    if re.search(r"\b(road|roads|crossroad|roadside)\b", text):
        assert standing, caption
    if "both sides" in text:
        sides = {
            (house.road, house.side)
            for house in scene.houses
            if house.dates == (False, True)
        }
        assert any((road, -1) in sides and (road, 1) in sides for road, _ in sides), (
            caption
        )
    if (
        re.search(r"\b(the|original|existing|old) (houses?|villa)\b", text)
        and facts.gone == 0
    ):
        assert any(all(house.dates) for house in scene.houses), caption
    if re.search(r"\bin the (woods|forest)\b", text):
        assert facts.cover > 0.3, caption
    if re.search(
        r"\b(trees|woods|plants|forest) \w* ?\w* ?(removed|replaced|disappear\w*|cut)\b",
        text,
    ):
        assert facts.cover > 0.3, caption
    for word, number in (("two", 2), ("three", 3), ("four", 4), ("five", 5)):
        if re.search(
            rf"\b{word} (new |more |detached )?(houses|villas|buildings)\b", text
        ):
            assert number in (facts.houses, facts.gone), caption
    for thing, there in (
        ("pool", facts.pools),
        ("parking lot", facts.parkings),
        ("a row of", facts.one_row),
    ):
        assert there or thing not in text, caption


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_captions_are_true_of_the_rendered_change(kind: str) -> None:
    for index in range(3):
        scene, facts = compose(9, index, kind)
        first, second = under_one_light(scene)
        differs = np.abs(first - second).max(axis=2) > 12
        for words in range(6):
            for caption in describe(np.random.default_rng(words), facts):
                check_caption(caption, facts, scene, differs)


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [
        ((0, 60), (0, 256), "top"),
        ((200, 256), (30, 226), "bottom"),
        ((40, 216), (0, 70), "left"),
        ((0, 256), (190, 256), "right"),
        ((0, 50), (0, 50), "upper left corner"),
        ((10, 80), (180, 250), "upper right corner"),
        ((190, 250), (5, 70), "lower left corner"),
        ((200, 256), (200, 256), "lower right corner"),
        ((100, 150), (110, 160), "center"),
        ((0, 256), (0, 256), None),
        ((120, 136), (0, 256), None),
    ],
)
def test_place_of_known_regions(
    rows: tuple[int, int], columns: tuple[int, int], place: str | None
) -> None:
    region = np.zeros((256, 256), np.bool_)
    region[slice(*rows), slice(*columns)] = True
    assert place_of(region) == place


def test_place_of_nothing_is_none() -> None:
    assert place_of(np.zeros((256, 256), np.bool_)) is None


def test_shadow_falls_away_from_the_sun_as_far_as_its_height_says() -> None:
    surface = np.zeros((60, 60), np.float32)
    surface[28:32, 28:32] = 9.0
    # Sun below, at 45 degrees: 9 pixels upwards.
    shadow = cast_shadow(surface, (0.0, 1.0), 1.0, 30.0)
    assert shadow[20:28, 29].min() > 0.4
    assert shadow[:17].max() == 0
    assert shadow[33:].max() == 0
    assert shadow[28:32, 28:32].max() == 0


# -- seasons ---------------------------------------------------------------------------


def test_seasons_are_dated_in_order_and_differ() -> None:
    images = render_seasons(4)
    dates = [datetime.date.fromisoformat(date) for date, _ in images]
    assert dates == sorted(set(dates))
    assert (dates[-1] - dates[0]).days < 366
    assert [image.shape for _, image in images] == [(256, 256, 3)] * 4
    means = np.array([image.reshape(-1, 3).mean(axis=0) for _, image in images])
    for first in range(4):
        for second in range(first):
            assert np.abs(means[first] - means[second]).max() > 1
    assert all(
        np.array_equal(one, two)
        for (_, one), (_, two) in zip(images, render_seasons(4), strict=True)
    )


def test_autumn_turns_deciduous_trees() -> None:
    scene, _ = compose(1, 0, "trees_cleared")
    trees = replace(scene.trees, species=np.full(len(scene.trees.species), 5))
    summer = make_look(np.random.default_rng(0), 0, season="summer")
    crowns = canopies(trees)[0]
    redness = []
    for season in ("summer", "autumn"):
        image = radiance(scene, 0, replace(summer, season=season), crowns)
        wooded = image[crowns[0] > 2]
        redness.append(float((wooded[:, 0] - wooded[:, 1]).mean()))
    assert redness[1] > redness[0] + 5


# -- the data set ----------------------------------------------------------------------


def test_layout_and_schema(dataset: Path) -> None:
    body = json.loads((dataset / "LevirCCcaptions.json").read_text(encoding="utf-8"))
    assert body["dataset"] == "sencap-synthetic"
    assert [entry["imgid"] for entry in body["images"]] == list(range(12))
    counts = {"train": 0, "val": 0, "test": 0}
    for entry in body["images"]:
        counts[entry["split"]] += 1
        assert entry["filepath"] == entry["split"]
        assert re.fullmatch(rf"{entry['split']}_\d{{6}}\.png", entry["filename"])
        for date in ("A", "B"):
            assert (
                dataset / "images" / entry["split"] / date / entry["filename"]
            ).is_file()
        assert entry["sentids"] == [
            sentence["sentid"] for sentence in entry["sentences"]
        ]
        assert len(entry["sentences"]) == 5
        for sentence in entry["sentences"]:
            assert sentence["raw"] == f" {' '.join(sentence['tokens'])} ."
            assert sentence["imgid"] == entry["imgid"]
        assert entry["changeflag"] == (entry["kind"] != "unchanged")
    assert counts == {"train": 8, "val": 2, "test": 2}
    assert len(list(dataset.rglob("*.png"))) == 36
    assert "--pairs 12 --seed 3 --val 0.2 --test 0.2" in (
        dataset / "README.md"
    ).read_text(encoding="utf-8")


def test_half_and_half_in_every_split(dataset: Path) -> None:
    images = json.loads((dataset / "LevirCCcaptions.json").read_text(encoding="utf-8"))[
        "images"
    ]
    for split in ("train", "val", "test"):
        flags = [entry["changeflag"] for entry in images if entry["split"] == split]
        assert 2 * sum(flags) == len(flags)


def test_same_seed_same_bytes_for_any_number_of_workers(
    dataset: Path, tmp_path: Path
) -> None:
    again = write_dataset(tmp_path / "two", workers=2, **TINY)  # type: ignore[arg-type]
    assert hashes(again) == hashes(dataset)


def test_other_seed_other_bytes(dataset: Path, tmp_path: Path) -> None:
    settings = TINY | {"seed": 4, "pairs": 10, "val": 0.0, "test": 0.0}
    other = write_dataset(tmp_path / "other", workers=1, **settings)  # type: ignore[arg-type]
    name = "images/train/A/train_000001.png"
    assert hashes(other)[name] != hashes(dataset)[name]


def test_a_killed_run_continues_and_keeps_whole_images(
    dataset: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(dataset, tmp_path / "resumed")
    folder = out / "images" / "train" / "A"
    (out / "LevirCCcaptions.json").unlink()
    (folder / "train_000001.png").unlink()
    broken = folder / "train_000002.png"
    broken.write_bytes(broken.read_bytes()[:900])
    (folder / ".train_000003.77.new.png").write_bytes(b"half")
    kept = (folder / "train_000004.png").stat().st_mtime_ns
    write_dataset(out, workers=1, **TINY)  # type: ignore[arg-type]
    assert hashes(out) == hashes(dataset)
    assert (folder / "train_000004.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    "name", ["train_000003.png", "LevirCCcaptions.json", "README.md"]
)
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    name: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def full(draft: Path, target: str | Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(draft, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(
            OutputError, match=r"cannot be written \(No space left.*; make room"
        ):
            write_dataset(tmp_path / "out", workers=1, **TINY)  # type: ignore[arg-type]
    write_dataset(tmp_path / "out", workers=1, **TINY)  # type: ignore[arg-type]
    assert hashes(tmp_path / "out") == hashes(dataset)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="holds something else"):
        write_dataset(tmp_path, pairs=10, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(SettingsError, match="is a file"):
        write_dataset(tmp_path / "thesis.tex", pairs=10, progress=False)


def test_a_data_set_of_other_settings_is_refused(dataset: Path) -> None:
    before = hashes(dataset)
    with pytest.raises(DataError, match="other settings"):
        write_dataset(dataset, workers=1, **(TINY | {"seed": 5}))  # type: ignore[arg-type]
    assert hashes(dataset) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": 9}, "pairs is 9"),
        ({"pairs": 20, "val": 1.0}, "val=1.0"),
        ({"pairs": 20, "test": -0.1}, "test=-0.1"),
        ({"pairs": 20, "val": 0.5, "test": 0.5}, "nothing to train on"),
        ({"pairs": 20, "seed": -1}, "seed is -1"),
        ({"pairs": 20, "seed": 2**32}, "seed is 4294967296"),
        ({"pairs": 20, "workers": -2}, "workers is -2"),
        ({"pairs": 20, "workers": 10_000}, "workers is 10000"),
        ({"pairs": 10**12}, "pairs is 1000000000000"),
        ({"pairs": 20.5}, "pairs is 20.5"),
        ({"pairs": 20, "val": float("nan")}, "val=nan"),
    ],
)
def test_bad_settings_are_refused(
    tmp_path: Path, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        write_dataset(tmp_path / "new", progress=False, **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_pair(0, 0, kind="house_build"), "did you mean 'house_built'"),
        (lambda: render_pair(-1, 0), "seed=-1"),
        (lambda: render_pair(0, -3), "index=-3"),
        (lambda: render_pair(0, 0, size=8), "size=8"),
        (lambda: render_seasons(0, size=8), "size=8"),
    ],
)
def test_bad_arguments_are_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(SettingsError, match=message):
        call()
