"""Parameter counts to the unit, in closed form; what each switch adds or takes;
backbones and their grids."""

from __future__ import annotations

import dataclasses
import itertools
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
from sencap.models.attention import Attention
from sencap.models.captioner import count_parameters
from sencap.models.counting import info
from sencap.models.decoders import TransformerDecoder
from sencap.models.difference import SENDifference
from sencap.models.extractors import FeatureExtractor
from sencap.models.variants import build


def counts(settings: ModelSettings, vocabulary_size: int) -> dict[str, int]:
    # Shapes without numbers: nothing is drawn, nothing is stored.
    with torch.device("meta"):
        return count_parameters(build(settings, vocabulary_size))


def test_a_system_of_any_size_is_counted_without_being_made() -> None:
    """In memory it would take four terabytes."""
    large = ModelSettings(dimension=16_384, difference=DifferenceSettings(layers=100))
    assert info("sen", settings=large)["difference"] > 5e11


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def resnet(
    blocks: tuple[int, int, int, int],
    *,
    bottleneck: bool,
    in_channels: int,
    stage: int = 4,
) -> int:
    """Parameters of a ResNet up to a stage (He et al.): convolutions without bias, a
    BatchNorm after each."""

    def conv(n: int, m: int, k: int) -> int:
        return n * m * k * k + 2 * m

    total, channels = conv(in_channels, 64, 7), 64
    for number, repeats in enumerate(blocks[:stage]):
        width = 64 * 2**number
        out = 4 * width if bottleneck else width
        for block in range(repeats):
            if bottleneck:
                total += (
                    conv(channels, width, 1)
                    + conv(width, width, 3)
                    + conv(width, out, 1)
                )
            else:
                total += conv(channels, width, 3) + conv(width, width, 3)
            if block == 0 and (channels != out or number > 0):
                total += conv(channels, out, 1)
            channels = out
    return total


def attention(D: int) -> int:
    return 4 * D * D + 4 * D


def difference(
    D: int,
    *,
    layers: int = 2,
    reduction: int = 16,
    kernel_size: int = 1,
    shared_convolution: bool = True,
    channel_attention: bool = True,
    cross_attention: bool = True,
    self_attention: bool = True,
) -> int:
    norm = 2 * D
    cross = attention(D) + (D * 2 * D + 2 * D + 2 * D * D + D) + 2 * norm
    total = shared_convolution * (3 * kernel_size**2 * D + D)
    total += channel_attention * 2 * (2 * D * (D // reduction))
    return total + layers * (
        cross_attention * 2 * cross + self_attention * (attention(D) + norm)
    )


def decoder(D: int, V: int, *, layers: int = 1, expansion: int = 4) -> int:
    feed_forward = 2 * expansion * D * D + expansion * D + D
    return 2 * V * D + V + layers * (2 * attention(D) + feed_forward + 3 * 2 * D)


RESNETS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
}


@pytest.mark.parametrize("V", [501, 468])
def test_sizes_of_the_paper_to_the_unit(V: int) -> None:
    found = counts(ModelSettings(), V)
    assert found == {
        "extractor": 24_566_528,
        "difference": 10_582_016,
        "decoder": 4_204_032 + 1_025 * V,
        "total": 24_566_528 + 10_582_016 + 4_204_032 + 1_025 * V,
    }
    assert found["total"] == {501: 39_866_101, 468: 39_832_276}[V]


def test_the_released_log_counts_the_same_model_plus_an_unused_table() -> None:
    """SPEC §2: 39,858,900 in the released log at V = 468, of which a 52 × 512 table is
    never used."""
    assert counts(ModelSettings(), 468)["total"] + 52 * 512 == 39_858_900


def test_closed_forms_agree_with_spec() -> None:
    """The formulas that the other tests rely on give SPEC's numbers."""
    assert (
        resnet((3, 4, 6, 3), bottleneck=True, in_channels=6) + 2048 * 512 + 512
        == 24_566_528
    )
    assert difference(512) == 10_582_016
    assert decoder(512, 501) == 4_204_032 + 1_025 * 501


@pytest.mark.parametrize(
    ("backbone", "structure", "stage"),
    [
        *((backbone, "single-cat", stage) for backbone in RESNETS for stage in (3, 4)),
        ("resnet50", "single-sub", 4),
        ("resnet50", "dual", 4),
        ("resnet18", "dual", 2),
    ],
)
def test_resnets_of_every_depth_structure_and_stage(
    backbone: str, structure: Any, stage: int
) -> None:
    blocks, bottleneck = RESNETS[backbone]
    with torch.device("meta"):
        extractor = FeatureExtractor(
            backbone=backbone, structure=structure, stage=stage, dimension=32
        )
    channels = 64 * 2 ** (stage - 1) * (4 if bottleneck else 1)
    trunk = resnet(
        blocks,
        bottleneck=bottleneck,
        in_channels=6 if structure == "single-cat" else 3,
        stage=stage,
    )
    assert count(extractor.backbone) == trunk
    assert count(extractor.P) == channels * 32 + 32
    assert extractor.stride == 2 ** (stage + 1)


@pytest.mark.parametrize("switches", list(itertools.product((True, False), repeat=4)))
def test_each_switch_of_tables_v_and_vi(
    switches: tuple[bool, bool, bool, bool],
) -> None:
    names = (
        "shared_convolution",
        "channel_attention",
        "cross_attention",
        "self_attention",
    )
    chosen = dict(zip(names, switches, strict=True))
    assert count(SENDifference(64, stride=32, **chosen)) == difference(64, **chosen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", 1),
        ("layers", 3),
        ("reduction", 4),
        ("kernel_size", 3),
        ("kernel_size", 32),
    ],
)
def test_each_number_of_the_difference_encoder(name: Any, value: Any) -> None:
    assert count(SENDifference(64, stride=32, **{name: value})) == difference(
        64, **{name: value}
    )


