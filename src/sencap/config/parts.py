"""The settings of a captioner's parts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sencap.bounds import (
    check_amount,
    check_choice,
    check_fields,
    check_fraction,
    check_length_normalisation,
)
from sencap.errors import SettingsError
from sencap.json_files import shown

Structure = Literal["single-cat", "single-sub", "dual"]
Pyramid = Literal["none", "finer", "coarser"]
FineTuneFrom = Literal["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "none"]
FrozenStatistics = Literal["moving", "fixed"]
Projection = Literal["always", "where-needed"]
MatrixStart = Literal["xavier", "layers"]
WordStart = Literal["uniform", "normal"]

# Backbones that were pretrained on ImageNet expect images normalised by its statistics.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LARGEST_HEAD = 1000.0  # weight of a head's loss
SMALLEST_TEMPERATURE = 0.01

# Of `DifferenceSettings`, before its systems had their own. Older checkpoints and runs,
# of any system, hold these
FORMER_DEFAULTS = {
    "reduction": 16,
    "kernel_size": 1,
    "shared_convolution": True,
    "channel_attention": True,
    "cross_attention": True,
    "self_attention": True,
}


def check_backbone_name(name: str, value: str) -> None:
    """Refuse a backbone that is no plain name: timm takes ``hf-hub:…`` to the network
    and ``local-dir:…`` to a folder.

    ``name`` is the setting's. Whether timm knows the network is for
    `sencap.models.extractors` to say.

    >>> check_backbone_name("extractor.backbone", "resnet50")

    Raises:
        SettingsError: with the setting, the value, and what a name may hold.
    """
    # A config file may come from a stranger, and must lead neither to the network nor to
    # a folder: only plain names pass.
    plain = isinstance(value, str) and re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value
    )
    if not plain or ".." in value:
        raise SettingsError(
            f"{name}={shown(value)} is not a timm model: its name holds letters, "
            "digits, '_', '.' and '-' only, no colon and no slash, for example "
            "resnet50. What weights it starts from is said by `init`"
        )


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a mean or deviation of R, G and B that is not on the scale 0-1 of the
    pixels.

    Raises:
        SettingsError: not three numbers, NaN, infinite, or out of range.
    """
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, list | tuple) or len(values) != 3:
            raise SettingsError(
                f"{name} is {shown(values)}; it must hold three values, for R, G and B"
            )
        for value in values:
            # In Python True is an int.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value):
                raise SettingsError(
                    f"{name} is {shown(values)}; each value must be a number"
                )
    if min(std) <= 0:
        raise SettingsError(f"std is {shown(std)}; each value must be above 0")
    if min(mean) < 0 or max(mean) > 1:
        raise SettingsError(
            f"mean is {shown(mean)}; each value must be from 0 to 1 (pixels are "
            "divided by 255 before)"
        )
    if min(std) < 0.001 or max(std) > 10:
        raise SettingsError(
            f"std is {shown(std)}; each value must be from 0.001 to 10 (pixels are "
            "divided by 255 before)"
        )


