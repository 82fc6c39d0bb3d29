"""How far the images of a pair are from those that a model was trained on.

Weights that learnt from aerial photographs answer for a satellite's ten-metre pixels
too, and are wrong there more often. This tells the one from the other, by what the
backbone sees: the mean of each channel over an image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The share of the identity in the covariance, without which it has no inverse
SHRINKAGE = 0.03
KNOWN_SHARE = 0.98  # of the selection pairs lie within the limit


class Domain(nn.Module):
    """Means of channels (B, S, C), S images of a pair → the pair's distance (B,): 1 is
    the limit.

    d = max over the images of ‖W (x − c)‖ / limit, the Mahalanobis distance to the
    training images: c (C,) is their mean, Wᵀ W the inverse of their covariance. Nothing
    here is trained; `fit` computes it once training is over. Before that every distance
    is 0.
    """

    centre: Tensor
    whitening: Tensor
    limit: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("whitening", torch.zeros(channels, channels))
        self.register_buffer("limit", torch.ones(1))

    def forward(self, means: Tensor) -> Tensor:
        """See the class."""
        apart = (means - self.centre) @ self.whitening.T  # (B, S, C)
        distances = torch.linalg.vector_norm(apart, dim=-1)
        found: Tensor = distances.amax(1) / self.limit
        return found

    @torch.no_grad()
    def fit(self, trained: Tensor, selection: Tensor) -> None:
        """Learn from the means of the training pairs and of the selection pairs,
        (pairs, S, C) each."""
        images = trained.double().flatten(0, 1)
        centre, deviation = images.mean(0), images.std(0).clamp_min(1e-6)
        scaled = (images - centre) / deviation
        covariance = scaled.T @ scaled / len(scaled)
        identity = torch.eye(len(centre), dtype=torch.double)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * identity
        # of the inverse A = L Lᵀ, so that ‖Lᵀ x‖² = xᵀ A x
        root = torch.linalg.cholesky(torch.linalg.inv(covariance))
        self.centre.copy_(centre)
        self.whitening.copy_(root.T / deviation)
        self.limit.fill_(1.0)
        self.limit.fill_(float(torch.quantile(self(selection.float()), KNOWN_SHARE)))
