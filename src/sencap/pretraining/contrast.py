"""Momentum contrast: encoder, queue, InfoNCE, and one step of MoCo-v2 or SeCo.

Shapes: B places per process, n dates per input, d the embedding's width, K the queue's
length, S sub-spaces (1; SeCo: 3). The sources are the papers of MoCo, MoCo-v2 and SeCo
and the SEN paper's Eq. (1).

By hand, since the libraries of self-supervised learning know one image per input and
one queue: pairs of dates, SeCo's sub-spaces and a run that resumes to the same weights
would all have to be put into them from outside, and MoCo itself is the hundred lines
below.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from sencap.errors import ShapeError
from sencap.pretraining.settings import ContrastSettings


class Encoder(nn.Module):
    """A backbone, its pooled features, and a 2-layer MLP head per sub-space.

    Images (B, n, 3, H, W), float in [0, 1] → embeddings (S, B, d) of length one. The n
    dates are concatenated on the channel axis in the order given; mean and std are
    buffers, the same for each date. ``backbone`` gives a list of feature maps, of which
    the last, with ``channels`` channels, is used.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        *,
        dimension: int,
        spaces: int = 1,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dimension)
            )
            for _ in range(spaces)
        )
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 1, 3, 1, 1))

    def features(self, images: Tensor) -> Tensor:
        """The pooled features (B, C)."""
        x = ((images - self.mean) / self.std).flatten(1, 2)  # (B, 3n, H, W)
        feature_map: Tensor = self.backbone(
            x.contiguous(memory_format=torch.channels_last)
        )[-1]
        # The mean over all cells, (B, C, h, w) → (B, C).
        return feature_map.mean((2, 3))

    def project(self, features: Tensor) -> Tensor:
        """Features (B, C) → embeddings (S, B, d), float32, of length one."""
        return torch.stack(
            [F.normalize(head(features).float(), dim=1) for head in self.heads]
        )

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.project(self.features(images))


class Queue(nn.Module):
    """The last K keys, oldest overwritten first, with the number of the place each came
    from.

    It starts empty, and what is not filled yet is no negative: at the first step there
    are none and the loss is 0, so that neither noise nor a place's own key is ever
    among them. A batch that does not divide K wraps around the end; every key is stored
    exactly once.
    """

    keys: Tensor
    places: Tensor
    next: Tensor
    filled: Tensor

    def __init__(self, length: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(length, dimension))
        self.register_buffer("places", torch.full((length,), -1))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, places: Tensor) -> None:
        """Take in the keys (B, d) of a batch and the numbers (B,) of their places.

        Raises:
            ShapeError: more keys than the queue is long.
        """
        K, B = len(self.keys), len(keys)
        if B > K:
            raise ShapeError(
                f"{B} keys do not fit into a queue of {K}; lengthen contrast.queue"
            )
        # A ring: the places after the newest key, over the end to the beginning.
        index = (self.next + torch.arange(B, device=self.next.device)) % K
        self.keys.index_copy_(0, index, keys.detach().to(self.keys))
        self.places.index_copy_(0, index, places)
        self.next.add_(B).remainder_(K)
        self.filled.add_(B).clamp_(max=K)

    def allowed(self, places: Tensor, *, mask_own: bool) -> Tensor:
        """Which keys may be negatives of the places (B,): bool (B, K), or (1, K) if the
        same for all."""
        # (K,) → (1, K): places of the queue that hold a key by now.
        numbers = torch.arange(len(self.keys), device=self.keys.device)
        filled = (numbers < self.filled)[None]
        if not mask_own:
            return filled
        # (1, K) against (B, 1) → (B, K): a key of the same place, from an earlier epoch,
        # is no negative.
        return filled & (self.places[None] != places[:, None])


