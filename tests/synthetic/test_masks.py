"""Masks of change: exact, of built things alone, where the images show them, beside the
images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sencap.synthetic import KIND_NAMES, render_pair, write_dataset
from sencap.synthetic.canopy import canopies
from sencap.synthetic.compose import compose
from sencap.synthetic.draw import BUILDING, PAVED, SAME, Canvas, draw_everything
from sencap.synthetic.look import Look, make_look
from sencap.synthetic.render import radiance, render_mask
from sencap.synthetic.world import PAD, DrawnScene, no_trees, treeless

# What the captions of each kind speak of, in the classes of the mask. Driveways are
# paved.
CLASSES = {
    "house_built": {BUILDING},
    "houses_built": {BUILDING},
    "house_row_built": {BUILDING, PAVED},
    "houses_completed": {BUILDING, PAVED},
    "houses_demolished": {BUILDING},
    "house_rebuilt": {BUILDING, PAVED},
    "road_built": {PAVED},
    "path_built": {PAVED},
    "trees_cleared": set(),
    "building_built": {BUILDING},
    "parking_built": {PAVED},
    "pool_built": {PAVED},
    "house_and_pool_built": {BUILDING, PAVED},
    "road_and_houses_built": {BUILDING, PAVED},
    "neighbourhood_built": {BUILDING, PAVED},
    "road_and_building_built": {BUILDING, PAVED},
    "lake_formed": set(),
}
# No building among them.
ALONE = {"road_built", "path_built", "parking_built", "pool_built"}
WITHOUT = {kind for kind, classes in CLASSES.items() if not classes}
TINY = {
    "pairs": 10,
    "seed": 5,
    "val": 0.2,
    "test": 0.2,
    "workers": 1,
    "progress": False,
}


def still_look(seed: int = 0) -> Look:
    """A light straight from above, so that nothing casts a shadow, and no
    misregistration."""
    look = make_look(np.random.default_rng(seed), 0)
    return replace(look, slope=1000.0, shift=(0.0, 0.0), turn=0.0)


def mask_of(
    scene: DrawnScene, first: Look, second: Look | None = None
) -> NDArray[np.uint8]:
    return render_mask(scene, (first, second or first))


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_mask_has_the_classes_that_the_captions_speak_of(
    kind: str, seed: int
) -> None:
    pair = render_pair(seed, 3, kind=kind)
    assert pair.mask.shape == (256, 256)
    assert pair.mask.dtype == np.uint8
    found = set(np.unique(pair.mask).tolist()) - {SAME}
    assert found >= CLASSES[kind]
    assert found <= {BUILDING, PAVED}
    if kind in ALONE:
        assert found == {PAVED}
    if kind in WITHOUT:
        assert not found


@pytest.mark.parametrize("index", range(8))
def test_the_mask_of_an_unchanged_pair_is_empty(index: int) -> None:
    assert not render_pair(3, index, changed=False).mask.any()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_what_the_mask_leaves_out_is_drawn_alike_at_both_dates(kind: str) -> None:
    look = still_look()
    for index in range(3):
        scene, _ = compose(6, index, kind)
        # A fence is no change that anybody would mark.
        scene.houses = [replace(house, fenced=False) for house in scene.houses]
        both = []
        for date in (0, 1):
            canvas = Canvas(look)
            draw_everything(canvas, scene, date)
            colour, cover, _ = canvas.layers()
            both.append(np.concatenate([colour, cover], 2)[PAD:-PAD, PAD:-PAD])
        differs = (both[0] != both[1]).any(axis=2)
        mask = mask_of(scene, look)
        assert not differs[mask == SAME].any()
        # And it marks little else: a new roof may have its ground's grey.
        if kind not in WITHOUT:
            assert differs[mask != SAME].mean() > 0.97


@pytest.mark.parametrize("kind", sorted(set(KIND_NAMES) - WITHOUT))
def test_whole_images_under_one_light_differ_in_the_mask_and_in_gardens_only(
    kind: str,
) -> None:
    look = still_look()
    scene, _ = compose(8, 2, kind)
    scene.trees = no_trees()
    scene.houses = [replace(house, fenced=False) for house in scene.houses]
    # No tree stands in a field or a clearing either, so `treeless` would not tell a
    # garden in it.
    scene.patches = [patch for patch in scene.patches if patch.kind == "pool"]
    trees = canopies(scene.trees)
    first, second = (radiance(scene, date, look, trees[date]) for date in (0, 1))
    differs = np.abs(first - second).max(axis=2) > 0.5
    gardens = Image.fromarray(treeless(scene, 0) ^ treeless(scene, 1)).convert("L")
    soft = np.asarray(gardens.filter(ImageFilter.MaxFilter(17)), np.bool_)
    outside = (mask_of(scene, look) == SAME) & ~soft[PAD:-PAD, PAD:-PAD]
    assert outside.mean() > 0.1
    assert not differs[PAD:-PAD, PAD:-PAD][outside].any()


def test_trees_seasons_and_light_are_no_part_of_a_mask() -> None:
    scene, _ = compose(2, 0, "neighbourhood_built")
    summer, winter = (
        replace(make_look(np.random.default_rng(1), 1, season=season), lean=(0.0, 0.0))
        for season in ("summer", "winter")
    )
    summer, winter = (
        replace(look, shift=(0.0, 0.0), turn=0.0) for look in (summer, winter)
    )
    mask = mask_of(scene, summer)
    scene.trees = no_trees()
    assert np.array_equal(mask_of(scene, summer, winter), mask)


def test_the_share_of_changed_pixels_goes_with_the_kind() -> None:
    shares = {}
    for kind in ("house_built", "houses_built", "neighbourhood_built"):
        masks = [render_pair(seed, 0, kind=kind).mask for seed in range(8)]
        shares[kind] = float(np.mean([mask != SAME for mask in masks]))
    assert 3 * shares["house_built"] < 2 * shares["houses_built"]
    assert 3 * shares["houses_built"] < shares["neighbourhood_built"]


def test_new_things_lie_where_the_newer_image_shows_them_and_old_ones_where_the_older_does() -> (
    None
):
    still, moved = still_look(), replace(still_look(), shift=(3.0, -2.0))
    for kind, looks in (
        ("neighbourhood_built", (still, moved)),
        ("houses_demolished", (moved, still)),
    ):
        scene, _ = compose(3, 1, kind)
        mask, there = mask_of(scene, still), mask_of(scene, *looks)
        # The frame is cut out 3 pixels further right and 2 higher, so things move
        # against that.
        assert np.array_equal(there[2:, :-3], mask[:-2, 3:])
        assert np.array_equal(mask_of(scene, *looks[::-1]), mask)


def test_a_house_hides_the_paving_below_it_and_an_old_road_what_runs_into_it() -> None:
    scene, _ = compose(4, 0, "house_row_built")
    road = scene.roads[0]
    mask = mask_of(scene, still_look())
    columns, rows = (
        road.points[((road.points > 1) & (road.points < 255)).all(axis=1)].astype(int).T
    )
    assert not mask[rows, columns].any(), "the road was there before"
    house = next(house for house in scene.houses if house.dates == (False, True))
    column, row = house.centre.astype(int)
    assert mask[row, column] == BUILDING


@pytest.mark.parametrize("size", [64, 100, 512])
def test_a_mask_has_the_size_of_its_images_and_no_new_values(size: int) -> None:
    pair = render_pair(1, 4, kind="road_and_houses_built", size=size)
    assert pair.mask.shape == pair.after.shape[:2]
    assert set(np.unique(pair.mask).tolist()) == {SAME, PAVED, BUILDING}
    usual = render_pair(1, 4, kind="road_and_houses_built").mask
    assert np.mean(pair.mask == BUILDING) == pytest.approx(
        np.mean(usual == BUILDING), rel=0.1
    )


# -- on disk


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("masks") / "one", **TINY)  # type: ignore[arg-type]


def test_every_pair_has_its_mask_on_disk(dataset: Path) -> None:
    entries = json.loads((dataset / "LevirCCcaptions.json").read_bytes())["images"]
    for entry in entries:
        folder = dataset / "images" / entry["split"]
        with Image.open(folder / "label" / entry["filename"]) as label:
            assert label.mode == "L"
            mask = np.asarray(label)
        pair = render_pair(5, entry["imgid"], changed=bool(entry["changeflag"]))
        assert np.array_equal(mask, pair.mask)
        assert mask.any() == (
            bool(entry["changeflag"]) and entry["kind"] not in WITHOUT
        )


def test_a_folder_without_masks_is_completed_and_its_images_are_kept(
    dataset: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(dataset, tmp_path / "older")
    for folder in out.glob("images/*/label"):
        shutil.rmtree(folder)
    image = out / "images" / "train" / "A" / "train_000001.png"
    kept = image.stat().st_mtime_ns
    write_dataset(out, **TINY)  # type: ignore[arg-type]
    assert image.stat().st_mtime_ns == kept
    for label in dataset.glob("images/*/label/*.png"):
        assert (out / label.relative_to(dataset)).read_bytes() == label.read_bytes()


def test_a_mask_that_was_cut_off_is_written_again(
    dataset: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(dataset, tmp_path / "stopped")
    label = out / "images" / "val" / "label" / "val_000001.png"
    whole = label.read_bytes()
    label.write_bytes(whole[:40])
    write_dataset(out, **TINY)  # type: ignore[arg-type]
    assert label.read_bytes() == whole
