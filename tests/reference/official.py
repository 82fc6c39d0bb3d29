"""SEN as modules of the SEN authors' names, written from SPEC's equations with
nn.MultiheadAttention.

Only names and equations are theirs. A test pickles these modules whole, as the authors'
checkpoints are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torchvision  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F


def extractor(
    D: int, *, depth: int = 18, stage: int = 4, named: bool = False
) -> nn.Sequential:
    """Sequential(resnet on 6 channels, projection); ``named``: the resnet's children
    keep their names."""
    resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    resnet.conv1 = nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False)
    children = dict(list(resnet.named_children())[: 4 + stage])
    width = {2: 128, 3: 256, 4: 512}[stage] * (4 if depth >= 50 else 1)
    body = nn.Sequential()
    for number, (name, child) in enumerate(children.items()):
        body.add_module(name if named else str(number), child)
    return nn.Sequential(body, nn.Conv2d(width, D, 1))


class Positions(nn.Module):
    def __init__(
        self, D: int, *, dropout: float, length: int = 256, unused: bool = False
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(length)[:, None]
        rate = 1.0 / 10_000 ** (torch.arange(0, D, 2) / D)
        table = torch.stack(
            [torch.sin(position * rate), torch.cos(position * rate)], 2
        ).reshape(length, 1, D)
        self.register_buffer("pe", table)
        if unused:
            self.embedding_1D = nn.Embedding(52, D)

    def forward(self, x: Tensor) -> Tensor:
        """(L, B, D) → (L, B, D)."""
        pe: Any = self.pe
        out: Tensor = self.dropout(x + pe[: len(x)])
        return out


class ChannelAttention(nn.Module):
    def __init__(self, D: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(D, D // 16, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(D // 16, D, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Eq. (5)'s weight."""
        pooled = (
            self.mlp(x.mean((2, 3), keepdim=True)),
            self.mlp(x.amax((2, 3), keepdim=True)),
        )
        return torch.sigmoid(pooled[0] + pooled[1])


class CrossAttention(nn.Module):
    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(D, heads, dropout=0.5)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.linear1, self.linear2 = nn.Linear(D, 2 * D), nn.Linear(2 * D, D)

    def forward(self, date: Tensor, pair: Tensor) -> Tensor:
        """Eq. (7)–(10)."""
        x = self.norm1(date + self.attn(date, pair, pair)[0])
        out: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return out


class Block(nn.Module):
    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.cross_attn_bef, self.cross_attn_aft = (
            CrossAttention(D, heads),
            CrossAttention(D, heads),
        )
        self.attn = nn.MultiheadAttention(D, heads, dropout=0.5)
        self.norm = nn.LayerNorm(D)

    def forward(
        self, bef: Tensor, aft: Tensor, pair: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. (6)–(14)."""
        bef, aft = self.cross_attn_bef(bef, pair), self.cross_attn_aft(aft, pair)
        x = aft - bef
        return bef, aft, self.norm(self.attn(x, x, x)[0] + x) + pair


class Encoder(nn.Module):
    def __init__(
        self,
        D: int,
        *,
        heads: int = 8,
        layers: int = 2,
        stride: int = 32,
        kernel: int = 1,
    ) -> None:
        super().__init__()
        self.embed_img = nn.Conv2d(3, D, kernel, stride=stride, padding=kernel // 2)
        self.channel_attn_bef, self.channel_attn_aft = (
            ChannelAttention(D),
            ChannelAttention(D),
        )
        self.pe_img, self.pe_feat = Positions(D, dropout=0.1), Positions(D, dropout=0.1)
        self.blocks = nn.ModuleList(Block(D, heads) for _ in range(layers))

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Features (B, D, h, w), normalised images (B, 6, H, W) → (N, B, D)."""

        def tokens(x: Tensor) -> Tensor:
            return x.flatten(2).permute(2, 0, 1)

        bef = self.channel_attn_bef(self.embed_img(images[:, :3])) * features
        aft = self.channel_attn_aft(self.embed_img(images[:, 3:])) * features
        bef, aft = self.pe_img(tokens(bef)), self.pe_img(tokens(aft))
        pair: Tensor = self.pe_feat(tokens(features))
        for block in self.blocks:
            bef, aft, pair = block(bef, aft, pair)
        return pair


class DecoderLayer(nn.Module):
    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(D, heads, dropout=0.5)
        self.multihead_attn2 = nn.MultiheadAttention(D, heads, dropout=0.5)
        self.linear1, self.linear2 = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.norm1, self.norm2, self.norm3 = (
            nn.LayerNorm(D),
            nn.LayerNorm(D),
            nn.LayerNorm(D),
        )

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Eq. (16)."""
        x = self.norm1(x + self.self_attn(x, x, x, attn_mask=mask)[0])
        x = self.norm2(x + self.multihead_attn2(x, memory, memory)[0])
        out: Tensor = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        return out


class Layers(nn.Module):
    def __init__(self, D: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(D, heads) for _ in range(layers))


class Decoder(nn.Module):
    def __init__(self, D: int, V: int, *, heads: int = 8, layers: int = 1) -> None:
        super().__init__()
        self.vocab_embedding = nn.Embedding(V, D)
        self.transformer = Layers(D, heads, layers)
        self.position_encoding = Positions(D, dropout=0.1, length=52, unused=True)
        self.wdc = nn.Linear(D, V)
        self.dropout = nn.Dropout(0.5)

    def forward(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Memory (N, B, D) and tokens (B, T) → logits (B, T, V)."""
        x = self.position_encoding(self.vocab_embedding(tokens.T))
        mask = torch.full((len(x), len(x)), -math.inf).triu(1)
        for layer in self.transformer.layers:
            x = layer(x, memory, mask)
        logits: Tensor = self.wdc(self.dropout(x))
        return logits.transpose(0, 1)


class Wrapped(nn.Module):
    """Keeps a module as torch.compile's wrapper does, under ``_orig_mod``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


def modules(
    D: int = 32,
    V: int = 12,
    *,
    depth: int = 18,
    stage: int = 4,
    named: bool = False,
    **sizes: int,
) -> dict[str, nn.Module]:
    """The three modules under the keys of the authors' files. ``sizes``: N_e, N_d,
    heads, kernel."""
    heads = sizes.get("heads", 8)
    encoder = Encoder(
        D,
        heads=heads,
        layers=sizes.get("N_e", 2),
        stride=2 ** (stage + 1),
        kernel=sizes.get("kernel", 1),
    )
    return {
        "encoder_image": extractor(D, depth=depth, stage=stage, named=named),
        "encoder_feat": encoder,
        "decoder": Decoder(D, V, heads=heads, layers=sizes.get("N_d", 1)),
    }


@torch.inference_mode()
def logits(parts: dict[str, nn.Module], images: Tensor, tokens: Tensor) -> Tensor:
    """Pixels (B, 2, 3, H, W), values 0–255, and tokens (B, T) → logits (B, T, V)."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pair = ((images.float() / 255 - mean[:, None, None]) / std[:, None, None]).flatten(
        1, 2
    )
    features = parts["encoder_image"](pair)
    out: Tensor = parts["decoder"](parts["encoder_feat"](features, pair), tokens)
    return out
