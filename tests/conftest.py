"""Fixtures that several tests use: a tiny data set, tiny settings, and the data at hand
if it is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# The tests run in parallel; read before torch starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    HardwareSettings,
    LoadingSettings,
    ModelSettings,
    OptimisationSettings,
    TrainingSettings,
    VocabularySettings,
)
from sencap.evaluation.meteor import COLUMNS
from tiny_data import write_tiny_data

torch.set_num_threads(1)

# Answers METEOR's requests with ones, a line for each, and hands all else to Java.
QUICK_JAVA = f"""\
#!/bin/sh
case "$*" in
  *-stdio*) while read -r request; do echo "{" ".join(["1"] * COLUMNS)}"; done ;;
  *) exec "{shutil.which("java")}" "$@" ;;
esac
"""

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data at hand beside the checkout; tests that use it skip where it is
    absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training pairs, four of val and four of test, 64×64 pixels, in LEVIR-CC's
    layout."""
    return write_tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_model() -> ModelSettings:
    """A SEN of 0.2 M parameters."""
    return ModelSettings(
        dimension=32,
        size=64,
        extractor=ExtractorSettings(
            backbone="test_efficientnet", fine_tune_from="conv1"
        ),
        difference=DifferenceSettings(layers=1, heads=4),
        decoder=DecoderSettings(heads=4, max_words=20),
    )


@pytest.fixture
def tiny_training(
    tiny_model: ModelSettings, tiny_data: Path, tmp_path: Path
) -> TrainingSettings:
    """Three quick epochs on the tiny data."""
    return TrainingSettings(
        data=str(tiny_data),
        out=str(tmp_path / "run"),
        dimension=tiny_model.dimension,
        size=tiny_model.size,
        extractor=tiny_model.extractor,
        difference=tiny_model.difference,
        decoder=tiny_model.decoder,
        vocabulary=VocabularySettings(minimum_count=1),
        loading=LoadingSettings(
            batch_size=20, one_pass=True, colour=0.3, geometry=True
        ),
        optimisation=OptimisationSettings(epochs=3, learning_rate=1e-3),
        hardware=HardwareSettings(accelerator="cpu"),
        progress=False,
    )


@pytest.fixture
def no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sencap train` leaves out the graphs for captioning without PyTorch: to draw them
    takes ten times as long as to train a tiny network."""
    monkeypatch.setattr("sencap.training.fit.export_checkpoint", lambda folder: [])


@pytest.fixture
def quick_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Java that starts METEOR at once, for tests that are not about its score: the
    true one takes seven seconds each time."""
    program = tmp_path / "quick-java" / "java"
    program.parent.mkdir()
    program.write_text(QUICK_JAVA, encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
