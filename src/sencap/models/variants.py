"""Every system by name: each a short function that composes an extractor, a difference
encoder and a decoder.

The numbers in a function are the system's own, and stand nowhere else. A setting the
user gives takes the place of its number; one that the function does not name is
refused. docs/systems.md draws each system and says where its numbers come from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from sencap.config import (
    LARGEST_GRID,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
    Structure,
)
from sencap.errors import SettingsError, nearest
from sencap.models.baselines.mccformer import MCCFormerD, MCCFormerS
from sencap.models.baselines.psnet import PSNetDifference
from sencap.models.baselines.recurrent import (
    DualAttention,
    DynamicSpeaker,
    PlainSpeaker,
    RepresentationDifference,
    SingleAttention,
)
from sencap.models.baselines.rsiccformer import RSICCformerDifference
from sencap.models.captioner import Captioner
from sencap.models.change import ChangeHeads
from sencap.models.decoders import ScaleDecoder, TransformerDecoder
from sencap.models.difference import SENDifference
from sencap.models.domain import Domain
from sencap.models.extractors import Extractor, FeatureExtractor, PooledExtractor
from sencap.models.numbers import Numbers, own
from sencap.models.siamese import SiameseDifference

# ResNet-101 to stage 3, 1024 channels on a 14×14 grid, each date by itself, frozen with
# its statistics.
RESNET_101 = ExtractorSettings(
    backbone="resnet101",
    stage=3,
    grid=14,
    pyramid="none",
    fine_tune_from="none",
    frozen_statistics="fixed",
    zero_last_norm=True,
)
# The published codes of the MCCFormers and RSICCformers leave the frozen network in
# training mode: it normalises by its batch while they train.
RESNET_101_MOVING = dataclasses.replace(RESNET_101, frozen_statistics="moving")
# ViT-B/32 on 224 pixels: 768 channels on a 7×7 grid.
VIT_B_32 = dataclasses.replace(
    RESNET_101, backbone="vit_base_patch32_224", stage=4, grid=7
)


def sen(
    settings: ModelSettings,
    vocabulary_size: int,
    *,
    structure: Structure = "single-cat",
) -> Captioner:
    """SEN (Zhou et al. 2024): single-stream extractor, SFE and CAGD, transformer
    decoder."""
    settings = _of_structure(settings, structure)
    n = own(
        settings,
        dimension=512,
        extractor=ExtractorSettings(
            backbone="resnet50",
            stage=4,
            structure=structure,
            pyramid="none",
            fine_tune_from="conv2_x",
            frozen_statistics="moving",
            projection="always",
            zero_last_norm=True,
        ),
        difference=DifferenceSettings(
            layers=2,
            heads=8,
            dropout=0.5,
            position_dropout=0.1,
            reduction=16,
            kernel_size=1,
            shared_convolution=True,
            channel_attention=True,
            cross_attention=True,
            self_attention=True,
        ),
        decoder=DecoderSettings(
            layers=1, heads=8, expansion=4, dropout=0.5, position_dropout=0.1
        ),
    )
    _check_grid(n.settings)
    D = n.dimension
    extractor = FeatureExtractor(dimension=D, **n.extractor)
    difference = SENDifference(D, stride=extractor.stride, **n.difference)
    decoder = TransformerDecoder(D, vocabulary_size=vocabulary_size, **n.decoder)
    return _captioner(n, extractor, difference, decoder, width=D)


def sen_single_sub(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """SEN on the difference image (Table IV, Single-sub)."""
    return sen(settings, vocabulary_size, structure="single-sub")


def sen_dual(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """SEN on two streams with shared weights (Table IV, Dual)."""
    return sen(settings, vocabulary_size, structure="dual")


def _recurrent(settings: ModelSettings) -> Numbers:
    """The numbers that the four systems of Park et al. (2019) share."""
    return own(
        settings,
        dimension=512,
        extractor=RESNET_101,
        difference=DifferenceSettings(),
        decoder=DecoderSettings(dropout=0.5),
    )


def capt_rep_diff(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """Capt-Rep-Diff (Park et al. 2019): the mean difference of the features, and an
    LSTM."""
    n = _recurrent(settings)
    extractor = PooledExtractor(**n.extractor)
    difference = RepresentationDifference(extractor.channels)
    decoder = PlainSpeaker(
        extractor.channels,
        n.dimension,
        vocabulary_size=vocabulary_size,
        vectors=1,
        words=300,
        **n.decoder,
    )
    return _captioner(n, extractor, difference, decoder, width=extractor.channels)


def capt_att(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """Capt-Att (Park et al. 2019): one attention map for both dates, and an LSTM."""
    n = _recurrent(settings)
    extractor = PooledExtractor(**n.extractor)
    difference = SingleAttention(extractor.channels, hidden=128)
    decoder = PlainSpeaker(
        extractor.channels,
        n.dimension,
        vocabulary_size=vocabulary_size,
        vectors=3,
        words=300,
        **n.decoder,
    )
    return _captioner(n, extractor, difference, decoder, width=3 * extractor.channels)


def capt_dual_att(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """Capt-Dual-Att (Park et al. 2019): an attention map per date, and an LSTM."""
    n = _recurrent(settings)
    extractor = PooledExtractor(**n.extractor)
    difference = DualAttention(extractor.channels, hidden=128)
    decoder = PlainSpeaker(
        extractor.channels,
        n.dimension,
        vocabulary_size=vocabulary_size,
        vectors=3,
        words=300,
        **n.decoder,
    )
    return _captioner(n, extractor, difference, decoder, width=3 * extractor.channels)


def duda(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """DUDA (Park et al. 2019): an attention map per date, and a speaker that weighs the
    dates at each word."""
    n = own(
        settings,
        dimension=512,
        extractor=RESNET_101,
        difference=DifferenceSettings(
            dropout=0.5, norm_groups=32, coordinates=True, map_penalty=2.5e-3
        ),
        decoder=DecoderSettings(
            dropout=0.5, words_start="normal", word_relu=True, seen_dropout=0.5
        ),
    )
    extractor = PooledExtractor(**n.extractor)
    difference = DualAttention(extractor.channels, hidden=128, **n.difference)
    decoder = DynamicSpeaker(
        difference.width,
        n.dimension,
        vocabulary_size=vocabulary_size,
        vectors=3,
        words=300,
        **n.decoder,
    )
    return _captioner(n, extractor, difference, decoder, width=3 * difference.width)


def _mccformer(
    n: Numbers, encoder: type[MCCFormerS] | type[MCCFormerD], vocabulary_size: int
) -> Captioner:
    """What both MCCFormers have in common: all but their numbers and their encoder."""
    extractor = PooledExtractor(**n.extractor)
    difference = encoder(
        extractor.channels,
        n.dimension,
        grid=extractor.grid,
        expansion=4,
        **n.difference,
    )
    # A token holds both dates' cells of one place, so it is twice as wide.
    decoder = TransformerDecoder(
        2 * n.dimension, vocabulary_size=vocabulary_size, **n.decoder
    )
    return _captioner(n, extractor, difference, decoder, width=2 * n.dimension)


def mccformer_s(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """MCCFormer-S (Qiu et al. 2021): one encoder for the tokens of both dates."""
    n = own(
        settings,
        dimension=512,
        extractor=RESNET_101_MOVING,
        difference=DifferenceSettings(layers=2, heads=4, dropout=0.1, start="layers"),
        decoder=DecoderSettings(
            layers=2, heads=4, expansion=4, dropout=0.5, position_dropout=0.1
        ),
    )
    return _mccformer(n, MCCFormerS, vocabulary_size)


def mccformer_d(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """MCCFormer-D (Qiu et al. 2021): co-attention between the dates."""
    n = own(
        settings,
        dimension=512,
        extractor=RESNET_101_MOVING,
        difference=DifferenceSettings(layers=2, heads=4, dropout=0.5, start="xavier"),
        decoder=DecoderSettings(
            layers=2, heads=4, expansion=4, dropout=0.5, position_dropout=0.1
        ),
    )
    return _mccformer(n, MCCFormerD, vocabulary_size)


def rsiccformer_c(
    settings: ModelSettings, vocabulary_size: int, *, fusion: bool = False
) -> Captioner:
    """RSICCformer_c (Liu et al. 2022, as SEN's paper compares it): each date asks the
    difference."""
    n = own(
        settings,
        dimension=512,
        extractor=RESNET_101_MOVING,
        difference=DifferenceSettings(layers=3, heads=8, dropout=0.5, start="xavier"),
        decoder=DecoderSettings(
            layers=1, heads=8, expansion=4, dropout=0.5, position_dropout=0.1
        ),
    )
    extractor = PooledExtractor(**n.extractor)
    difference = RSICCformerDifference(
        extractor.channels,
        n.dimension,
        grid=extractor.grid,
        expansion=4,
        fusion=fusion,
        **n.difference,
    )
    decoder = TransformerDecoder(
        2 * n.dimension, vocabulary_size=vocabulary_size, **n.decoder
    )
    return _captioner(n, extractor, difference, decoder, width=2 * n.dimension)


def rsiccformer(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """The full RSICCformer (Liu et al. 2022): RSICCformer_c with multistage bi-temporal
    fusion."""
    return rsiccformer_c(settings, vocabulary_size, fusion=True)


def psnet(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """PSNet (Liu et al. 2023): progressive difference layers, scale-aware layers, and a
    decoder that reads the scales one by one."""
    n = own(
        settings,
        dimension=512,
        extractor=VIT_B_32,
        difference=DifferenceSettings(layers=3, heads=8, dropout=0.1, start="xavier"),
        decoder=DecoderSettings(
            layers=3, heads=8, expansion=4, dropout=0.1, position_dropout=0.1
        ),
    )
    _check_scales(n.settings)
    extractor = PooledExtractor(**n.extractor)
    difference = PSNetDifference(
        extractor.channels, n.dimension, grid=extractor.grid, **n.difference
    )
    scales = n.difference["layers"]
    decoder = ScaleDecoder(
        2 * n.dimension, vocabulary_size=vocabulary_size, **n.decoder
    )
    return _captioner(n, extractor, difference, decoder, width=scales * 2 * n.dimension)


def siamese(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """Ours, for few pairs: a frozen pyramid per date, and attention over what
    differs."""
    n = own(
        settings,
        dimension=256,
        extractor=dataclasses.replace(
            RESNET_101,
            backbone="tf_efficientnet_lite2",
            stage=4,
            grid=8,
            pyramid="finer",
        ),
        difference=DifferenceSettings(
            layers=2, heads=8, dropout=0.3, position_dropout=0.1
        ),
        decoder=DecoderSettings(
            layers=1, heads=8, expansion=4, dropout=0.3, position_dropout=0.1
        ),
    )
    extractor = PooledExtractor(**n.extractor)
    difference = SiameseDifference(
        extractor.channels, n.dimension, grid=extractor.grid, **n.difference
    )
    decoder = TransformerDecoder(
        n.dimension, vocabulary_size=vocabulary_size, **n.decoder
    )
    return _captioner(n, extractor, difference, decoder, width=n.dimension)


SYSTEMS: dict[str, Callable[[ModelSettings, int], Captioner]] = {
    "sen": sen,
    "sen-single-sub": sen_single_sub,
    "sen-dual": sen_dual,
    "capt-rep-diff": capt_rep_diff,
    "capt-att": capt_att,
    "capt-dual-att": capt_dual_att,
    "duda": duda,
    "mccformer-s": mccformer_s,
    "mccformer-d": mccformer_d,
    "rsiccformer-c": rsiccformer_c,
    "rsiccformer": rsiccformer,
    "psnet": psnet,
    "siamese": siamese,
}


def build(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """The captioner that ``settings.system`` names, with random weights.

    Raises:
        SettingsError: an unknown system, with the nearest known name; a setting that
            the system has no use for.
    """
    if settings.system not in SYSTEMS:
        raise SettingsError(
            f"system={settings.system!r} is unknown; "
            f"{nearest(settings.system, SYSTEMS)}"
        )
    if vocabulary_size < 5:
        raise SettingsError(
            f"a vocabulary of {vocabulary_size} entries holds no word beside its "
            "four markers"
        )
    return SYSTEMS[settings.system](settings, vocabulary_size)


def check(settings: ModelSettings) -> None:
    """Raise what `build` would raise, at the cost of no numbers: shapes alone are made.

    Raises:
        SettingsError: as `build`.
    """
    with torch.device("meta"):
        build(settings, 5)


def resolved(settings: ModelSettings) -> ModelSettings:
    """The settings with the system's own number wherever none is given: two that are
    one model become equal.

    Raises:
        SettingsError: as `build`.
    """
    with torch.device("meta"):
        return build(settings, 5).settings


def _captioner(
    numbers: Numbers,
    extractor: Extractor,
    difference: nn.Module,
    decoder: nn.Module,
    *,
    width: int,
) -> Captioner:
    """The parts put together; ``width`` is that of the memory's tokens, which the heads
    look at."""
    settings = numbers.settings
    flag, mask = settings.change.flag > 0, settings.change.mask > 0
    change = None
    if flag or mask:
        change = ChangeHeads(
            width, flag=flag, mask=mask, dropout=numbers.decoder["dropout"]
        )
    captioner = Captioner(
        extractor,
        difference,
        decoder,
        mean=settings.mean,
        std=settings.std,
        change=change,
        domain=Domain(extractor.own_channels) if settings.domain else None,
    )
    captioner.settings = settings
    return captioner


def _of_structure(settings: ModelSettings, structure: Structure) -> ModelSettings:
    """SEN itself may have any structure; its variants their own (checkpoints of theirs
    may say single-cat)."""
    chosen = settings.extractor.structure
    if structure == "single-cat" or chosen is None:
        return settings
    if chosen not in ("single-cat", structure):
        raise SettingsError(
            f"system={settings.system} and extractor.structure={chosen} contradict "
            "each other"
        )
    return dataclasses.replace(
        settings, extractor=dataclasses.replace(settings.extractor, structure=None)
    )


def _check_scales(settings: ModelSettings) -> None:
    """PSNet's decoder has one layer for each scale, and a scale is seen between at least
    one other."""
    scales, layers = settings.difference.layers, settings.decoder.layers
    if scales != layers:
        raise SettingsError(
            f"system={settings.system} has a decoder layer for each scale, so "
            f"difference.layers={scales} and decoder.layers={layers} must be alike"
        )
    if scales == 1:
        raise SettingsError(
            f"system={settings.system} looks from each scale at the others, so "
            "difference.layers=1 leaves it nothing to look at; say 2 or more"
        )


def _check_grid(settings: ModelSettings) -> None:
    """Refuse sizes whose attention, of each position to each, would take memory and
    minutes without bound."""
    stage = settings.extractor.stage
    assert stage is not None  # SEN names its own
    largest = LARGEST_GRID * 2 ** (stage + 1)
    if settings.size > largest:
        raise SettingsError(
            f"size={settings.size} is too large for extractor.stage={stage}: "
            "attention compares all positions with each other, and at most "
            f"{LARGEST_GRID} × {LARGEST_GRID} are taken; say size={largest} or less, "
            "or a later stage"
        )
