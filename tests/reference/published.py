"""The compared systems as modules of torch.nn's usual names, written from SPEC's facts:
what a public checkpoint of theirs holds, and what it computes.

We had none of these files. The outermost names are those of SEN's authors' files, whose
decoder the others share; within the modules stand PyTorch's own names. Each module has a
forward pass of its own, with nn.MultiheadAttention, so that the converted weights can be
compared by what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torchvision  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F

from reference.official import Decoder as SharedDecoder
from reference.official import DecoderLayer, Layers

GRID = 2


def network(stage: int = 3) -> nn.Sequential:
    """A ResNet-18's children to a stage, numbered."""
    resnet = torchvision.models.resnet18(weights=None)
    return nn.Sequential(nn.Sequential(*list(resnet.children())[: 4 + stage]))


class Layer(nn.Module):
    """Post-norm attention with a feed-forward network."""

    def __init__(self, D: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(D, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(D, hidden), nn.Linear(hidden, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.norm1(x + self.attn(x, y, y)[0])
        out: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return out


class PreNorm(nn.Module):
    """PSNet's scale-aware layer."""

    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(D)
        self.attn = nn.MultiheadAttention(D, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(D)
        self.linear1, self.linear2 = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x: Tensor, others: Tensor) -> Tensor:
        asked, answers = self.norm1(x), self.norm1(others)
        a: Tensor = self.attn(asked, answers, answers)[0]
        out: Tensor = a + self.linear2(F.relu(self.linear1(self.norm2(a))))
        return out


class Begin(nn.Module):
    """1×1 convolution, rows and columns. The tables are made in the other order than
    ours, so that the names have to tell."""

    def __init__(self, C: int, D: int) -> None:
        super().__init__()
        self.w_embedding = nn.Embedding(GRID, D // 2)
        self.h_embedding = nn.Embedding(GRID, D // 2)
        self.projection = nn.Conv2d(C, D, 1)

    def begin(self, features: Tensor) -> list[Tensor]:
        """(B, 2, C, g, g) → two of (B, N, D)."""
        dates = []
        for date in range(2):
            x = self.projection(features[:, date]).flatten(2).transpose(1, 2)
            rows = self.h_embedding.weight.repeat_interleave(GRID, 0)
            columns = self.w_embedding.weight.repeat(GRID, 1)
            dates.append(x + torch.cat((rows, columns), 1))
        return dates


class MCCFormerS(Begin):
    def __init__(self, C: int, D: int) -> None:
        super().__init__(C, D)
        self.date_embedding = nn.Embedding(2, D)
        self.layers = nn.ModuleList(Layer(D, 4, 4 * D) for _ in range(2))

    def forward(self, features: Tensor) -> list[Tensor]:
        bef, aft = self.begin(features)
        e = self.date_embedding.weight
        z = torch.cat((bef + e[0], aft + e[1]), 1)
        for layer in self.layers:
            z = layer(z, z)
        return [torch.cat(z.chunk(2, 1), 2)] * 2


class MCCFormerD(Begin):
    def __init__(self, C: int, D: int) -> None:
        super().__init__(C, D)
        self.layers = nn.ModuleList(Layer(D, 4, 4 * D) for _ in range(2))

    def forward(self, features: Tensor) -> list[Tensor]:
        bef, aft = self.begin(features)
        for layer in self.layers:
            bef, aft = layer(bef, aft), layer(aft, bef)
        return [torch.cat((bef, aft), 2)] * 2


class RSICCformer(Begin):
    """RSICCformer_c, with a convolution that is never used, as the published one has."""

    def __init__(self, C: int, D: int) -> None:
        super().__init__(C, D)
        self.projection2 = nn.Conv2d(C + 2, D, 1)
        self.layers = nn.ModuleList(Layer(D, 8, 4 * D) for _ in range(3))

    def forward(self, features: Tensor) -> list[Tensor]:
        bef, aft = self.begin(features)
        for layer in self.layers:
            d = aft - bef
            bef, aft = layer(bef, d), layer(aft, d)
        return [torch.cat((bef, aft), 2)]


class PSNet(Begin):
    """The scale-aware layers are made before the progressive ones, which are used
    first: what has the same shapes must not be mixed up."""

    def __init__(self, C: int, D: int) -> None:
        super().__init__(C, D)
        self.scales = nn.ModuleList(PreNorm(2 * D, 8) for _ in range(3))
        self.progressive = nn.ModuleList(Layer(2 * D, 8, 4 * D) for _ in range(3))
        self.linears = nn.ModuleList(nn.Linear(2 * D, D) for _ in range(3))

    def forward(self, features: Tensor) -> list[Tensor]:
        bef, aft = self.begin(features)
        found = []
        for layer, linear in zip(self.progressive, self.linears, strict=True):
            y = torch.cat((bef, aft - bef), 2)
            bef = linear(layer(y, y))
            y = torch.cat((aft, aft - bef), 2)
            aft = linear(layer(y, y))
            found.append(torch.cat((bef, aft), 2))
        seen = []
        for number, scale in enumerate(self.scales):
            others = [found[i] for i in range(3) if i != number]
            seen.append(scale(found[number], torch.cat(others, 1)))
        return seen[::-1]


class Decoder(SharedDecoder):
    """The decoder of SEN's authors; each layer may look at another memory."""

    def __init__(self, D: int, V: int, *, heads: int, layers: int) -> None:
        super().__init__(D, V, heads=heads, layers=layers)
        self.transformer = Layers(D, heads, layers)

    def read(self, memories: list[Tensor], tokens: Tensor) -> Tensor:
        """Memories (B, N, D), one for each layer, and tokens (B, T) → logits."""
        x = self.position_encoding(self.vocab_embedding(tokens.T))
        mask = torch.full((len(x), len(x)), -math.inf).triu(1)
        layers: Any = self.transformer.layers
        assert all(isinstance(layer, DecoderLayer) for layer in layers)
        for layer, memory in zip(layers, memories, strict=True):
            x = layer(x, memory.transpose(0, 1), mask)
        logits: Tensor = self.wdc(x)
        return logits.transpose(0, 1)


# encoder, heads of the decoder, its layers, stage of the network, its channels
SYSTEMS: dict[str, tuple[Callable[[int, int], nn.Module], int, int, int, int]] = {
    "mccformer-s": (MCCFormerS, 4, 2, 3, 256),
    "mccformer-d": (MCCFormerD, 4, 2, 3, 256),
    "rsiccformer-c": (RSICCformer, 8, 1, 3, 256),
    "psnet": (PSNet, 8, 3, 4, 512),
}


def modules(system: str, D: int = 16, V: int = 12) -> dict[str, nn.Module]:
    """The three modules of a system under the keys of the files."""
    encoder, heads, layers, stage, channels = SYSTEMS[system]
    return {
        "encoder_image": network(stage),
        "encoder_feat": encoder(channels, D),
        "decoder": Decoder(2 * D, V, heads=heads, layers=layers),
    }


def features(extractor: nn.Module, images: Tensor) -> Tensor:
    """Pixels (B, 2, 3, H, W) → (B, 2, C, g, g)."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images.float() / 255 - mean[:, None, None]) / std[:, None, None]
    maps = F.adaptive_avg_pool2d(extractor(x.flatten(0, 1)), GRID)
    return maps.view(len(images), 2, *maps.shape[1:])


@torch.inference_mode()
def logits(parts: dict[str, Any], images: Tensor, tokens: Tensor) -> Tensor:
    """Pixels and tokens (B, T) → logits (B, T, V)."""
    memories = parts["encoder_feat"](features(parts["encoder_image"], images))
    out: Tensor = parts["decoder"].read(memories, tokens)
    return out


class Detector(nn.Module):
    """DUDA's dual attention, with coordinates and GroupNorm."""

    def __init__(self, C: int, hidden: int = 128) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv2d(2 * (C + 2), hidden, 1),
            nn.GroupNorm(32, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
        )
        self.att = nn.Conv2d(hidden, 1, 1)

    def forward(self, X: Tensor) -> list[Tensor]:
        """(B, 2, C, h, w) → l_bef, l_diff, l_aft, each (B, C + 2)."""
        h, w = X.shape[-2:]
        column = torch.linspace(-1, 1, w).expand(h, w)
        row = torch.linspace(-1, 1, h)[:, None].expand(h, w)
        places = torch.stack((column, row)).expand(len(X), 2, h, w)
        bef, aft = (torch.cat((X[:, i], places), 1) for i in range(2))
        seen = []
        for one in (bef, aft):
            a = torch.sigmoid(self.att(self.embed(torch.cat((one, aft - bef), 1))))
            seen.append((a * one).sum((2, 3)))
        return [seen[0], seen[1] - seen[0], seen[1]]


class Speaker(nn.Module):
    """DUDA's dynamic speaker."""

    def __init__(self, C: int, D: int, V: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, 300)
        self.att = nn.Linear(3 * (C + 2), D)
        self.module_lstm = nn.LSTMCell(2 * D, D)
        self.weigh = nn.Linear(D, 3)
        self.lstm = nn.LSTMCell(300 + C + 2, D)
        self.logit = nn.Linear(D, V)

    def forward(self, seen: list[Tensor], tokens: Tensor) -> Tensor:
        """Tokens (B, T) → logits (B, T, V)."""
        v = F.relu(self.att(torch.cat(seen, 1)))
        h = d = torch.zeros_like(v)
        cells = [torch.zeros_like(v)] * 2
        out = []
        for t in range(tokens.shape[1]):
            d, cells[0] = self.module_lstm(torch.cat((v, h), 1), (d, cells[0]))
            alpha = self.weigh(d).softmax(1)
            looked = sum(alpha[:, i, None] * seen[i] for i in range(3))
            x = F.relu(self.embed(tokens[:, t]))
            h, cells[1] = self.lstm(torch.cat((x, looked), 1), (h, cells[1]))
            out.append(self.logit(h))
        return torch.stack(out, 1)
