"""Training a captioner: loss, validation by greedy search, optimiser and schedule, as a
Lightning module."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sencap.config import OptimisationSettings
from sencap.data.entries import CaptionedPair
from sencap.data.vocabulary import Vocabulary
from sencap.engines.torch import TorchEngine, as_arrays
from sencap.evaluation.metrics import corpus_bleu4
from sencap.models.captioner import Captioner
from sencap.models.extractors import Extractor
from sencap.search import Markers, search
from sencap.structures import Memory
from sencap.training.loading import Batch
from sencap.training.losses import caption_loss, change_losses, map_loss
from sencap.training.schedule import decoder_plateau, warm_cosine

CHANGE_LOSS = "val_change_loss"


def _remember(captioner: Captioner, batch: Batch) -> Memory:
    """The memory of a batch, from its images or from the backbone's maps of them."""
    if batch.maps is None:
        return captioner.encode(batch.images)
    extractor = cast("Extractor", captioner.extractor)
    # (B, S, C, h, w) → (B·S, C, h, w), as the backbone itself would hand them on.
    maps = batch.maps.flatten(0, 1)
    return captioner.remember(
        extractor.features(maps), captioner.normalise(batch.images)
    )


def _named(losses: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The losses under names of the log; one alone is the whole loss, and needs no
    second line."""
    if len(losses) == 1:
        return {}
    return {f"{prefix}_{name}": value for name, value in losses.items()}


def _as_words(ids: Sequence[int]) -> list[str]:
    """Ids as the metrics take them."""
    return [str(number) for number in ids]


def _parameters(part: nn.Module | None) -> list[nn.Parameter]:
    return [] if part is None else list(part.parameters())


class CaptioningTask(L.LightningModule):
    """The training of one captioner.

    Every batch starts from a random state that depends on seed, epoch, its number and
    process alone; with the sampler's and the augmentation's seeds this makes a run that
    was killed and resumed end as an uninterrupted one.
    """

    def __init__(
        self,
        captioner: Captioner,
        vocabulary: Vocabulary,
        optimisation: OptimisationSettings,
        *,
        validation_pairs: list[CaptionedPair],
        max_words: int = 50,
        seed: int = 42,
    ) -> None:
        super().__init__()
        self.captioner = captioner
        self.vocabulary = vocabulary
        self.optimisation = optimisation
        self.validation_pairs = validation_pairs
        self.max_words = max_words
        self.seed = seed
        # A second set of weights that follows the trained ones slowly: average ← decay
        # · average + (1 − decay) · weights after each step. The buffers are averaged
        # too, so that the statistics of batch normalisation fit the averaged weights.
        self.average: AveragedModel | None = None
        if optimisation.average:
            decay = get_ema_multi_avg_fn(optimisation.average)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(
                captioner, multi_avg_fn=decay, use_buffers=True
            )
            # No gradient reaches it: the optimiser must not train it as well.
            self.average.requires_grad_(False)
        # The caption, as word ids, of each validation pair by its index.
        self._found: dict[int, tuple[int, ...]] = {}

    @property
    def result(self) -> Captioner:
        """The captioner that is validated and kept: the averaged one if there is
        one."""
        if self.average is not None:
            return cast("Captioner", self.average.module)
        return self.captioner

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update_parameters(self.captioner)

    def on_train_batch_start(self, _: Batch, batch_idx: int) -> None:
        """Seed what dropout will draw for this batch, whatever was drawn before it."""
        # SeedSequence mixes the four numbers, so that neighbouring batches and
        # processes do not draw alike.
        key = np.random.SeedSequence(
            (self.seed, self.current_epoch, batch_idx, self.global_rank)
        )
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Teacher forcing on a batch."""
        memory = _remember(self.captioner, batch)
        # The decoder sees the true words up to a place and predicts the next one, for
        # all places at once: tokens (B, K, T) without the last → logits (B, K, T-1, V).
        logits = self.captioner.decoder(memory, batch.tokens[..., :-1])
        losses = {
            "caption": caption_loss(
                logits,
                batch.tokens,
                pad=self.vocabulary.pad,
                label_smoothing=self.optimisation.label_smoothing,
            ),
            **self._change_losses(memory, batch),
        }
        # Only DUDA has attention maps that are penalised.
        penalty = self.captioner.settings.difference.map_penalty
        maps = map_loss(memory, penalty or 0.0)
        if maps is not None:
            losses["maps"] = maps
        # The parts come weighted already, so their sum is what is made small.
        loss = torch.stack(list(losses.values())).sum()
        for name, value in {"loss": loss, **_named(losses, "loss")}.items():
            self._log_mean(name, value, batch)
        return loss

    def _change_losses(self, memory: Memory, batch: Batch) -> dict[str, Tensor]:
        settings = self.captioner.settings.change
        return change_losses(memory, batch.flags, batch.masks, batch.masked, settings)

    def _log_mean(self, name: str, value: Tensor, batch: Batch) -> None:
        """Log the mean over an epoch."""
        size = len(batch.images)
        bar = name == "loss"
        self.log(
            name, value, prog_bar=bar, on_step=False, on_epoch=True, batch_size=size
        )

    def on_validation_epoch_start(self) -> None:
        """Forget the captions of the last validation."""
        self._found = {}

    def validation_step(self, batch: Batch, _: int) -> None:
        """Caption a batch greedily, and see what the change heads lose on it."""
        v = self.vocabulary
        with torch.inference_mode():
            memory = _remember(self.result, batch)
            losses = self._change_losses(memory, batch)
        if losses:
            total = torch.stack(list(losses.values())).sum()
            self._log_mean(CHANGE_LOSS, total, batch)
        # Greedy search chooses the likeliest word at each place. Padding, <start> and
        # <unk> are never chosen.
        engine = TorchEngine(self.result)
        markers = Markers(v.start, v.end, (v.pad, v.start, v.unk))
        found = search(engine, as_arrays(memory), markers, max_words=self.max_words)
        for index, hypotheses in zip(batch.index.tolist(), found, strict=True):
            self._found[index] = hypotheses[0].ids

    def on_validation_epoch_end(self) -> None:
        """Score the captions: BLEU-4 under the protocol ``ids``, at which the plateau
        looks."""
        found = self._found
        # Each process has captioned its share of the pairs; now every one gets the
        # captions of all. A pair that two of them had, to fill up a batch, counts once.
        if self.trainer.world_size > 1:
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, found)
            everything = (share.items() for share in shares)
            found = dict(itertools.chain.from_iterable(everything))
        if self.trainer.sanity_checking or not found:
            return
        order = sorted(found)
        references = [self._references(index) for index in order]
        # Over the whole corpus at once: BLEU-4 is no mean of the pairs' own scores.
        bleu4 = 100 * corpus_bleu4(
            [_as_words(found[index]) for index in order], references
        )
        # Every process has computed the same score and logs it itself: the plateau of
        # each looks at it.
        self.log(
            "val_bleu4", bleu4, prog_bar=True, rank_zero_only=False, sync_dist=False
        )

    def _references(self, index: int) -> list[list[str]]:
        """The captions of a validation pair, as ids."""
        captions = self.validation_pairs[index].captions
        return [_as_words(self.vocabulary.encode(words)) for words in captions]

    def configure_optimizers(self) -> Any:
        """Adam with one group per part, and the schedule."""
        settings = self.optimisation
        extractor = self.captioner.extractor
        backbone = getattr(extractor, "backbone", extractor)
        # The pretrained backbone may learn at a rate of its own; what is new in the
        # extractor, such as the projection P, learns like the other parts. Tensors
        # compare element by element, hence their ids.
        of_backbone = {id(p) for p in backbone.parameters()}
        rest = [p for p in extractor.parameters() if id(p) not in of_backbone]
        parts: dict[str, tuple[list[nn.Parameter], float]] = {
            "backbone": (
                list(backbone.parameters()),
                settings.extractor_learning_rate or settings.learning_rate,
            ),
            "projection": (rest, settings.learning_rate),
            "difference": (
                list(self.captioner.difference.parameters()),
                settings.learning_rate,
            ),
            "decoder": (
                list(self.captioner.decoder.parameters()),
                settings.learning_rate,
            ),
            "change": (_parameters(self.captioner.change), settings.learning_rate),
        }
        groups = []
        for name, (params, rate) in parts.items():
            trained = [one for one in params if one.requires_grad]
            if trained:
                groups.append({"name": name, "params": trained, "lr": rate})
        # AdamW without weight decay is Adam.
        optimiser = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # The plateau waits for the score of an epoch, the cosine moves with each step.
        if settings.schedule == "constant":
            plateau = decoder_plateau(optimiser, settings)
            schedule = {
                "scheduler": plateau,
                "interval": "epoch",
                "monitor": "val_bleu4",
            }
        else:
            steps = int(self.trainer.estimated_stepping_batches)
            cosine = warm_cosine(optimiser, steps=steps, epochs=settings.epochs)
            schedule = {"scheduler": cosine, "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clamp the gradient values of extractor and decoder, as the paper's code
        does."""
        clip = self.optimisation.clip_value
        for part in (self.captioner.extractor, self.captioner.decoder):
            trained = [p for p in part.parameters() if p.grad is not None]
            if trained:  # an extractor that is frozen as a whole has none
                nn.utils.clip_grad_value_(trained, clip)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, _: int
    ) -> Batch:
        """Move a batch (Lightning does not know the class)."""
        return batch.to(device, non_blocking=True)
