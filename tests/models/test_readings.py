"""Where the published codes differ from the papers, or from what this project did
before: each detail is a setting, and these are what they do (SPEC §11)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.errors import SettingsError
from sencap.models.captioner import count_parameters
from sencap.models.extractors import FeatureExtractor, PooledExtractor
from sencap.models.variants import build, check
from sencap.reproduce.experiments import EXPERIMENTS
from sencap.structures import Memory
from sencap.training.losses import map_loss


def counted(system: str, **changes: Any) -> dict[str, int]:
    with torch.device("meta"):
        return count_parameters(build(ModelSettings(system=system, **changes), 501))


def test_the_encoder_of_psnet_has_the_parameters_that_are_reached() -> None:
    """64.96 M: SPEC §11."""
    d, w = 512, 1024
    attention = 4 * (w * w + w)
    norms = 2 * 2 * w
    progressive = attention + norms + (2 * w * 2048 + 2048 + w) + (w * d + d)
    scale_aware = attention + norms + (2 * w * 4096 + 4096 + w)
    begin = 768 * d + d + 2 * 7 * (d // 2)
    assert begin + 3 * (progressive + scale_aware) == 64_960_000
    assert counted("psnet")["difference"] == 64_960_000


def test_psnet_has_a_decoder_layer_for_each_scale() -> None:
    with pytest.raises(
        SettingsError, match=r"difference\.layers=3 and decoder\.layers=2 must be alike"
    ):
        check(ModelSettings(system="psnet", decoder=DecoderSettings(layers=2)))
    one: Any = {
        "difference": DifferenceSettings(layers=1),
        "decoder": DecoderSettings(layers=1),
    }
    with pytest.raises(SettingsError, match="leaves it nothing to look at; say 2 or"):
        check(ModelSettings(system="psnet", **one))
    two: Any = {
        "difference": DifferenceSettings(layers=2),
        "decoder": DecoderSettings(layers=2),
    }
    check(ModelSettings(system="psnet", **two))


def test_duda_without_what_its_published_code_has_is_the_one_of_before() -> None:
    plain: Any = {
        "difference": DifferenceSettings(norm_groups=0, coordinates=False),
        "decoder": DecoderSettings(words_start="uniform", word_relu=False),
    }
    assert counted("duda", **plain)["total"] == 36_694_101


@pytest.mark.parametrize(
    ("backbone", "dimension", "left_out"),
    [("resnet18", 512, True), ("resnet34", 512, True), ("resnet18", 256, False)],
)
def test_p_is_left_out_where_it_is_not_needed(
    backbone: str, dimension: int, left_out: bool
) -> None:
    def extractor_of(**more: Any) -> int:
        settings = ExtractorSettings(backbone=backbone, **more)
        return counted("sen", extractor=settings, dimension=dimension)["extractor"]

    P = 512 * dimension + dimension
    saved = extractor_of() - extractor_of(projection="where-needed")
    assert saved == (P if left_out else 0)


def test_without_p_the_features_are_the_maps() -> None:
    built = FeatureExtractor(
        backbone="resnet18", dimension=512, projection="where-needed"
    ).eval()
    images = torch.randn(1, 2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(built(images)[:, 0], built.maps(images))
    assert not any(name.startswith("P") for name in built.state_dict())


@pytest.mark.parametrize(
    ("backbone", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")]
)
@pytest.mark.parametrize("zero", [True, False])
def test_how_the_last_norms_of_a_random_resnet_start(
    backbone: str, last: str, zero: bool
) -> None:
    """timm's at zero, torchvision's at one."""
    built = PooledExtractor(backbone=backbone, stage=1, grid=2, zero_last_norm=zero)
    block: Any = built.backbone.get_submodule("layer1.0")
    assert set(getattr(block, last).weight.tolist()) == {0.0 if zero else 1.0}
    assert set(block.bn1.weight.tolist()) == {1.0}


def test_the_random_row_freezes_nothing() -> None:
    rows = {row.name: row for row in EXPERIMENTS["table2"].rows}
    assert rows["Random"].settings == {
        "extractor.fine_tune_from": "conv1",
        "extractor.zero_last_norm": False,
    }
    extractor: Any = build(
        ModelSettings(
            dimension=32,
            extractor=ExtractorSettings(
                backbone="resnet18", fine_tune_from="conv1", zero_last_norm=False
            ),
        ),
        9,
    ).extractor
    assert all(parameter.requires_grad for parameter in extractor.parameters())


def test_what_maps_that_look_everywhere_lose() -> None:
    """The sum over the cells, the mean over dates and pairs."""
    maps = {
        "attention_bef": torch.full((2, 4, 1), 0.5),
        "attention_aft": torch.tensor([[1.0] * 4, [0.0] * 4])[..., None],
    }
    memory = Memory(torch.zeros(2, 4, 3), (2, 2), maps)
    loss = map_loss(memory, 0.01)
    assert loss is not None
    assert loss.item() == pytest.approx(0.01 * (2 + 2 + 4 + 0) / 4)
    assert map_loss(memory, 0.0) is None


def test_the_frozen_network_of_the_published_transformers_sees_its_batch() -> None:
    """In training their frozen CNN normalises by the batch; a frozen one that is fixed
    does not."""
    images = torch.randn(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {}
    for statistics in ("moving", "fixed"):
        torch.manual_seed(0)
        extractor = PooledExtractor(
            backbone="resnet18", stage=2, grid=2, frozen_statistics=statistics
        ).train()
        assert not any(p.requires_grad for p in extractor.backbone.parameters())
        with torch.no_grad():
            alone = extractor(images[:1])
            together = extractor(images)[:1]
        found[statistics] = torch.allclose(alone, together, atol=1e-5)
    assert found == {"moving": False, "fixed": True}


def test_no_dropout_module_of_a_system_is_without_its_number() -> None:
    """DUDA's: word vectors, output, v and the attention."""
    with torch.device("meta"):
        captioner = build(ModelSettings(system="duda"), 501)
    found = {
        name: module.p
        for name, module in captioner.named_modules()
        if isinstance(module, nn.Dropout) and not name.startswith("extractor")
    }
    assert found == {
        "difference.attention.dropout": 0.5,
        "decoder.dropout": 0.5,
        "decoder.seen_dropout": 0.5,
    }
