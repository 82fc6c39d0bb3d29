"""A pre-training run of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sencap.config import HardwareSettings
from sencap.pretraining.settings import (
    ContrastSettings,
    PretrainingSettings,
    SgdSettings,
    ViewSettings,
    WatchSettings,
)


@pytest.fixture
def tiny_pretraining(tmp_path: Path) -> PretrainingSettings:
    """Three epochs of a tiny network; the places are `TinyPlaces`."""
    return PretrainingSettings(
        data="tiny",
        out=str(tmp_path / "run"),
        backbone="test_efficientnet",
        views=ViewSettings(crop=32),
        contrast=ContrastSettings(
            queue=13, dimension=16, momentum=0.9, groups=2, mask_own=True
        ),
        optimisation=SgdSettings(epochs=3, batch_size=8),
        watch=WatchSettings(held_out=6, every=2),
        checkpoint_every=2,
        hardware=HardwareSettings(accelerator="cpu"),
        progress=False,
    )
