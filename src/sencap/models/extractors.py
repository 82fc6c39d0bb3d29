"""Bi-temporal feature extractors on any timm backbone: SEN's, Eq. (2) and (3), and that
of the compared systems."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Self

import timm
import torch
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F_

from sencap.config import (
    FineTuneFrom,
    FrozenStatistics,
    Projection,
    Pyramid,
    Structure,
    check_backbone_name,
)
from sencap.errors import SettingsError, ShapeError
from sencap.json_files import shortened

STAGES: tuple[FineTuneFrom, ...] = (
    "conv1",
    "conv2_x",
    "conv3_x",
    "conv4_x",
    "conv5_x",
    "none",
)
# Parameters of a network that may be made to use a few of them: 512 MB.
LARGEST_UNUSED = 2**27
IN_CHANNELS: dict[Structure, int] = {"single-cat": 6, "single-sub": 3, "dual": 3}


class Extractor(nn.Module):
    """The backbone of any extractor: what it sees of the two dates, what of it is
    frozen.

    ``maps`` takes two normalised images (B, 2, 3, H, W) to the backbone's maps (B·S, C,
    h, w). S is 1 for the single-stream structures (``single-cat``: before and after
    concatenated on the channel axis, before first; ``single-sub``: after − before) and
    2 for ``dual`` (each date through the same network).

    ``fine_tune_from`` names the first stage that is trained (conv1: all are, none: no
    stage is). The BatchNorm statistics of the frozen stages go on moving in training
    (``moving``, as in SEN's code) or stay (``fixed``).

    With a ``grid`` the backbone may be a vision transformer too: images are then
    resized (bilinear, antialiased) so that its patches make that grid. It has no stages
    to start fine-tuning from but conv1 and none, and no pyramid.

    A ``pyramid`` stacks two stages' maps. ``finer``: beside the channels of the stage
    stand those of the stage before, whose grid is twice as fine, so that four of its
    cells lie in one. ``coarser``: those of the stage after, enlarged to twice their
    size (bilinear).

    A random ResNet begins with the last BatchNorm weight of each block at zero, so that
    each block begins as the identity, which is timm's way; without ``zero_last_norm`` at
    one, which is torchvision's.

    Raises:
        SettingsError: an unknown backbone, one without a feature map at that stage, or
            no such start layer.
    """

    def __init__(
        self,
        *,
        backbone: str,
        stage: int,
        structure: Structure,
        fine_tune_from: FineTuneFrom,
        frozen_statistics: FrozenStatistics,
        pyramid: Pyramid = "none",
        grid: int | None = None,
        zero_last_norm: bool = True,
    ) -> None:
        super().__init__()
        self.structure, self.stage, self.frozen_statistics = (
            structure,
            stage,
            frozen_statistics,
        )
        self.pyramid, self.dates = pyramid, 2 if structure == "dual" else 1
        self.backbone = _backbone(
            backbone,
            stage=stage,
            in_channels=IN_CHANNELS[structure],
            pyramid=pyramid,
            grid=grid,
        )
        self.zero_last_norm = zero_last_norm
        if not zero_last_norm:
            _start_last_norms_at_one(self.backbone)
        self.stride, self.channels = _stride_and_channels(self.backbone, pyramid)
        self.own_channels = _own_channels(self.backbone, pyramid)
        first_trained = STAGES.index(fine_tune_from)
        if isinstance(self.backbone, VisionTransformer):
            if fine_tune_from not in ("conv1", "none"):
                raise SettingsError(
                    f"extractor.backbone={backbone} has no stages, so "
                    f"extractor.fine_tune_from={fine_tune_from} means nothing; say "
                    "conv1 (all of it is trained) or none"
                )
            self._frozen: list[nn.Module] = (
                [self.backbone] if fine_tune_from == "none" else []
            )
        else:
            self._frozen = [
                m
                for number, m in _stages(self.backbone, backbone)
                if number < first_trained
            ]
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`, but frozen parts with fixed statistics stay in
        evaluation mode."""
        super().train(mode)
        if mode and self.frozen_statistics == "fixed":
            for module in self._frozen:
                module.eval()
        return self

    def maps(self, images: Tensor) -> Tensor:
        """See the class."""
        B, dates, channels, H, W = images.shape
        if (dates, channels) != (2, 3):
            raise ShapeError(
                f"images are (B, 2, 3, H, W), before first; got {tuple(images.shape)}"
            )
        if self.structure == "single-cat":
            # Eq. (2): before in channels 0-2, after in 3-5.
            x = images.reshape(B, 6, H, W)
        elif self.structure == "single-sub":
            x = images[:, 1] - images[:, 0]
        else:
            x = images.reshape(B * 2, 3, H, W)
        if isinstance(self.backbone, VisionTransformer):
            return _transformer_map(self.backbone, x)
        maps: list[Tensor] = self.backbone(
            x.contiguous(memory_format=torch.channels_last)
        )
        if self.pyramid == "none":
            return maps[0]
        fine, coarse = maps
        if self.pyramid == "finer":
            return torch.cat((coarse, _folded(fine, coarse.shape[-2:])), 1)
        return torch.cat((fine, _enlarged(coarse, fine.shape[-2:])), 1)

    def features(self, maps: Tensor) -> Tensor:
        """The backbone's maps (B·S, C, h, w) → what the difference encoder gets, (B, S,
        …)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 2, 3, H, W) → features."""
        return self.features(self.maps(images))

    def means(self, maps: Tensor) -> Tensor:
        """The backbone's maps (B·S, C, h, w) → the mean over the cells, (B, S, C'), of
        the channels of its own stage: those that a pyramid puts beside them are left
        out."""
        own = maps[:, : self.own_channels].mean((2, 3))
        return own.reshape(-1, self.dates, self.own_channels)

    @property
    def is_frozen(self) -> bool:
        """Whether the maps of an image never change in training."""
        trained = any(
            parameter.requires_grad for parameter in self.backbone.parameters()
        )
        return not trained and self.frozen_statistics == "fixed"


class FeatureExtractor(Extractor):
    """SEN's: two normalised images (B, 2, 3, H, W) → features (B, S, D, h, w), h = H /
    stride of the stage.

    ``P``, a 1×1 convolution, brings the backbone's channels to D = ``dimension``; it is
    always trained. With ``projection`` "where-needed" it is left out where the backbone
    has D channels by itself. The rest is `Extractor`.
    """

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        stage: int = 4,
        structure: Structure = "single-cat",
        dimension: int = 512,
        fine_tune_from: FineTuneFrom = "conv2_x",
        frozen_statistics: FrozenStatistics = "moving",
        pyramid: Pyramid = "none",
        projection: Projection = "always",
        zero_last_norm: bool = True,
    ) -> None:
        super().__init__(
            backbone=backbone,
            stage=stage,
            structure=structure,
            fine_tune_from=fine_tune_from,
            frozen_statistics=frozen_statistics,
            pyramid=pyramid,
            zero_last_norm=zero_last_norm,
        )
        self.projection = projection
        self.P: nn.Module = nn.Conv2d(self.channels, dimension, kernel_size=1)
        if projection == "where-needed" and self.channels == dimension:
            self.P = nn.Identity()
        # Born in training mode: fixed statistics are fixed from here on.
        self.train(self.training)

    def features(self, maps: Tensor) -> Tensor:
        """See `Extractor.features`: (B, S, D, h, w)."""
        F: Tensor = self.P(maps)  # Eq. (3): (B·S, D, h, w)
        return F.reshape(-1, self.dates, *F.shape[1:])


