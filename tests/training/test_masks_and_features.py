"""Masks as teachers, one image twice, and features that are computed once."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sencap.config import (
    ChangeSettings,
    ExtractorSettings,
    LoadingSettings,
    OptimisationSettings,
    TrainingSettings,
    VocabularySettings,
)
from sencap.data.levir_cc import read_dataset
from sencap.data.masks import BUILDING, ROAD, read_mask, read_masked_pairs, resize_mask
from sencap.data.vocabulary import Vocabulary, says_no_change
from sencap.errors import DataError, SettingsError
from sencap.models.checkpoint import load_checkpoint
from sencap.structures import Memory
from sencap.training import features
from sencap.training.fit import fit
from sencap.training.loading import PairDataset, Sample
from sencap.training.losses import change_losses

BRIGHT = 200  # of the tiny data's houses; the ground is darker


@pytest.fixture
def masked_data(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny data with a mask of each house."""
    root = tmp_path / "masked"
    shutil.copytree(tiny_data, root)
    for pair in read_dataset(root):
        after = np.asarray(Image.open(pair.after))[..., 0]
        folder = pair.after.parents[1] / "label"
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.where(after > BRIGHT, BUILDING, 0).astype(np.uint8)).save(
            folder / pair.name
        )
    return root


def siamese(settings: TrainingSettings, data: Path, **changes: Any) -> TrainingSettings:
    """A run of the siamese system, whose extractor is frozen, with both heads."""
    return dataclasses.replace(
        settings,
        data=[str(data)],
        system="siamese",
        extractor=ExtractorSettings(backbone="test_efficientnet", grid=2),
        difference=dataclasses.replace(settings.difference, layers=1),
        change=ChangeSettings(flag=1.0, mask=1.0),
        **changes,
    )


def written(path: Path, values: Any, dtype: Any = np.uint8) -> Path:
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


def padded(rows: list[list[int]], side: int = 40) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[: len(rows), : len(rows[0])] = rows
    return mask


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 255], [0, 0]], [[0, BUILDING], [0, 0]]),
        ([[0, 1], [1, 0]], [[0, BUILDING], [BUILDING, 0]]),
        ([[0, 128], [255, 0]], [[0, ROAD], [BUILDING, 0]]),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
    ],
)
def test_a_mask_tells_building_road_and_nothing(
    rows: list[list[int]], expected: list[list[int]], tmp_path: Path
) -> None:
    mask = read_mask(written(tmp_path / "m.png", padded(rows)))
    assert np.array_equal(mask, padded(expected))


