"""What a training step makes small: the loss of the words, and those of the change
heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sencap.config import ChangeSettings
from sencap.data.masks import BUILDING
from sencap.structures import Memory


def caption_loss(
    logits: Tensor, tokens: Tensor, *, pad: int, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy per word, padding ignored: logits (B, K, T-1, V) of tokens (B, K,
    T) without their first.

    The mean runs over all words of all captions, so that K captions of B pairs weigh as
    K·B samples do. Of pairs that have no captions at all it is 0.
    """
    targets = tokens[..., 1:].flatten()
    # The mean over no word would be NaN. This 0 depends on the logits, so that it still
    # has a gradient to go back by.
    if bool((targets == pad).all()):
        return logits.sum() * 0.0
    # (B, K, T-1, V) → (B·K·(T-1), V), in single precision even where the model computes
    # in bfloat16.
    return F.cross_entropy(
        logits.flatten(0, 2).float(),
        targets,
        ignore_index=pad,
        label_smoothing=label_smoothing,
    )


def map_loss(memory: Memory, penalty: float) -> Tensor | None:
    """What attention maps that look everywhere lose, as in DUDA's published code: the
    sum of a map over its cells, times ``penalty``; the mean over dates and pairs.

    None where nothing is penalised.
    """
    if not penalty:
        return None
    maps = [memory.parts["attention_bef"], memory.parts["attention_aft"]]
    sums = torch.stack(maps).float().sum((2, 3))  # (2, B)
    return penalty * sums.mean()


def change_losses(
    memory: Memory,
    flags: Tensor,
    masks: Tensor,
    masked: Tensor,
    settings: ChangeSettings,
) -> dict[str, Tensor]:
    """The weighted losses of the change heads that there are, by name: ``flag`` and
    ``mask``.

    ``flags``, ``masks`` and ``masked`` as in `sencap.training.loading.Batch`. Both are
    binary cross-entropies: of the flag where it is known; of each cell's share of
    changed building where the pair has a mask. A batch in which nothing is known loses
    nothing.
    """
    losses = {}
    if memory.flag is not None:
        # NaN marks a pair of which it is not known whether it changed.
        known = ~flags.isnan()
        losses["flag"] = settings.flag * _cross_entropy(
            memory.flag[known], flags[known]
        )
    if memory.mask is not None:
        # Roads are left out: the head learns new or vanished buildings alone.
        building = (masks[masked] == BUILDING).float()
        # The model answers per cell of its grid, the mask is per pixel: a cell's target
        # is the share of its pixels that changed, (pairs, H, W) → (pairs, h, w) →
        # (pairs, N).
        shares = F.adaptive_avg_pool2d(building, memory.grid).flatten(1)  # (pairs, N)
        losses["mask"] = settings.mask * _cross_entropy(memory.mask[masked], shares)
    return losses


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    if not len(logits):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits.float(), targets)
