"""A run that starts from a checkpoint of another model is refused in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
    TrainingSettings,
)
from sencap.data.vocabulary import Vocabulary
from sencap.errors import SettingsError
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build
from sencap.training.fit import _starting_point

PARTS: dict[str, Any] = {
    "extractor": ExtractorSettings(backbone="resnet18", stage=1),
    "difference": DifferenceSettings(layers=1, heads=2, reduction=4),
    "decoder": DecoderSettings(layers=1, heads=2),
}


def test_a_start_that_does_not_fit_is_told_in_one_short_message(tmp_path: Path) -> None:
    narrow = ModelSettings(dimension=16, **PARTS)
    vocabulary = Vocabulary.build([["a", "road", "appears"]], minimum_count=1)
    start = save_checkpoint(
        tmp_path / "start",
        Checkpoint(build(narrow, len(vocabulary)), vocabulary, narrow, {}),
    )
    wide = TrainingSettings(
        data="nowhere",
        out=str(tmp_path / "out"),
        start=str(start),
        dimension=32,
        **PARTS,
    )
    with pytest.raises(
        SettingsError, match=r"\d+ tensors of another shape \(\S+ is \(.*"
    ) as refused:
        _starting_point(wide)
    message = str(refused.value)
    assert message.startswith(
        f"start={start} holds another model than the settings describe: "
    )
    assert message.endswith(
        f"; give the settings of {start / 'config.json'}, or leave start out"
    )
    assert len(message) - 2 * len(str(start)) < 600
    assert "\n" not in message