def info_nce(
    q: Tensor,
    positive: Tensor,
    negatives: Tensor,
    *,
    allowed: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Eq. (1): −log exp(q·k₊/τ) / (exp(q·k₊/τ) + Σ exp(q·k₋/τ)), the mean over a batch.

    ``q`` and ``positive`` (B, d), ``negatives`` (K, d), ``allowed`` bool (B or 1, K):
    which of them count. Computed in float32 at least. No gradient runs into the keys.

    Returns:
        The loss, and the share of places whose positive is nearer than every negative.
    """
    with torch.autocast(q.device.type, enabled=False):
        # q·k of length-one embeddings is the cosine: (B, 1) of the positive, (B, K) of
        # the negatives. A key that is left out is at minus infinity, where its
        # exponential is 0.
        own = (q * positive.detach()).sum(1, keepdim=True)
        others = (q @ negatives.detach().to(q).T).masked_fill(~allowed, -torch.inf)
        logits = torch.cat([own, others], dim=1) / temperature
        # Eq. (1) in logarithms, which do not overflow at a small temperature.
        loss = (logits.logsumexp(1) - logits[:, 0]).mean()
    nearer = (own[:, 0] > others.amax(1)).float().mean()
    return loss, nearer


@dataclass(frozen=True)
class ContrastStep:
    """The loss of one step (with its gradient), and how often the positive was the
    nearest key."""

    loss: Tensor
    nearest: Tensor


class MomentumContrast(nn.Module):
    """Query encoder, key encoder and one queue per sub-space.

    The key encoder has no gradient; before each step its weights move towards the query
    encoder's: k ← m·k + (1 − m)·q. Its BatchNorm statistics are its own.

    Shuffling BN: query and key of a place must not share their BatchNorm statistics, or
    these give the place away. MoCo shuffles the keys among GPUs. Here each process
    splits its batch into ``groups`` that are normalised apart, and deals the keys out
    to them in a random order. That works in one process as well as in several, and no
    image travels between them.

    With several processes the keys are gathered in the processes' order, so that all
    queues stay identical.
    """

    def __init__(self, encoder: Encoder, settings: ContrastSettings) -> None:
        super().__init__()
        self.settings = settings
        self.query = encoder
        # Both begin with the same weights. The key encoder learns by `follow` alone.
        self.key = copy.deepcopy(encoder).requires_grad_(False)
        self.queues = nn.ModuleList(
            Queue(settings.queue, settings.dimension) for _ in encoder.heads
        )

    def forward(
        self, views: Sequence[Tensor], places: Tensor, generator: torch.Generator
    ) -> ContrastStep:
        """One step: the query's view and a key's view per sub-space, each (B, n, 3, H,
        W); places (B,).

        Sub-space 0 contrasts with its queue alone. In SeCo's others the views that show
        what the sub-space must tell apart (all other keys of the batch) are negatives
        too. The losses are added up. The ``generator`` (CPU) draws the keys' order.

        Raises:
            ShapeError: another number of views.
        """
        S = len(self.queues)
        if len(views) != 1 + S:
            raise ShapeError(f"{S} sub-space(s) take {1 + S} views; got {len(views)}")
        # As in MoCo, before the keys of this batch are made.
        self.follow()
        # One embedding of the query per sub-space, (S, B, d).
        features = self._in_groups(self.query.features, views[0], None)
        z_q = self.query.project(features)
        # Per key's view one embedding per sub-space, (S, B, d).
        with torch.no_grad():
            z_k = [
                self.key.project(self._shuffled(view, generator)) for view in views[1:]
            ]
        losses, nearest = [], []
        for s in range(S):
            queue: Queue = self.queues[s]  # type: ignore[assignment]
            # The queue holds keys of earlier batches only: those of this one come in at
            # the end.
            allowed = queue.allowed(places, mask_own=self.settings.mask_own)
            # A copy: the keys of this batch will overwrite some before the backward
            # pass.
            negatives = queue.keys.clone()
            # Keys of the other views, in this sub-space's embedding, (B·(S-1), d). The
            # sub-space is to tell their difference from its own positive, so they are
            # negatives, a place's own among them.
            if s > 0:
                others = torch.cat([z_k[v][s] for v in range(S) if v != s])
                negatives = torch.cat([negatives, others])
                allowed = torch.cat(
                    [allowed, allowed.new_ones(len(allowed), len(others))], dim=1
                )
            loss, nearer = info_nce(
                z_q[s],
                z_k[s][s],
                negatives,
                allowed=allowed,
                temperature=self.settings.temperature,
            )
            losses.append(loss)
            nearest.append(nearer)
        # Last, so that no key meets itself as a negative.
        gathered_places = gathered(places)
        for s in range(S):
            self.queues[s].enqueue(gathered(z_k[s][s]), gathered_places)  # type: ignore[operator]
        return ContrastStep(torch.stack(losses).sum(), torch.stack(nearest).mean())

    @torch.no_grad()
    def follow(self) -> None:
        """Move the key encoder's weights towards the query encoder's."""
        # k + (1 − m)(q − k) = m·k + (1 − m)·q. Buffers are left alone: the key
        # encoder's BatchNorm statistics are those of its own inputs.
        for k, q in zip(self.key.parameters(), self.query.parameters(), strict=True):
            k.lerp_(q, 1 - self.settings.momentum)

    def _shuffled(self, view: Tensor, generator: torch.Generator) -> Tensor:
        # The queries stay in order and the keys are dealt out anew, so that a place's
        # key is normalised with other places than its query.
        order = torch.randperm(len(view), generator=generator).to(view.device)
        return self._in_groups(self.key.features, view, order)

    def _in_groups(
        self, features: Callable[[Tensor], Tensor], view: Tensor, order: Tensor | None
    ) -> Tensor:
        # At least two inputs in a group: of one alone the statistics would be its own.
        groups = max(1, min(self.settings.groups, len(view) // 2))
        if groups == 1:
            return features(view)
        dealt = view if order is None else view[order]
        found = torch.cat([features(part) for part in dealt.tensor_split(groups)])
        # argsort of an order is its inverse: every key comes back to its place's row.
        return found if order is None else found[order.argsort()]


def gathered(values: Tensor) -> Tensor:
    """The values of all processes, in the processes' order; each must have as many.
    Without gradient."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values.detach()
    # all_gather gives tensors without gradient, as the keys are.
    shares = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shares, values.detach().contiguous())
    return torch.cat(shares)
