"""Training a system that this machine has no room for: refused, rather than ended by
the system without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from sencap.config import TrainingSettings
from sencap.errors import SettingsError
from sencap.training.fit import fit


def test_a_system_too_large_for_the_memory_is_refused_before_it_is_made(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sencap.environment._memory", lambda: 1_000_000)
    with pytest.raises(
        SettingsError,
        match=r"training [\d,]+ parameters takes at least .* GB of memory",
    ):
        fit(tiny_training)
    assert not Path(tiny_training.out).exists()