@pytest.mark.parametrize(
    ("layers", "expansion", "D", "V"), [(1, 4, 64, 30), (2, 4, 64, 30), (3, 2, 32, 468)]
)
def test_each_number_of_the_decoder(
    layers: int, expansion: int, D: int, V: int
) -> None:
    built = TransformerDecoder(D, vocabulary_size=V, layers=layers, expansion=expansion)
    assert count(built) == decoder(D, V, layers=layers, expansion=expansion)


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_heads_cost_nothing(heads: int) -> None:
    assert count(SENDifference(64, stride=32, heads=heads)) == difference(64)
    assert count(Attention(64, heads=heads, dropout=0.0)) == attention(64)


@pytest.mark.parametrize(("n_e", "n_d"), list(itertools.product((1, 2, 3), repeat=2)))
def test_every_cell_of_table_x(n_e: int, n_d: int) -> None:
    settings = ModelSettings(
        difference=DifferenceSettings(layers=n_e), decoder=DecoderSettings(layers=n_d)
    )
    found = counts(settings, 501)
    assert found["difference"] == difference(512, layers=n_e)
    assert found["decoder"] == decoder(512, 501, layers=n_d)
    assert found["extractor"] == 24_566_528


@pytest.mark.parametrize("D", [128, 256, 1024])
def test_the_width_reaches_every_part(D: int) -> None:
    found = counts(ModelSettings(dimension=D), 468)
    trunk = resnet((3, 4, 6, 3), bottleneck=True, in_channels=6)
    assert found == {
        "extractor": trunk + 2048 * D + D,
        "difference": difference(D),
        "decoder": decoder(D, 468),
        "total": trunk + 2048 * D + D + difference(D) + decoder(D, 468),
    }


@pytest.mark.parametrize(
    "start", ["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "none"]
)
def test_freezing_removes_nothing(start: Any) -> None:
    settings = ModelSettings(extractor=ExtractorSettings(fine_tune_from=start))
    assert counts(settings, 501)["total"] == 39_866_101


@pytest.mark.parametrize("system", ["sen", "sen-single-sub", "sen-dual"])
def test_systems_of_table_iv(system: str) -> None:
    found = counts(ModelSettings(system=system), 501)
    conv1 = 6 if system == "sen" else 3
    assert found["extractor"] == 24_566_528 - (6 - conv1) * 64 * 49
    assert found["difference"] == 10_582_016


def test_a_system_and_a_structure_that_contradict_each_other() -> None:
    settings = ModelSettings(
        system="sen-dual", extractor=ExtractorSettings(structure="single-sub")
    )
    with pytest.raises(
        ValueError, match=r"system=sen-dual and extractor\.structure=single-sub"
    ):
        build(settings, 501)
    with pytest.raises(
        ValueError, match=r"system='sen-duall' is unknown; did you mean 'sen-dual'\?"
    ):
        build(ModelSettings(system="sen-duall"), 501)
    with pytest.raises(ValueError, match="a vocabulary of 4 entries holds no word"):
        build(ModelSettings(), 4)


def test_dropouts_are_the_papers() -> None:
    """SPEC §2: 0.1 after positions; 0.5 inside CAGD, inside the decoder and before its
    output."""
    with torch.device("meta"):
        captioner = build(ModelSettings(), 501)
    found = {
        name: module.p if isinstance(module, nn.Dropout) else module.dropout
        for part in ("difference", "decoder")
        for name, module in getattr(captioner, part).named_modules(prefix=part)
        if isinstance(module, nn.Dropout | Attention)
    }
    positions = {name for name in found if "positions" in name}
    assert positions == {
        "difference.date_positions.dropout",
        "difference.pair_positions.dropout",
        "decoder.positions.dropout",
    }
    assert {found[name] for name in positions} == {0.1}
    assert {p for name, p in found.items() if name not in positions} == {0.5}
    assert "decoder.dropout" in found
    assert sum(name.endswith("attention") for name in found) == 2 * 3 + 2


@pytest.mark.parametrize("part", ["difference", "decoder"])
def test_dropout_settings_reach_their_part(part: str) -> None:
    base = ModelSettings(
        dimension=32, extractor=ExtractorSettings(backbone="resnet18", stage=1)
    )
    changed = dataclasses.replace(
        getattr(base, part), dropout=0.0, position_dropout=0.0
    )
    captioner = build(dataclasses.replace(base, **{part: changed}), 9)
    assert {
        m.p for m in getattr(captioner, part).modules() if isinstance(m, nn.Dropout)
    } == {0.0}
    assert {
        m.dropout
        for m in getattr(captioner, part).modules()
        if isinstance(m, Attention)
    } == {0.0}


def test_initial_words_are_the_papers() -> None:
    """SPEC §2: word embedding and output weights uniform ±0.1, output bias 0."""
    torch.manual_seed(0)
    built = TransformerDecoder(64, vocabulary_size=300)
    for weight in (built.embedding.weight, built.output.weight):
        assert weight.abs().max() <= 0.1
        # Of a uniform distribution.
        assert weight.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.02)
        assert weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert not built.output.bias.any()


