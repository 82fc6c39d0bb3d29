"""Watching a pre-training without labels: is a place found again in another season, and
do embeddings spread?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sencap.errors import DataError
from sencap.pretraining.contrast import Encoder
from sencap.pretraining.loading import PlaceSource, read_checked
from sencap.pretraining.views import whole

# Places that go through the encoder at once.
CHUNK = 64


def recall_at_1(a: Tensor, b: Tensor) -> float:
    """The share of rows of ``a`` (P, d) nearest by cosine to the same row of ``b``, and
    the reverse; their mean.

    0–1; by chance 1/P. A tie counts as not found, so that embeddings that are all the
    same score 0.
    """
    a, b = F.normalize(a.double(), dim=1), F.normalize(b.double(), dim=1)
    return (_found(a, b) + _found(b, a)) / 2


def _found(queries: Tensor, gallery: Tensor) -> float:
    found = 0
    for start in range(0, len(queries), 1024):
        similarity = queries[start : start + 1024] @ gallery.T
        rows = torch.arange(len(similarity), device=similarity.device)
        # The similarity of a place to itself on the other date, against that to all
        # others.
        own = similarity[rows, rows + start].clone()
        similarity[rows, rows + start] = -torch.inf
        found += int((own > similarity.amax(1)).sum())
    return found / len(queries)


def spread(x: Tensor) -> float:
    """How far normalised embeddings (P, d) lie apart: √d · mean over the dimensions of
    their standard deviation.

    1 for directions evenly spread over the sphere, 0 when all are the same (collapse).
    """
    x = F.normalize(x.double(), dim=1)
    # Of P evenly spread unit vectors each dimension has the deviation 1/√d, hence the
    # factor.
    return float(x.std(0, correction=0).mean() * x.shape[1] ** 0.5)


def figures(
    encoder: Encoder,
    places: PlaceSource,
    chosen: Sequence[int],
    *,
    side: int,
    dates: int,
) -> dict[str, float]:
    """The watching figures of an encoder on held-out places; its mode is left as it
    was.

    Of each place two dates are taken, the first and the middle one of those it has (of
    four seasons: half a year apart), each as an input of its own: alone, or, for an
    encoder of two dates, as Concat(I_i, I_i). So one season is all that an input shows,
    and methods of one and of two dates are measured alike.

    Returns:
        ``recall`` and ``spread`` of the backbone's pooled features (what is handed on),
        ``recall_embedding`` and ``spread_embedding`` of sub-space 0 after the head;
        ``places``: how many could be read, and are compared.

    Raises:
        DataError: none of the places can be read; those that cannot are passed over.
    """
    training = encoder.training
    # With the statistics of the training, so that a place's features do not depend on
    # the places beside it.
    encoder.eval()
    features: tuple[list[Tensor], list[Tensor]] = ([], [])
    embeddings: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.no_grad():
        for number, images in _inputs(encoder, places, chosen, side=side, dates=dates):
            found = encoder.features(images)
            features[number].append(found)
            # Sub-space 0, which SeCo shares with MoCo: there all differences are
            # overlooked.
            embeddings[number].append(encoder.project(found)[0])
    encoder.train(training)
    if not features[0]:
        raise DataError(f"none of the {len(chosen)} held-out places can be read")
    result: dict[str, float] = {"places": sum(map(len, features[0]))}
    for name, (first, second) in (("", features), ("_embedding", embeddings)):
        a, b = torch.cat(first), torch.cat(second)
        result["recall" + name] = recall_at_1(a, b)
        result["spread" + name] = (spread(a) + spread(b)) / 2
    return result


def calibrated(
    encoder: Encoder,
    places: PlaceSource,
    chosen: Sequence[int],
    *,
    side: int,
    dates: int,
) -> Encoder:
    """A copy whose BatchNorm statistics are those of the places.

    A network of random weights is measured so: the statistics it was born with fit no
    images.
    """
    encoder = copy.deepcopy(encoder).train()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            # The plain mean over the batches that follow.
            module.momentum = None
    with torch.no_grad():
        for _, images in _inputs(encoder, places, chosen, side=side, dates=dates):
            encoder(images)
    return encoder


def _inputs(
    encoder: Encoder,
    places: PlaceSource,
    chosen: Sequence[int],
    *,
    side: int,
    dates: int,
) -> Iterator[tuple[int, Tensor]]:
    """(0 or 1: first or middle date, inputs (b, n, 3, side, side)) in chunks of at most
    `CHUNK` places.

    Places that cannot be read are passed over.
    """
    device = encoder.mean.device
    for start in range(0, len(chosen), CHUNK):
        pairs = []
        for index in chosen[start : start + CHUNK]:
            try:
                images = read_checked(places, index)
            except DataError:
                continue
            # First and middle date, each resized whole, without chance.
            two = torch.from_numpy(np.ascontiguousarray(images[[0, len(images) // 2]]))
            pairs.append(whole(two[:, None].to(device), side))  # (2, 1, 3, side, side)
        if not pairs:
            continue
        both = torch.stack(pairs, dim=1)  # (2, b, 1, 3, side, side)
        for number in (0, 1):
            # One date stands for all dates of an input: (b, 1, 3, side, side) → (b, n,
            # 3, …).
            yield number, both[number].expand(-1, dates, -1, -1, -1)
