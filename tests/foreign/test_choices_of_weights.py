"""How weights are taken where two ways are right: which of MoCo's encoders, and whether
a first convolution that is repeated over the dates is halved."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from sencap.errors import CheckpointError
from sencap.foreign import initialise_backbone
from sencap.models.extractors import FeatureExtractor


def extractor() -> FeatureExtractor:
    return FeatureExtractor(backbone="resnet18", dimension=32)


def first(built: FeatureExtractor) -> Tensor:
    weight: Tensor = built.backbone.state_dict()["conv1.weight"]
    return weight


def moco(path: Path) -> dict[str, Tensor]:
    """A MoCo checkpoint of two different encoders; the first convolution of each."""
    torch.manual_seed(0)
    held, firsts = {}, {}
    for encoder in ("encoder_q", "encoder_k"):
        state = timm.create_model("resnet18").state_dict()
        firsts[encoder] = state["conv1.weight"]
        for name, tensor in state.items():
            held[f"module.{encoder}.{name}"] = tensor
    torch.save({"state_dict": held}, path)
    return firsts


@pytest.mark.parametrize(
    ("choice", "encoder", "share"),
    [
        ("", "encoder_q", 0.5),
        ("?encoder=query", "encoder_q", 0.5),
        ("?encoder=key", "encoder_k", 0.5),
        ("?first=whole", "encoder_q", 1.0),
        ("?encoder=key&first=whole", "encoder_k", 1.0),
        ("?first=whole&encoder=key&rgb=2,1,0", "encoder_k", 1.0),
    ],
)
def test_which_encoder_and_how_loud(
    choice: str, encoder: str, share: float, tmp_path: Path
) -> None:
    firsts = moco(tmp_path / "a")
    built = extractor()
    message = initialise_backbone(built, f"{tmp_path / 'a'}{choice}")
    expected = share * firsts[encoder]
    if "rgb" in choice:
        expected = expected[:, [2, 1, 0]]
    assert torch.equal(first(built), expected.repeat(1, 2, 1, 1))
    assert f"recognised as a MoCo checkpoint ({encoder})" in message
    assert ("and halved" in message) == (share == 0.5)


def test_a_file_without_a_key_encoder(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "a")
    with pytest.raises(
        CheckpointError, match=r"encoder=key: the file holds no key encoder"
    ):
        initialise_backbone(extractor(), f"{tmp_path / 'a'}?encoder=key")


def test_another_word_is_part_of_the_files_name(tmp_path: Path) -> None:
    moco(tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"a\?encoder=both"):
        initialise_backbone(extractor(), f"{tmp_path / 'a'}?encoder=both")