class PooledExtractor(Extractor):
    """That of the compared systems: normalised images (B, 2, 3, H, W) → features (B, 2,
    C, grid, grid).

    Each date goes through one network, and its maps are averaged to ``grid`` × ``grid``
    cells (adaptive pooling), whatever the size of the images. There is no P: C is the
    backbone's ``channels``.
    """

    def __init__(
        self,
        *,
        backbone: str = "resnet101",
        stage: int = 3,
        grid: int = 14,
        fine_tune_from: FineTuneFrom = "none",
        frozen_statistics: FrozenStatistics = "fixed",
        pyramid: Pyramid = "none",
        zero_last_norm: bool = True,
    ) -> None:
        super().__init__(
            backbone=backbone,
            stage=stage,
            structure="dual",
            fine_tune_from=fine_tune_from,
            frozen_statistics=frozen_statistics,
            pyramid=pyramid,
            grid=grid,
            zero_last_norm=zero_last_norm,
        )
        self.grid = grid
        self.train(self.training)

    def features(self, maps: Tensor) -> Tensor:
        """See `Extractor.features`: (B, 2, C, grid, grid)."""
        x = F_.adaptive_avg_pool2d(maps, self.grid)
        return x.reshape(-1, self.dates, *x.shape[1:])


def _start_last_norms_at_one(backbone: nn.Module) -> None:
    """Of the blocks of a ResNet; other networks have none."""
    for block in backbone.modules():
        if isinstance(block, Bottleneck):
            nn.init.ones_(block.bn3.weight)
        elif isinstance(block, BasicBlock):
            nn.init.ones_(block.bn2.weight)


