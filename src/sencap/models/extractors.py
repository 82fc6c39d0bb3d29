"""The bi-temporal feature extractor: any timm backbone, single-stream or dual, Eq. (2) and (3)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from sencap.config import FineTuneFrom, FrozenStatistics, Structure
from sencap.errors import SettingsError, ShapeError

STAGES: tuple[FineTuneFrom, ...] = ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "none")
IN_CHANNELS: dict[Structure, int] = {"single-cat": 6, "single-sub": 3, "dual": 3}


class FeatureExtractor(nn.Module):
    """Two normalised images (B, 2, 3, H, W) → features (B, S, D, h, w), h = H / stride of the stage.

    S is 1 for the single-stream structures (``single-cat``: before and after concatenated on the channel
    axis, before first; ``single-sub``: after − before) and 2 for ``dual`` (each date through the same
    network). ``P``, a 1×1 convolution, brings the backbone's channels to D = ``dimension``.

    ``fine_tune_from`` names the first stage that is trained (conv1: all are, none: only P is). The BatchNorm
    statistics of the frozen stages go on moving in training (``moving``, as in the paper's code) or stay
    (``fixed``).

    Raises:
        SettingsError: an unknown backbone, or one without a feature map at that stage.
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
    ) -> None:
        super().__init__()
        self.structure, self.stage, self.frozen_statistics = structure, stage, frozen_statistics
        self.backbone = _backbone(backbone, stage=stage, in_channels=IN_CHANNELS[structure])
        features: Any = self.backbone.feature_info
        self.stride: int = features.reduction()[-1]
        self.P = nn.Conv2d(features.channels()[-1], dimension, kernel_size=1)
        first_trained = STAGES.index(fine_tune_from)
        self._frozen = [m for number, m in _stages(self.backbone) if number < first_trained]
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)  # born in training mode: fixed statistics are fixed from here on

    def train(self, mode: bool = True) -> FeatureExtractor:
        """As `torch.nn.Module.train`, but frozen parts with fixed statistics stay in evaluation mode."""
        super().train(mode)
        if mode and self.frozen_statistics == "fixed":
            for module in self._frozen:
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        B, dates, channels, H, W = images.shape
        if (dates, channels) != (2, 3):
            raise ShapeError(f"images are (B, 2, 3, H, W), before first; got {tuple(images.shape)}")
        if self.structure == "single-cat":
            x = images.reshape(B, 6, H, W)  # Eq. (2): before in channels 0-2, after in 3-5
        elif self.structure == "single-sub":
            x = images[:, 1] - images[:, 0]
        else:
            x = images.reshape(B * 2, 3, H, W)
        x = x.contiguous(memory_format=torch.channels_last)
        F: Tensor = self.P(self.backbone(x)[-1])  # Eq. (3): (B·S, D, h, w)
        _, D, h, w = F.shape
        return F.reshape(B, -1, D, h, w)


def _backbone(name: str, *, stage: int, in_channels: int) -> nn.Module:
    try:
        probe = timm.create_model(name, features_only=True)
    except (RuntimeError, AttributeError, AssertionError, TypeError, OSError) as error:
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        raise SettingsError(
            f"extractor.backbone={name!r} is not a timm model with a feature map ({error}); "
            f"some that may be meant: {', '.join(close) or 'see timm.list_models()'}"
        ) from error
    stride = 2 ** (stage + 1)
    strides = probe.feature_info.reduction()
    if stride not in strides:
        raise SettingsError(
            f"extractor.backbone={name} has no features of stride {stride} for extractor.stage={stage}; "
            f"it has strides {strides}"
        )
    layout = str(getattr(getattr(probe, "output_fmt", None), "value", "NCHW"))
    if len(set(strides)) < len(strides) or layout != "NCHW":
        raise SettingsError(
            f"extractor.backbone={name} is no pyramid of feature maps (strides {strides}, layout {layout}); "
            "choose a convolutional network, for example resnet50"
        )
    index = max(i for i, s in enumerate(strides) if s == stride)
    backbone: nn.Module = timm.create_model(
        name, features_only=True, in_chans=in_channels, out_indices=(index,)
    )
    blocks = dict(backbone.named_children()).get("blocks")
    if isinstance(blocks, nn.Sequential):  # EfficientNets keep and run the blocks after the last map
        last = int(probe.feature_info.info[index]["module"].split(".")[1])
        backbone.blocks = blocks[: last + 1]
    return backbone.to(memory_format=torch.channels_last)  # a third faster on CPUs, and what cuDNN prefers


def _stages(backbone: nn.Module) -> Iterator[tuple[int, nn.Module]]:
    """(stage number, module) in the order of the data: 0 the stem (conv1), 1 conv2_x … 4 conv5_x.

    The stage of a module is that of the first feature map, in timm's list, at or after its end.
    """
    features: Any = backbone.feature_info
    feature_ends = [(info["module"].replace(".", "_"), info["reduction"]) for info in features.info]
    modules: list[tuple[str, nn.Module]] = []
    for name, child in backbone.named_children():
        if name == "blocks":  # EfficientNets keep their stages in one Sequential
            modules += [(f"blocks_{i}", block) for i, block in enumerate(child.children())]
        else:
            modules.append((name, child))
    names = [name for name, _ in modules]
    ends = [(names.index(name), reduction) for name, reduction in feature_ends if name in names]
    for position, (name, module) in enumerate(modules):
        reduction = next((r for end, r in ends if position <= end), ends[-1][1])
        is_stem = position < ends[0][0] or "stem" in name
        yield (0 if is_stem else reduction.bit_length() - 2), module
