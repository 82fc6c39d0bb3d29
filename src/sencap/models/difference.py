"""SEN's difference encoder: shallow feature embedding (SFE), then cross-attention
guided difference (CAGD).

Letters are the paper's: F the extractor's features, I_c an embedded image, F_bef and
F_aft the features of the dates, F_diff the running bi-temporal feature; m stands for a
date.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F_

from sencap.errors import SettingsError, ShapeError
from sencap.models.attention import Attention, FeedForward
from sencap.models.positions import SinusoidalPositions
from sencap.structures import Memory

DATE_KEYS = ("bef", "aft")


class ChannelAttention(nn.Module):
    """sigmoid(MLP(avgpool(x)) + MLP(maxpool(x))), Eq. (5): (B, D, h, w) → (B, D, 1, 1),
    values 0–1.

    The MLP is shared by the two pools: 1×1 convolutions D → D/reduction → D without
    bias, ReLU between.

    Raises:
        SettingsError: D is smaller than ``reduction``.
    """

    def __init__(self, dimension: int, *, reduction: int) -> None:
        super().__init__()
        if dimension < reduction:
            raise SettingsError(
                f"difference.reduction={reduction} leaves nothing of "
                f"dimension={dimension}; say {dimension} or less"
            )
        self.mlp = nn.Sequential(
            nn.Conv2d(dimension, dimension // reduction, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(dimension // reduction, dimension, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        # not adaptive_max_pool2d, which not every PyTorch can export as a graph
        mean, peak = F_.adaptive_avg_pool2d(x, 1), x.amax((2, 3), keepdim=True)
        return torch.sigmoid(self.mlp(mean) + self.mlp(peak))


class ShallowFeatureEmbedding(nn.Module):
    """SFE, Eq. (4) and (5): features and the two images → F_bef, F_aft, each (B, D, h,
    w).

    I_c,m = conv(I_m), one convolution for both dates at the extractor's ``stride``, so
    that its grid is F's; F_m = ChannelAttention_m(I_c,m) × F.

    Table V's switches, where the paper is silent: without ``shared_convolution`` the
    channel attention looks at F instead of I_c,m; without ``channel_attention`` the
    embedded image is added, F_m = I_c,m + F; without both F_m = F.
    """

    def __init__(
        self,
        dimension: int,
        *,
        stride: int,
        kernel_size: int = 1,
        reduction: int = 16,
        shared_convolution: bool = True,
        channel_attention: bool = True,
    ) -> None:
        super().__init__()
        self.conv = (
            nn.Conv2d(3, dimension, kernel_size, stride=stride)
            if shared_convolution
            else None
        )
        self.attention = (
            nn.ModuleDict(
                {m: ChannelAttention(dimension, reduction=reduction) for m in DATE_KEYS}
            )
            if channel_attention
            else None
        )

    def forward(self, features: Tensor, images: Tensor) -> list[Tensor]:
        """Features (B, S, D, h, w) and normalised images (B, 2, 3, H, W) → [F_bef,
        F_aft]."""
        h, w = features.shape[-2:]
        out = []
        for i, m in enumerate(DATE_KEYS):
            F = features[:, i if features.shape[1] == 2 else 0]
            embedded = F
            if self.conv is not None:
                k = self.conv.kernel_size[0]
                # A grid of ceil(H / stride), any k.
                padded = F_.pad(images[:, i], ((k - 1) // 2, k // 2) * 2)
                embedded = self.conv(padded)[..., :h, :w]  # I_c,m, Eq. (4)
            if self.attention is not None:
                F = self.attention[m](embedded) * F  # Eq. (5)
            elif self.conv is not None:
                F = embedded + F
            out.append(F)
        return out


class CrossAttention(nn.Module):
    """CrossAtt_m, Eq. (7)–(10): a date's feature asks the bi-temporal feature;
    post-norm, FFN D → 2D → D.

    With another ``expansion`` than 2 the post-norm attention layer of other systems as
    well.
    """

    def __init__(
        self, dimension: int, *, heads: int, dropout: float, expansion: int = 2
    ) -> None:
        super().__init__()
        self.attention = Attention(dimension, heads=heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(dimension)
        self.feed_forward = FeedForward(
            dimension, hidden=expansion * dimension, dropout=dropout
        )
        self.norm2 = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, F_m: Tensor, F_diff: Tensor) -> Tensor:
        """(B, N, D) and (B, N, D) → (B, N, D)."""
        x = self.norm1(F_m + self.dropout(self.attention(F_m, F_diff)))
        out: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return out


class CrossAttentionGuidedDifference(nn.Module):
    """One CAGD layer, Eq. (6)–(14): (F_bef, F_aft, F_diff) → (F̂_bef, F̂_aft, F_diff),
    each (B, N, D).

    F̂_m = CrossAtt_m(F_m, F_diff); F̂_diff = F̂_aft − F̂_bef; SelfAtt = LN(MHA(F̂_diff)
    + F̂_diff); F_diff ← SelfAtt(F̂_diff) + F_diff.

    Table VI's switches: without ``cross_attention`` F̂_m = F_m; without
    ``self_attention`` F_diff ← F̂_diff + F_diff.
    """

    def __init__(
        self,
        dimension: int,
        *,
        heads: int,
        dropout: float,
        cross_attention: bool = True,
        self_attention: bool = True,
    ) -> None:
        super().__init__()
        self.cross = (
            nn.ModuleDict(
                {
                    m: CrossAttention(dimension, heads=heads, dropout=dropout)
                    for m in DATE_KEYS
                }
            )
            if cross_attention
            else None
        )
        self.attention = (
            Attention(dimension, heads=heads, dropout=dropout)
            if self_attention
            else None
        )
        self.norm = nn.LayerNorm(dimension) if self_attention else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, F_bef: Tensor, F_aft: Tensor, F_diff: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if self.cross is not None:
            F_bef, F_aft = (
                self.cross["bef"](F_bef, F_diff),
                self.cross["aft"](F_aft, F_diff),
            )
        difference = F_aft - F_bef
        if self.attention is not None and self.norm is not None:
            difference = self.norm(
                self.dropout(self.attention(difference, difference)) + difference
            )
        return F_bef, F_aft, difference + F_diff


class SENDifference(nn.Module):
    """SFE, positions and N_e layers of CAGD: features and images → `Memory` with tokens
    (B, h·w, D).

    A single-stream extractor's F is the first F_diff. For a ``dual`` one (S = 2), where
    there is no joint feature, the first F_diff is the difference of the two, after −
    before.

    The memory's parts are ``sfe_bef``, ``sfe_aft`` (before positions), ``cagd_bef``,
    ``cagd_aft``.
    """

    def __init__(
        self,
        dimension: int = 512,
        *,
        stride: int,
        layers: int = 2,
        heads: int = 8,
        dropout: float = 0.5,
        position_dropout: float = 0.1,
        reduction: int = 16,
        kernel_size: int = 1,
        shared_convolution: bool = True,
        channel_attention: bool = True,
        cross_attention: bool = True,
        self_attention: bool = True,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.sfe = ShallowFeatureEmbedding(
            dimension,
            stride=stride,
            kernel_size=kernel_size,
            reduction=reduction,
            shared_convolution=shared_convolution,
            channel_attention=channel_attention,
        )
        self.date_positions = SinusoidalPositions(dimension, dropout=position_dropout)
        self.pair_positions = SinusoidalPositions(dimension, dropout=position_dropout)
        self.layers = nn.ModuleList(
            CrossAttentionGuidedDifference(
                dimension,
                heads=heads,
                dropout=dropout,
                cross_attention=cross_attention,
                self_attention=self_attention,
            )
            for _ in range(layers)
        )

    def forward(self, features: Tensor, images: Tensor) -> Memory:
        """Features (B, S, D, h, w) and normalised images (B, 2, 3, H, W) → memory."""
        _, S, D, h, w = features.shape
        if S not in (1, 2) or self.dimension != D:
            raise ShapeError(
                f"features are (B, 1 or 2, {self.dimension}, h, w); got "
                f"{tuple(features.shape)}"
            )
        sfe_bef, sfe_aft = (_tokens(F) for F in self.sfe(features, images))
        F_bef, F_aft = self.date_positions(sfe_bef), self.date_positions(sfe_aft)
        F_diff = self.pair_positions(
            _tokens(features[:, 0] if S == 1 else features[:, 1] - features[:, 0])
        )
        for layer in self.layers:
            F_bef, F_aft, F_diff = layer(F_bef, F_aft, F_diff)
        parts = {
            "sfe_bef": sfe_bef,
            "sfe_aft": sfe_aft,
            "cagd_bef": F_bef,
            "cagd_aft": F_aft,
        }
        return Memory(F_diff, (h, w), parts)


def _tokens(F: Tensor) -> Tensor:
    return F.flatten(2).transpose(1, 2)  # (B, D, h, w) → (B, h·w, D)