def _stride_and_channels(backbone: nn.Module, pyramid: Pyramid) -> tuple[int, int]:
    features: Any = backbone.feature_info
    if isinstance(backbone, VisionTransformer):
        return features[-1]["reduction"], features[-1]["num_chs"]
    channels: list[int] = features.channels()
    strides: list[int] = features.reduction()
    if pyramid == "finer":
        return strides[1], channels[1] + 4 * channels[0]
    if pyramid == "coarser":
        return strides[0], channels[0] + channels[1]
    return strides[0], channels[0]


def _own_channels(backbone: nn.Module, pyramid: Pyramid) -> int:
    """Of the stage itself, which stand first in the maps."""
    features: Any = backbone.feature_info
    if isinstance(backbone, VisionTransformer):
        return int(features[-1]["num_chs"])
    return int(features.channels()[1 if pyramid == "finer" else 0])


def _folded(fine: Tensor, grid: torch.Size) -> Tensor:
    """Maps (B, C, 2·h, 2·w) → (B, 4·C, h, w): four cells become one of four times the
    channels.

    An odd number of rows or columns, of images that are no multiple of the stride, gets
    zeros.
    """
    h, w = grid
    fine = F_.pad(fine, (0, 2 * w - fine.shape[-1], 0, 2 * h - fine.shape[-2]))
    return F_.pixel_unshuffle(fine, 2)


def _enlarged(coarse: Tensor, grid: torch.Size) -> Tensor:
    """Maps (B, C, h/2, w/2) → (B, C, h, w), bilinear."""
    return F_.interpolate(coarse, size=grid, mode="bilinear", align_corners=False)


def _transformer_map(backbone: VisionTransformer, x: Tensor) -> Tensor:
    """Images (B, C, H, W) → the last layer's patches, normalised, as a map (B, C', h,
    w)."""
    h, w = backbone.patch_embed.grid_size
    side = backbone.patch_embed.img_size
    x = F_.interpolate(
        x, size=side, mode="bilinear", antialias=True, align_corners=False
    )
    tokens: Tensor = backbone.forward_features(x)[:, backbone.num_prefix_tokens :]
    return tokens.transpose(1, 2).reshape(x.shape[0], -1, h, w)


def check_backbone(name: str, *, setting: str = "extractor.backbone") -> None:
    """Refuse a network that timm has not, or a name that is more than a name; no
    network and no disk is asked.

    Raises:
        SettingsError: with the setting, the name, and the nearest names that timm
            knows.
    """
    check_backbone_name(setting, name)
    if not timm.is_model(name):
        raise SettingsError(
            f"{setting}={name!r} is not a timm model; {_nearest_models(name)}"
        )


def _nearest_models(name: str) -> str:
    close = difflib.get_close_matches(name, timm.list_models(), n=5)
    return f"some that may be meant: {', '.join(close) or 'see timm.list_models()'}"


def _backbone(
    name: str, *, stage: int, in_channels: int, pyramid: Pyramid, grid: int | None
) -> nn.Module:
    check_backbone(name)
    try:
        return _network(
            name, stage=stage, in_channels=in_channels, pyramid=pyramid, grid=grid
        )
    except SettingsError:
        raise
    except Exception as error:  # timm's hundreds of networks fail in as many ways
        reason = shortened(str(error), 120)
        raise SettingsError(
            f"extractor.backbone={name!r} is not a timm model with a feature map at "
            f"extractor.stage={stage} ({reason}); {_nearest_models(name)}"
        ) from error