def test_a_mask_of_one_bit_is_read(tmp_path: Path) -> None:
    Image.fromarray(padded([[0, 255]]).astype(bool)).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), padded([[0, 255]]))


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (padded([[0, 7, 99]]), "holds 0, 7, 99; a mask holds 0"),
        (padded([[0, 1, 255]]), "holds 0, 1, 255; a mask holds 0"),
        (np.random.default_rng(0).integers(0, 256, (40, 40, 3)), "holds colours"),
    ],
)
def test_what_is_no_mask_is_refused(
    mask: np.ndarray, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        read_mask(written(tmp_path / "m.png", mask))


def test_a_resized_mask_has_no_new_values() -> None:
    mask = padded([[0, 255], [128, 255]], side=2)
    large = resize_mask(mask, 6)
    assert large.shape == (6, 6)
    assert np.array_equal(large[::3, ::3], mask)
    assert np.array_equal(resize_mask(large, 2), mask)


def samples(root: Path, epochs: int = 6, **loading: Any) -> list[Sample]:
    pairs = read_dataset(root, splits=["train"])
    vocabulary = Vocabulary.build(
        [c for p in pairs for c in p.captions], minimum_count=1
    )
    settings = LoadingSettings(one_pass=True, **loading)
    dataset = PairDataset(
        pairs, vocabulary, settings=settings, size=64, augment=True, masks=True
    )
    return [dataset[key] for key in range(epochs * len(dataset))]


def test_masks_turn_with_their_pair(masked_data: Path) -> None:
    for sample in samples(masked_data, geometry=True):
        assert sample.mask is not None
        assert np.array_equal(sample.mask == BUILDING, sample.images[1, 0] > BRIGHT)
        assert sample.changed == bool(sample.mask.any())


def test_one_image_twice_is_a_pair_without_change(masked_data: Path) -> None:
    drawn = samples(masked_data, same=0.5)
    twice = [s for s in drawn if np.array_equal(s.images[0], s.images[1])]
    assert any((s.images > BRIGHT).any() for s in twice), "the image after, too"
    assert any(s.index % 2 and not (s.images > BRIGHT).any() for s in twice), (
        "and the one before"
    )
    for sample in twice:
        assert sample.changed is False
        assert sample.mask is not None
        assert not sample.mask.any()
    pairs = read_dataset(masked_data, splits=["train"])
    words = Vocabulary.build([c for p in pairs for c in p.captions], minimum_count=1)
    assert all(
        says_no_change(words.decode(ids[1:-1])) for s in twice for ids in s.captions
    )


def test_dates_are_swapped_only_where_nothing_changed(masked_data: Path) -> None:
    for pair in read_dataset(masked_data, splits=["train"]):
        before = np.asarray(Image.open(pair.before))
        if not pair.changed:
            Image.fromarray(before + 3).save(pair.after)
    first = {s.index: s.images for s in samples(masked_data, epochs=1)}
    swapped = [
        s for s in samples(masked_data, swap=True) if (s.images != first[s.index]).any()
    ]
    assert swapped
    for sample in swapped:
        assert sample.changed is False
        assert np.array_equal(sample.images[::-1], first[sample.index])


def test_heads_lose_only_on_what_is_known() -> None:
    memory = Memory(
        torch.zeros(2, 4, 8),
        (2, 2),
        flag=torch.tensor([0.0, 5.0]),
        mask=torch.zeros(2, 4),
    )
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[0, :2, :2] = BUILDING
    masks[0, 2:, 2:] = ROAD
    losses = change_losses(
        memory,
        torch.tensor([1.0, torch.nan]),
        masks,
        torch.tensor([True, False]),
        ChangeSettings(flag=2.0, mask=0.5),
    )
    ln2 = float(np.log(2))
    assert losses["flag"].item() == pytest.approx(2.0 * ln2)
    assert losses["mask"].item() == pytest.approx(0.5 * ln2)
    unknown = torch.tensor([torch.nan, torch.nan])
    nothing = change_losses(
        memory, unknown, masks, torch.tensor([False, False]), ChangeSettings()
    )
    assert [loss.item() for loss in nothing.values()] == [0.0, 0.0]


def test_the_mask_head_learns_the_share_of_a_cell() -> None:
    logits = torch.tensor([[20.0, -20.0, -20.0, -20.0]])
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    masks[0, :2, :2] = BUILDING
    memory = Memory(torch.zeros(1, 4, 8), (2, 2), mask=logits)
    known = torch.tensor([True])
    losses = change_losses(
        memory, torch.tensor([1.0]), masks, known, ChangeSettings(mask=1.0)
    )
    assert losses["mask"].item() < 1e-6


def test_training_on_kept_features_is_training(
    tiny_training: TrainingSettings, masked_data: Path, tmp_path: Path
) -> None:
    loading = LoadingSettings(
        batch_size=20, one_pass=True, geometry=True, same=0.2, swap=True
    )
    states = {}
    for name, folder in (("computed", None), ("kept", str(tmp_path / "features"))):
        settings = siamese(
            tiny_training,
            masked_data,
            out=str(tmp_path / name),
            loading=dataclasses.replace(loading, features=folder),
        )
        fit(settings)
        states[name] = load_file(tmp_path / name / "last" / "model.safetensors")
    assert any(not name.startswith("extractor") for name in states["kept"])
    for name, expected in states["computed"].items():
        # softmax does not feel a key's bias: its gradient is rounding alone, which Adam
        # makes large
        if name.endswith("key.bias"):
            continue
        torch.testing.assert_close(
            states["kept"][name], expected, rtol=1e-3, atol=1e-5, msg=name
        )


def test_features_are_kept_for_other_runs_and_a_stopped_computation_goes_on(
    tiny_training: TrainingSettings,
    masked_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loading = LoadingSettings(one_pass=True, features=str(tmp_path / "features"))
    one_epoch = OptimisationSettings(epochs=1)
    settings = siamese(
        tiny_training, masked_data, loading=loading, optimisation=one_epoch
    )
    compute, seen = features._maps_of, []
    monkeypatch.setattr(features, "SAVE_EVERY", 4)

    def stopped(*arguments: Any) -> Any:
        seen.append(arguments)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(features, "_maps_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit(settings)
    fit(settings)
    assert len(seen) == 7 + 12 - 4, "of 12 pairs the first four had been noted"
    fit(dataclasses.replace(settings, out=str(tmp_path / "other"), seed=5, start=None))
    assert len(seen) > 15, (
        "another seed is another random backbone, with features of its own"
    )
    computed = len(seen)
    head = dataclasses.replace(
        settings, out=str(tmp_path / "third"), change=ChangeSettings()
    )
    fit(head)
    assert len(seen) == computed


@pytest.mark.parametrize("damaged", ["maps.npy", "done.json"])
def test_damaged_features_are_computed_again(
    damaged: str, tiny_training: TrainingSettings, masked_data: Path, tmp_path: Path
) -> None:
    loading = LoadingSettings(one_pass=True, features=str(tmp_path / "features"))
    one_epoch = OptimisationSettings(epochs=1)
    settings = siamese(
        tiny_training, masked_data, loading=loading, optimisation=one_epoch
    )
    best = fit(settings)
    assert (
        load_checkpoint(best).training["settings"]["loading"]["features"] == "features"
    )
    (file,) = (tmp_path / "features").glob(f"*/{damaged}")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"{")
    fit(dataclasses.replace(settings, out=str(tmp_path / "again")))
    assert file.read_bytes() == whole


def test_features_of_a_trained_extractor_are_refused(
    tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    loading = LoadingSettings(features=str(tmp_path / "features"))
    with pytest.raises(SettingsError, match="keeps the features of a frozen extractor"):
        fit(dataclasses.replace(tiny_training, loading=loading))
    with pytest.raises(SettingsError, match=r"loading.colour=0.5 changes images"):
        LoadingSettings(features="f", colour=0.5)


@pytest.mark.parametrize("moved", [{"same": 0.1}, {"swap": True}, {"reverse": 0.1}])
def test_kept_features_of_one_stream_do_not_go_with_dates_that_change_places(
    tiny_training: TrainingSettings, tmp_path: Path, moved: dict[str, Any]
) -> None:
    """A single stream keeps one map of both dates, which cannot be turned round."""
    extractor = dataclasses.replace(
        tiny_training.extractor, fine_tune_from="none", frozen_statistics="fixed"
    )
    loading = LoadingSettings(features=str(tmp_path / "features"), **moved)
    settings = dataclasses.replace(tiny_training, extractor=extractor, loading=loading)
    with pytest.raises(SettingsError, match="one map of both dates"):
        fit(settings)


def test_masks_without_captions_are_a_start(
    tiny_training: TrainingSettings, masked_data: Path, tmp_path: Path
) -> None:
    views = tmp_path / "views"
    shutil.copytree(masked_data / "images" / "train", views)
    pairs = read_masked_pairs(views)
    assert [pair.changed for pair in pairs] == [bool(number % 2) for number in range(8)]
    settings = siamese(
        tiny_training,
        views,
        out=str(tmp_path / "masks"),
        selection_data=str(masked_data),
        vocabulary=VocabularySettings(captions=str(masked_data), minimum_count=1),
        loading=LoadingSettings(batch_size=20, one_pass=True, geometry=True),
    )
    best = fit(settings)
    assert load_checkpoint(best).training["epoch"] >= 0
    fit(
        dataclasses.replace(
            settings,
            data=[str(masked_data)],
            start=str(best),
            out=str(tmp_path / "words"),
        )
    )
    with pytest.raises(
        SettingsError, match=r"they have no words to know; give vocabulary.captions"
    ):
        fit(
            dataclasses.replace(
                settings, out=str(tmp_path / "x"), vocabulary=VocabularySettings()
            )
        )
    (views / "label" / "train_000003.png").unlink()
    with pytest.raises(DataError, match="label has no train_000003"):
        read_masked_pairs(views)


def test_a_changed_pair_in_reverse_says_what_is_gone(masked_data: Path) -> None:
    first = {s.index: s.images for s in samples(masked_data, epochs=1)}
    pairs = read_dataset(masked_data, splits=["train"])
    words = Vocabulary.build([c for p in pairs for c in p.captions], minimum_count=1)
    drawn = samples(masked_data, epochs=8, reverse=0.5)
    turned = [s for s in drawn if not np.array_equal(s.images, first[s.index])]
    assert 8 < len(turned) < 24, "half of the 32 changed ones"
    for sample in turned:
        assert sample.changed is True
        assert np.array_equal(sample.images[::-1], first[sample.index])
        assert sample.mask is not None
        assert sample.mask.any()
        # two of the five are told in words that the rule does not know
        assert len(sample.captions) == 3
        for ids in sample.captions:
            assert "appears" not in words.decode(ids[1:-1])
