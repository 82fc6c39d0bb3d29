"""Every system, small: what the tests of systems and of engines build."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from reference.weights import randomised
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.models.captioner import Captioner
from sencap.models.variants import build

RECURRENT = ("capt-rep-diff", "capt-att", "capt-dual-att", "duda")
SEN = ("sen", "sen-single-sub", "sen-dual")
V = 30


def tiny(system: str, **changes: Any) -> ModelSettings:
    """A quarter of a million parameters at most; a grid of 2×2 cells."""
    extractor: dict[str, Any] = {
        "backbone": "test_convnext",
        "stage": 4,
        "fine_tune_from": "conv1",
    }
    if system not in SEN:
        extractor["grid"] = 2
    has_heads = system not in RECURRENT
    settings = ModelSettings(
        system=system,
        dimension=32,
        size=64,
        extractor=ExtractorSettings(**extractor),
        difference=DifferenceSettings(layers=2, heads=4)
        if has_heads
        else DifferenceSettings(),
        # of PSNet's decoder each layer reads a scale
        decoder=DecoderSettings(
            layers=2 if system == "psnet" else 1, heads=4, max_words=20
        )
        if has_heads
        else DecoderSettings(max_words=20),
    )
    return dataclasses.replace(settings, **changes)


def pixels(B: int, seed: int = 0, size: int = 64) -> Tensor:
    return torch.randint(
        256,
        (B, 2, 3, size, size),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )


def lively(
    system: str, seed: int = 1, end_bias: float = 0.0, spread: float = 0.3
) -> Captioner:
    """With weights large enough (``spread``) that captions differ and end here and
    there."""
    torch.manual_seed(seed)
    captioner = build(tiny(system), V)
    randomised(captioner.difference, seed, spread=spread)
    randomised(captioner.decoder, seed, spread=spread + 0.1)
    output: Any = captioner.decoder.output
    output.bias.data[3] += end_bias
    return captioner.eval()