@dataclass(frozen=True)
class ExtractorSettings:
    """The bi-temporal feature extractor, Eq. (2) and (3); None is the system's own.

    Attributes:
        backbone: Any timm model with a feature map, by timm's name: resnet18/34/50/101,
            tf_efficientnet_lite0, convnext_tiny, … (sen: resnet50)
        stage: Stage whose features are used: 4 (stride 32) or 3 (stride 16); 2 and 1
            exist too. (sen: 4)
        structure: single-cat: the two dates' channels concatenated into one stream
            (SEN); single-sub: the difference image (after - before) in one stream;
            dual: each date through one shared stream. (sen: single-cat; the compared
            systems are dual and take no other)
        grid: Side of the square grid that the compared systems pool the features to.
            (14; psnet: 7)
        pyramid: Whose maps stand beside the stage's own channels, brought to its grid:
            finer (those of the stage before, folded), coarser (those of the stage
            after, enlarged) or none. (none; siamese: finer)
        init: Weights the backbone starts from: a file or folder, recognised by its
            content, or timm:NAME (see docs/weights.md); nothing for random ones.
        fine_tune_from: The first stage that is trained; all before it is frozen. conv1:
            nothing is frozen; none: everything is (the projection P is always trained).
            (sen: conv2_x; the compared systems: none)
        frozen_statistics: Whether the BatchNorm statistics of the frozen part go on
            moving in training (moving, as in SEN's released code) or stay (fixed).
            (sen, MCCFormers and RSICCformers: moving; the others: fixed)
        projection: P, the 1x1 convolution to D: always, or only where the backbone's
            channels are not D already (where-needed, as in SEN's released code). Of
            SEN's systems. (sen: always)
        zero_last_norm: A ResNet that starts from random weights begins with the last
            BatchNorm weight of each block at zero, as timm's do; off: at one, as
            torchvision's do. Other networks have no such weight. (on)
    """

    backbone: str | None = None
    stage: int | None = None
    structure: Structure | None = None
    grid: int | None = None
    pyramid: Pyramid | None = None
    init: str | None = None
    fine_tune_from: FineTuneFrom | None = None
    frozen_statistics: FrozenStatistics | None = None
    projection: Projection | None = None
    zero_last_norm: bool | None = None

    def __post_init__(self) -> None:
        if self.backbone is not None:
            check_backbone_name("extractor.backbone", self.backbone)
        if self.stage not in (None, 1, 2, 3, 4):
            raise SettingsError(
                f"extractor.stage is {self.stage}; it must be 1, 2, 3 or 4"
            )
        check_choice("extractor.structure", self.structure, get_args(Structure))
        check_choice("extractor.pyramid", self.pyramid, get_args(Pyramid))
        check_choice(
            "extractor.fine_tune_from", self.fine_tune_from, get_args(FineTuneFrom)
        )
        check_choice(
            "extractor.frozen_statistics",
            self.frozen_statistics,
            get_args(FrozenStatistics),
        )
        check_choice("extractor.projection", self.projection, get_args(Projection))
        check_fields(self, "extractor", "grid")
        if self.stage is not None and (self.fine_tune_from or "").startswith("conv"):
            assert self.fine_tune_from is not None
            # "conv3_x" is the third group of a ResNet's layers and the output of stage
            # 2, since conv1 comes before the four stages.
            start = int(self.fine_tune_from[4])
            if start - 1 > self.stage:
                raise SettingsError(
                    f"extractor.fine_tune_from={self.fine_tune_from} starts after "
                    f"extractor.stage={self.stage}, the last stage used; "
                    f"say conv{self.stage + 1}_x or earlier, or none"
                )


@dataclass(frozen=True)
class DifferenceSettings:
    """The difference encoder; None is the system's own. (sen: SFE, Eq. (4)-(5), then
    N_e layers of CAGD, Eq. (6)-(14))

    The settings from `reduction` to `self_attention` are SEN's alone. Its four switches
    are on. `norm_groups`, `coordinates` and `map_penalty` are DUDA's.

    Attributes:
        layers: N_e, the number of layers. (sen: 2 of CAGD)
        heads: Attention heads. (sen: 8)
        dropout: Dropout inside the layers. (sen: 0.5)
        position_dropout: Dropout after the positions are added. (sen: 0.1)
        reduction: The channel attention's bottleneck is D / reduction wide. (sen: 16)
        kernel_size: Kernel of SFE's shared convolution, which is at the extractor's
            stride. (sen: 1)
        shared_convolution: SFE's convolution shared by the dates. Off: the channel
            attention looks at F itself.
        channel_attention: SFE's channel attention per date. Off: the embedded image is
            added to F instead. Both off: both dates' features are F (of a dual
            extractor: that date's F).
        cross_attention: CAGD's cross attention per date. Off: the dates' features go on
            as they are.
        self_attention: CAGD's self attention. Off: the difference itself is added to
            the running feature.
        start: How the matrices of MCCFormers, RSICCformers and PSNet start: xavier
            (Xavier-uniform, all of them), or layers (as PyTorch's layers do by
            themselves). (mccformer-s: layers; the others: xavier)
        norm_groups: Groups of the GroupNorm inside the spatial attention; 0: no such
            norm. (duda: 32)
        coordinates: Append the column and the row of each cell, both from -1 to 1, to
            the features. (duda: on)
        map_penalty: What the sum of an attention map adds to the loss is multiplied by
            this. (duda: 0.0025)
    """

    layers: int | None = None
    heads: int | None = None
    dropout: float | None = None
    position_dropout: float | None = None
    reduction: int | None = None
    kernel_size: int | None = None
    shared_convolution: bool | None = None
    channel_attention: bool | None = None
    cross_attention: bool | None = None
    self_attention: bool | None = None
    start: MatrixStart | None = None
    norm_groups: int | None = None
    coordinates: bool | None = None
    map_penalty: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, "difference", "layers", "heads", "reduction", "kernel_size")
        check_fields(self, "difference", "norm_groups")
        check_choice("difference.start", self.start, get_args(MatrixStart))
        check_amount("difference.map_penalty", self.map_penalty, zero=True)
        check_fraction("difference.dropout", self.dropout)
        check_fraction("difference.position_dropout", self.position_dropout)
        # A setting without effect would be reported with a result that it had no part
        # in.
        if self.kernel_size not in (None, 1) and self.shared_convolution is False:
            raise SettingsError(
                f"difference.kernel_size={self.kernel_size} has no effect with "
                "difference.shared_convolution=false; leave one of them out"
            )


