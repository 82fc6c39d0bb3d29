"""The change heads, the pyramid and the siamese system: what they say, and who
listens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from reference.on_arrays import predictor_of
from sencap.config import ChangeSettings, ExtractorSettings, ModelSettings
from sencap.data.vocabulary import NO_CHANGE_SENTENCES, Vocabulary
from sencap.engines.onnx import OnnxEngine
from sencap.engines.torch import TorchEngine
from sencap.errors import SettingsError
from sencap.explain import explain
from sencap.images import as_pair
from sencap.models.captioner import count_parameters
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.export import export_graphs
from sencap.models.extractors import PooledExtractor
from sencap.models.variants import SYSTEMS, build
from sencap.structures import ImagePair
from tiny_systems import V, pixels, tiny

BOTH = ChangeSettings(flag=1.0, mask=0.5)
SENTENCES = ["a house appears", "many roads are built", *NO_CHANGE_SENTENCES]
WORDS = Vocabulary.build([sentence.split() for sentence in SENTENCES], minimum_count=1)


def checkpoint_of(system: str, change: ChangeSettings) -> Checkpoint:
    torch.manual_seed(0)
    settings = tiny(system, change=change)
    return Checkpoint(build(settings, len(WORDS)).eval(), WORDS, settings, {})


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_can_have_change_heads(system: str) -> None:
    bare = build(tiny(system), V).eval()
    captioner = build(tiny(system, change=BOTH), V).eval()
    images = pixels(3)
    with torch.no_grad():
        memory = captioner.encode(images)
        assert bare.encode(images).flag is None
    assert memory.flag is not None
    assert memory.mask is not None
    assert memory.flag.shape == (3,)
    assert memory.mask.shape == memory.tokens.shape[:2]
    counts = count_parameters(captioner)
    assert counts["change"] == counts["total"] - count_parameters(bare)["total"] > 0


def test_a_head_without_weight_is_not_there() -> None:
    captioner = build(tiny("siamese", change=ChangeSettings(flag=0.3)), V).eval()
    memory = captioner.encode(pixels(1))
    assert memory.flag is not None
    assert memory.mask is None


@pytest.mark.parametrize("system", ["siamese", "sen", "duda"])
def test_both_engines_give_what_the_heads_say(system: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(system, BOTH)
    captioner = checkpoint.captioner
    save_checkpoint(tmp_path, checkpoint)
    export_graphs(captioner, tmp_path, size=64)
    images = pixels(4).numpy()
    expected, found = (
        TorchEngine(captioner).encode(images),
        OnnxEngine(tmp_path).encode(images),
    )
    for name in ("flag", "mask"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-4
        )
    kept = found.keep([2, 0])
    assert found.flag is not None
    assert kept.flag is not None
    np.testing.assert_array_equal(kept.flag, found.flag[[2, 0]])


def test_the_flag_head_decides_by_its_temperature() -> None:
    change = dataclasses.replace(BOTH, temperature=4.0)
    checkpoint = checkpoint_of("siamese", change)
    captioner = checkpoint.captioner
    predictor = predictor_of(checkpoint)
    pairs = [ImagePair(images) for images in pixels(6).numpy()]
    with torch.no_grad():
        flags = captioner.encode(pixels(6)).flag
    assert flags is not None
    flag_head: Any = captioner.change
    flag_head.flag.output.bias.data -= flags.median()
    logits = (flags - flags.median()).tolist()
    captions = predictor.caption_pairs(pairs)
    for logit, caption in zip(logits, captions, strict=True):
        probability = 1 / (1 + np.exp(-logit / 4.0))
        assert caption.change_probability == pytest.approx(probability, abs=1e-5)
    assert len({caption.changed for caption in captions}) == 2


def test_of_equal_images_the_siamese_difference_is_zero() -> None:
    captioner = build(tiny("siamese"), V).eval()
    images = pixels(2)
    images[:, 1] = images[:, 0]
    with torch.no_grad():
        assert captioner.encode(images).parts["difference"].abs().max() == 0


@pytest.mark.parametrize("size", [64, 72])
def test_a_pyramid_stacks_both_strides_cell_by_cell(size: int) -> None:
    extractor = PooledExtractor(
        backbone="test_convnext", stage=4, grid=size // 32, pyramid="finer"
    )
    images = torch.randn(1, 2, 3, size, size)
    with torch.no_grad():
        fine, coarse = extractor.eval().backbone(images[0])
        maps = extractor.maps(images)
    channels = coarse.shape[1]
    torch.testing.assert_close(maps[:, :channels], coarse)
    h, w = coarse.shape[-2:]
    padded = F.pad(fine, (0, 2 * w - fine.shape[-1], 0, 2 * h - fine.shape[-2]))
    for row in range(2):
        for column in range(2):
            part = maps[:, channels + 2 * row + column :: 4]
            torch.testing.assert_close(part, padded[:, :, row::2, column::2])


@pytest.mark.parametrize("size", [64, 72])
def test_a_pyramid_of_the_coarser_stage_has_its_maps_enlarged(size: int) -> None:
    extractor = PooledExtractor(
        backbone="test_convnext", stage=3, grid=4, pyramid="coarser"
    )
    images = torch.randn(1, 2, 3, size, size)
    with torch.no_grad():
        fine, coarse = extractor.eval().backbone(images[0])
        maps = extractor.maps(images)
    assert extractor.channels == fine.shape[1] + coarse.shape[1]
    torch.testing.assert_close(maps[:, : fine.shape[1]], fine)
    enlarged = maps[:, fine.shape[1] :].numpy()
    expected = _interpolated(
        _interpolated(coarse.numpy(), 2, fine.shape[2]), 3, fine.shape[3]
    )
    np.testing.assert_allclose(enlarged, expected, atol=1e-5)


def _interpolated(
    values: NDArray[np.float32], axis: int, cells: int
) -> NDArray[np.float32]:
    """Linear along one axis, at the centres of so many cells, by NumPy."""
    last = np.moveaxis(values, axis, -1)
    known = np.arange(last.shape[-1])
    asked = (np.arange(cells) + 0.5) * last.shape[-1] / cells - 0.5
    rows = [np.interp(asked, known, row) for row in last.reshape(-1, last.shape[-1])]
    return np.moveaxis(
        np.array(rows, np.float32).reshape(*last.shape[:-1], cells), -1, axis
    )


@pytest.mark.parametrize(("pyramid", "stage"), [("finer", 4), ("coarser", 3)])
def test_every_system_takes_a_pyramid(pyramid: Any, stage: int) -> None:
    for system in SYSTEMS:
        if system != "psnet":
            settings = tiny(system)
            given = dataclasses.replace(
                settings.extractor, pyramid=pyramid, stage=stage
            )
            captioner = build(dataclasses.replace(settings, extractor=given), V).eval()
            plain_extractor = dataclasses.replace(given, pyramid="none")
            plain: Any = build(
                dataclasses.replace(settings, extractor=plain_extractor), V
            )
            extractor: Any = captioner.extractor
            assert extractor.channels > plain.extractor.channels
            captioner.encode(pixels(1))


def test_a_pyramid_needs_the_stage_before() -> None:
    extractor = ExtractorSettings(
        backbone="test_convnext", stage=1, pyramid="finer", grid=2
    )
    with pytest.raises(
        SettingsError,
        match=r"pyramid=finer needs maps of strides \[2, 4\] for extractor.stage=1",
    ):
        build(
            ModelSettings(system="siamese", dimension=32, size=64, extractor=extractor),
            V,
        )


@pytest.mark.parametrize(
    ("name", "value"), [("flag", -1.0), ("mask", float("nan")), ("flag", 1e9)]
)
def test_weights_of_the_heads_have_bounds(name: str, value: float) -> None:
    with pytest.raises(
        SettingsError, match=rf"change\.{name} is .*; it must be from 0 to"
    ):
        ChangeSettings(**{name: value})


def test_a_temperature_has_bounds() -> None:
    with pytest.raises(
        SettingsError, match=r"change\.temperature is 0\.0; it must be from 0\.01"
    ):
        ChangeSettings(temperature=0.0)


def test_explain_shows_what_the_mask_head_sees() -> None:
    predictor = predictor_of(checkpoint_of("siamese", BOTH))
    before, after = pixels(1, size=80)[0].numpy()
    explanation = explain(before, after, predictor)
    shares = explanation.parts["change"]
    memory = predictor.engine.encode(as_pair(before, after, size=64).images[None])
    assert memory.mask is not None
    np.testing.assert_allclose(
        shares.ravel(), 1 / (1 + np.exp(-memory.mask[0])), atol=1e-5
    )
    bare = predictor_of(checkpoint_of("siamese", ChangeSettings(flag=1.0)))
    assert "change" not in explain(before, after, bare).parts