def _network(
    name: str, *, stage: int, in_channels: int, pyramid: Pyramid, grid: int | None
) -> nn.Module:
    probe = timm.create_model(name, features_only=True)
    stride = 2 ** (stage + 1)
    strides = probe.feature_info.reduction()
    if stride not in strides:
        raise SettingsError(
            f"extractor.backbone={name} has no features of stride {stride} for "
            f"extractor.stage={stage}; it has strides {strides}"
        )
    wanted = _wanted_strides(stride, pyramid)
    if not set(wanted) <= set(strides):
        raise SettingsError(
            f"extractor.pyramid={pyramid} needs maps of strides {wanted} for "
            f"extractor.stage={stage}, and extractor.backbone={name} has strides "
            f"{strides}; leave the pyramid out"
        )
    # of a vision transformer, whose maps are all of one stride
    model = getattr(probe, "model", None)
    if grid is not None and isinstance(model, VisionTransformer):
        transformer: nn.Module = timm.create_model(
            name, num_classes=0, in_chans=in_channels, img_size=grid * stride
        )
        return transformer
    layout = str(getattr(getattr(probe, "output_fmt", None), "value", "NCHW"))
    if len(set(strides)) < len(strides) or layout != "NCHW":
        raise SettingsError(
            f"extractor.backbone={name} is no pyramid of feature maps (strides "
            f"{strides}, layout {layout}); choose a convolutional network, for "
            "example resnet50"
        )
    indices = tuple(strides.index(wanted_stride) for wanted_stride in wanted)
    backbone: nn.Module = timm.create_model(
        name, features_only=True, in_chans=in_channels, out_indices=indices
    )
    blocks = dict(backbone.named_children()).get("blocks")
    # EfficientNets keep and run the blocks after the last map
    if isinstance(blocks, nn.Sequential):
        last = int(probe.feature_info.info[indices[-1]]["module"].split(".")[1])
        backbone.blocks = blocks[: last + 1]
    _check_unused(name, stage, whole=_count(probe), used=_count(backbone))
    return backbone.to(memory_format=torch.channels_last)  # what cuDNN prefers


def _wanted_strides(stride: int, pyramid: Pyramid) -> list[int]:
    """Of the maps that are used, the finest first."""
    if pyramid == "finer":
        return [stride // 2, stride]
    if pyramid == "coarser":
        return [stride, 2 * stride]
    return [stride]


def _check_unused(name: str, stage: int, *, whole: int, used: int) -> None:
    """Refuse the first stages of a large network: timm makes all its stages before it
    drops those not asked for."""
    if whole > max(LARGEST_UNUSED, 4 * used):
        raise SettingsError(
            f"extractor.backbone={name} has {whole:,} parameters, and "
            f"extractor.stage={stage} uses {used:,} of them; choose a later stage or "
            "a smaller network"
        )


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _stages(backbone: nn.Module, network: str) -> Iterator[tuple[int, nn.Module]]:
    """(stage number, module) in the order of the data: 0 the stem (conv1), 1 conv2_x …
    4 conv5_x.

    The stage of a module is that of the first feature map, in timm's list, at or after
    its end. ``network`` is the backbone's name.
    """
    features: Any = backbone.feature_info
    feature_ends = [
        (info["module"].replace(".", "_"), info["reduction"]) for info in features.info
    ]
    modules: list[tuple[str, nn.Module]] = []
    for name, child in backbone.named_children():
        if name == "blocks":  # EfficientNets keep their stages in one Sequential
            modules += [
                (f"blocks_{i}", block) for i, block in enumerate(child.children())
            ]
        else:
            modules.append((name, child))
    names = [name for name, _ in modules]
    ends = [
        (names.index(name), reduction)
        for name, reduction in feature_ends
        if name in names
    ]
    if not ends:
        raise SettingsError(
            f"extractor.backbone={network} does not tell where its stages end; "
            "choose a convolutional network, for example resnet50"
        )
    for position, (name, module) in enumerate(modules):
        reduction = next((r for end, r in ends if position <= end), ends[-1][1])
        is_stem = position < ends[0][0] or "stem" in name
        yield (0 if is_stem else reduction.bit_length() - 2), module
