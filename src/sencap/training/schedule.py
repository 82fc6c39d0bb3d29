"""The two schedules of the learning rate."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from sencap.config import OptimisationSettings


def decoder_plateau(
    optimiser: Optimizer, settings: OptimisationSettings
) -> ReduceLROnPlateau:
    """The paper's: after ``patience`` epochs in a row without a better score the
    decoder's learning rate is multiplied by ``decay``, and the count starts anew."""
    # PyTorch would lower the rates of all groups. That of each other group is its own
    # least, so that only the decoder's falls.
    least = [
        0.0 if group["name"] == "decoder" else group["lr"]
        for group in optimiser.param_groups
    ]
    return ReduceLROnPlateau(
        optimiser,
        mode="max",
        factor=settings.decay,
        # PyTorch counts the epochs that are put up with, the paper those after which
        # the rate falls: one more.
        patience=settings.patience - 1,
        # Any gain over the best score counts, however small.
        threshold=0.0,
        min_lr=least,
        eps=0.0,
    )


def warm_cosine(optimiser: Optimizer, *, steps: int, epochs: int) -> LambdaLR:
    """One epoch of rising, then down to zero along a cosine, of all groups alike."""
    warm = max(1, steps // epochs)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        # Half a period of the cosine over the steps that are left: 1 at its begin, 0 at
        # its end.
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return LambdaLR(optimiser, share)
