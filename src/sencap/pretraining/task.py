"""Pre-training as a Lightning module: views, one step of momentum contrast, SGD with a
cosine."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from sencap.pretraining.contrast import MomentumContrast
from sencap.pretraining.loading import ViewBatch
from sencap.pretraining.pairs import AUGMENTED
from sencap.pretraining.settings import PretrainingSettings
from sencap.pretraining.views import apply, draw_transforms


def make_views(
    images: Tensor, settings: PretrainingSettings, generator: torch.Generator
) -> list[Tensor]:
    """The views of a batch (B, V, n, 3, H, W) uint8, Γ drawn for each: V tensors (B, n,
    3, crop, crop) in [0, 1]."""
    # V views per place: the query's and one for each key.
    B, _, n, _, H, W = images.shape
    return [
        apply(
            images[:, number],
            draw_transforms(
                B, n, (H, W), settings.views, generator, augmented=augmented
            ),
            settings.views.crop,
        )
        for number, augmented in enumerate(AUGMENTED[settings.method])
    ]


class PretrainingTask(L.LightningModule):
    """The training of one encoder.

    What a batch draws (Γ, the keys' order, dropout) depends on seed, epoch, its number
    and process alone; queue and key encoder are in the resume file. So a run that was
    killed and resumed ends as an uninterrupted one.
    """

    def __init__(
        self, contrast: MomentumContrast, settings: PretrainingSettings
    ) -> None:
        super().__init__()
        self.contrast, self.settings = contrast, settings
        self._generator = torch.Generator()
        self._started, self._seen = 0.0, 0

    def on_train_epoch_start(self) -> None:
        """Start the clock."""
        self._started, self._seen = time.perf_counter(), 0

    def on_train_batch_start(self, _: ViewBatch, batch_idx: int) -> None:
        """Seed what this batch will draw, whatever was drawn before it."""
        # Two seeds: one for what is drawn on the CPU (Γ, the order of keys), one for
        # the network's own draws.
        key = np.random.SeedSequence(
            (self.settings.seed, self.current_epoch, batch_idx, self.global_rank)
        )
        views, network = key.generate_state(2, np.uint64).tolist()
        self._generator.manual_seed(views)
        torch.manual_seed(network)

    def training_step(self, batch: ViewBatch, _: int) -> Tensor:
        """Contrast a batch."""
        images, places = batch
        step = self.contrast(
            make_views(images, self.settings, self._generator), places, self._generator
        )
        # Each process has a share of the batch, all of the same size.
        self._seen += len(images) * self.trainer.world_size
        several = self.trainer.world_size > 1
        for name, value in (("loss", step.loss), ("nearest", step.nearest)):
            self.log(
                name,
                value,
                prog_bar=True,
                on_step=False,
                on_epoch=True,
                batch_size=len(images),
                sync_dist=several,
            )
        loss: Tensor = step.loss
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the speed; it is in the logs only, since it is never the same twice."""
        speed = self._seen / (time.perf_counter() - self._started)
        self.log("places_per_second", speed, rank_zero_only=True)

    def configure_optimizers(self) -> Any:
        """SGD; the learning rate follows half a cosine, epoch by epoch."""
        s = self.settings.optimisation
        # The query encoder alone: the key encoder follows it without gradient.
        optimiser = torch.optim.SGD(
            self.contrast.query.parameters(),
            lr=s.learning_rate,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / s.epochs))
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "epoch"},
        }