def test_attention_starts_as_torchs_does() -> None:
    """Query, key and value as one Xavier-uniform matrix (3D, D), biases 0: the paper's
    start."""
    torch.manual_seed(0)
    D = 96
    ours, torchs = Attention(D, heads=8, dropout=0.0), nn.MultiheadAttention(D, 8)
    for projection in (ours.query, ours.key, ours.value):
        assert projection.weight.abs().max() <= (6 / (4 * D)) ** 0.5
        assert projection.weight.std().item() == pytest.approx(
            torchs.in_proj_weight.std().item(), rel=0.03
        )
        assert not projection.bias.any()
    assert ours.out.weight.std().item() == pytest.approx(
        torchs.out_proj.weight.std().item(), rel=0.03
    )
    assert not ours.out.bias.any()


GRIDS = [
    ("resnet18", 4, 8),
    ("resnet34", 4, 8),
    ("resnet50", 3, 16),
    ("resnet101", 4, 8),
    ("resnet18", 2, 32),
    ("resnet18", 1, 64),
    ("tf_efficientnet_lite0", 4, 8),
    ("tf_efficientnet_lite0", 3, 16),
    ("convnext_atto", 4, 8),
    ("convnext_atto", 3, 16),
]


@pytest.mark.parametrize(("backbone", "stage", "grid"), GRIDS)
def test_backbones_give_the_grid_of_a_256_pixel_image(
    backbone: str, stage: int, grid: int
) -> None:
    settings = ModelSettings(
        dimension=16, extractor=ExtractorSettings(backbone=backbone, stage=stage)
    )
    with torch.device("meta"):
        captioner = build(settings, 9).eval()
        pixels = torch.empty(2, 2, 3, 256, 256)
        features = captioner.extractor(captioner.normalise(pixels))
        memory = captioner.encode(pixels)
    assert features.shape == (2, 1, 16, grid, grid)
    assert memory.grid == (grid, grid)
    assert memory.tokens.shape == (2, grid * grid, 16)


@pytest.mark.parametrize(
    "backbone", ["resnet18", "tf_efficientnet_lite0", "convnext_atto"]
)
def test_images_that_the_stride_does_not_divide(backbone: str) -> None:
    """SFE's grid follows the extractor's, rounded up or down."""
    settings = ModelSettings(
        dimension=16,
        extractor=ExtractorSettings(backbone=backbone),
        difference=DifferenceSettings(channel_attention=False),
    )
    captioner = build(settings, 9).eval()
    pixels = torch.randint(256, (1, 2, 3, 70, 97), dtype=torch.uint8)
    with torch.inference_mode():
        memory = captioner.encode(pixels)
        h, w = captioner.extractor(captioner.normalise(pixels)).shape[-2:]
    assert memory.grid == (h, w)
    assert (h, w) in ((2, 3), (3, 4))
    assert memory.tokens.isfinite().all()


@pytest.mark.parametrize(
    ("backbone", "size", "other"),
    [
        ("maxvit_tiny_tf_224", 100, 224),
        ("coatnet_0_rw_224", 96, 224),
        ("gcvit_xxtiny", 64, 224),
    ],
)
def test_a_size_that_a_backbone_cannot_take_is_refused_with_one_that_goes(
    backbone: str, size: int, other: int
) -> None:
    settings = ModelSettings(size=size, extractor=ExtractorSettings(backbone=backbone))
    reason = (
        f"size={size}: extractor.backbone={backbone} cannot take .*size={other} goes"
    )
    with pytest.raises(SettingsError, match=reason):
        info("sen", settings=settings)
    assert info("sen", settings=dataclasses.replace(settings, size=other))["total"] > 0


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto", "mobilevit_xxs"])
@pytest.mark.parametrize("size", [33, 100, 256])
def test_a_convolutional_network_takes_any_size(backbone: str, size: int) -> None:
    settings = ModelSettings(size=size, extractor=ExtractorSettings(backbone=backbone))
    assert info("sen", settings=settings)["total"] > 0
