"""The captioner: normalisation, extractor, difference encoder and decoder, put together
once for all systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sencap.config import ModelSettings
from sencap.errors import ShapeError
from sencap.models.decoders import Decoder
from sencap.models.domain import Domain
from sencap.structures import Memory


class Captioner(nn.Module):
    """Raw images in, logits of the next words out.

    The parts know nothing of each other's classes: the extractor makes features (B, S,
    D, h, w) of normalised images, the difference encoder makes a `Memory` of features
    and images, the decoder makes logits of a memory and tokens. Normalisation is part
    of the model, so callers hand over raw pixels.
    """

    mean: Tensor
    std: Tensor
    # what it was built with, every number in its place; set by whoever builds by name
    settings: ModelSettings

    def __init__(
        self,
        extractor: nn.Module,
        difference: nn.Module,
        decoder: nn.Module,
        *,
        mean: Iterable[float],
        std: Iterable[float],
        change: nn.Module | None = None,
        domain: Domain | None = None,
    ) -> None:
        super().__init__()
        self.extractor = extractor
        self.difference = difference
        self.decoder = decoder
        self.change = change
        self.domain = domain
        self.register_buffer(
            "mean", torch.tensor(tuple(mean)).view(3, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(tuple(std)).view(3, 1, 1), persistent=False
        )

    @property
    def search_decoder(self) -> Decoder:
        """The decoder, seen through the contract that search uses."""
        return self.decoder  # type: ignore[return-value]  # nn.Module attributes are Module to mypy

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels 0–255 (uint8, or float of the same range) → zero mean and unit
        deviation per channel."""
        return (images.float() / 255.0 - self.mean) / self.std

    def encode(self, images: Tensor) -> Memory:
        """Pixels (B, 2, 3, H, W), values 0–255, before first → the memory a decoder
        looks at.

        Raises:
            ShapeError: another shape.
        """
        if images.ndim != 5 or images.shape[1:3] != (2, 3):
            raise ShapeError(
                f"images are (B, 2, 3, H, W), before first; got {tuple(images.shape)}"
            )
        normalised = self.normalise(images)
        if self.domain is None:
            return self.remember(self.extractor(normalised), normalised)
        extractor: Any = self.extractor
        maps = extractor.maps(normalised)
        memory = self.remember(extractor.features(maps), normalised)
        return dataclasses.replace(memory, distance=self.domain(extractor.means(maps)))

    def remember(self, features: Tensor, normalised: Tensor) -> Memory:
        """Features and the normalised images → the memory, change heads included."""
        memory: Memory = self.difference(features, normalised)
        if self.change is not None:
            memory = self.change(memory)
        return memory

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Pixels (B, 2, 3, H, W) and tokens (B, K, T) of K captions per pair → logits
        (B, K, T, V)."""
        if tokens.ndim != 3 or len(tokens) != len(images):
            raise ShapeError(
                f"tokens are (B, K, T) with B = {len(images)} as the images; got "
                f"{tuple(tokens.shape)}"
            )
        logits: Tensor = self.decoder(self.encode(images), tokens)
        return logits


def count_parameters(captioner: Captioner) -> dict[str, int]:
    """Every parameter counted, by part and in ``total``.

    The parts are ``extractor``, ``difference``, ``decoder`` and, where there are any,
    ``change``.
    """
    counts = {}
    for name, part in captioner.named_children():
        if not isinstance(part, Domain):  # which has none
            counts[name] = sum(parameter.numel() for parameter in part.parameters())
    return {**counts, "total": sum(counts.values())}