@dataclass(frozen=True)
class DecoderSettings:
    """The caption decoder; None is the system's own. (sen: a transformer, Eq.
    (15)-(17))

    Attributes:
        layers: N_d, the number of decoder layers. (sen: 1)
        heads: Attention heads. (sen: 8)
        expansion: The feed-forward network is this many times as wide as the decoder.
            (sen: 4)
        dropout: Dropout inside the layers and before the output. (sen: 0.5)
        position_dropout: Dropout after the positions are added. (sen: 0.1)
        max_words: The longest caption, <start> and <end> not counted.
        words_start: How the word vectors start: uniform (in ±0.1) or normal (N(0, 1)).
            Of DUDA. (duda: normal)
        word_relu: ReLU on the word vectors. Of DUDA. (duda: on)
        seen_dropout: Dropout on v, what was seen of the pair. Of DUDA. (duda: 0.5)
    """

    layers: int | None = None
    heads: int | None = None
    expansion: int | None = None
    dropout: float | None = None
    position_dropout: float | None = None
    max_words: int = 50
    words_start: WordStart | None = None
    word_relu: bool | None = None
    seen_dropout: float | None = None

    def __post_init__(self) -> None:
        check_choice("decoder.words_start", self.words_start, get_args(WordStart))
        check_fraction("decoder.seen_dropout", self.seen_dropout)
        check_fields(self, "decoder", "layers", "heads", "expansion", "max_words")
        check_fraction("decoder.dropout", self.dropout)
        check_fraction("decoder.position_dropout", self.position_dropout)


Decision = Literal["probability", "either-order", "search"]
"""What makes a pair changed; `sencap.predictor.Predictor` says what they mean."""


@dataclass(frozen=True)
class SearchSettings:
    """How captions are searched for, where whoever captions does not say.

    Attributes:
        beam: Width of the beam search; 1 is greedy.
        length_normalisation: The power α of log p / (L + 1)^α, by which a beam ranks
            captions of L words. 0 ranks by the probability, as the paper does, and
            prefers short captions; 1 ranks by that of a word in the mean.
        decision: What makes a pair changed: the model's probability of change; that in
            either order of the two dates, so that what was removed is told too; or
            whatever the search's best caption says.
    """

    beam: int = 3
    length_normalisation: float = 0.0
    decision: Decision = "probability"

    def __post_init__(self) -> None:
        check_fields(self, "search", "beam")
        check_choice("search.decision", self.decision, get_args(Decision))
        check_length_normalisation(
            "search.length_normalisation", self.length_normalisation
        )


@dataclass(frozen=True)
class ChangeSettings:
    """Heads on the memory that see change without words; trained beside the decoder,
    never needed.

    Attributes:
        flag: Weight of the loss of the flag head: did the pair change? 0: no such head.
        mask: Weight of the loss of the mask head: what share of each cell of the grid
            is changed building? 0: no such head. Data without masks train without it.
        temperature: What the flag head's logit is divided by before it becomes a
            probability, so that 0.9 means right in nine of ten. Training finds it on
            the selection pairs.
    """

    flag: float = 0.0
    mask: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("flag", "mask"):
            if not 0 <= getattr(self, name) <= LARGEST_HEAD:
                raise SettingsError(
                    f"change.{name} is {getattr(self, name)}; it must be from 0 to "
                    f"{LARGEST_HEAD}"
                )
        if not SMALLEST_TEMPERATURE <= self.temperature <= 1 / SMALLEST_TEMPERATURE:
            raise SettingsError(
                f"change.temperature is {self.temperature}; it must be from "
                f"{SMALLEST_TEMPERATURE} to {1 / SMALLEST_TEMPERATURE:g}"
            )
