"""Weights of a real module as NumPy arrays, and modules whose every weight is
random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
M = TypeVar("M", bound=nn.Module)


def weights_of(module: nn.Module) -> dict[str, Array]:
    return {
        name: tensor.double().numpy() for name, tensor in module.state_dict().items()
    }


def part(weights: Weights, prefix: str) -> dict[str, Array]:
    """The weights of the submodule ``prefix``, under the names they have there."""
    found = {
        n.removeprefix(f"{prefix}."): w
        for n, w in weights.items()
        if n.startswith(f"{prefix}.")
    }
    assert found, f"no weights under {prefix!r}; there are {sorted(weights)}"
    return found


def randomised(module: M, seed: int, spread: float = 0.2) -> M:
    """In evaluation mode, every parameter drawn anew, normal: around 1 the weights of
    norms, else around 0.

    A bias of 0 or a LayerNorm weight of 1 that the twin forgets would go unnoticed
    otherwise.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part_of_it in module.modules():
            is_norm = isinstance(
                part_of_it, nn.LayerNorm | nn.BatchNorm2d | nn.GroupNorm
            )
            for name, parameter in part_of_it.named_parameters(recurse=False):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(float(is_norm and name == "weight") + spread * noise)
    return module.eval()
