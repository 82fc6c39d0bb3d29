"""One pre-training run, from its settings to a backbone that ``sencap train
--extractor.init`` takes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only

from sencap.errors import MissingDependencyError
from sencap.figures.watch import plot_watch
from sencap.foreign import initialise_backbone
from sencap.models.extractors import FeatureExtractor
from sencap.models.image_size import check_image_size
from sencap.places.contract import Places
from sencap.pretraining import watch
from sencap.pretraining.contrast import Encoder, MomentumContrast
from sencap.pretraining.export import save_backbone
from sencap.pretraining.folder import (
    BACKBONE,
    PICTURE,
    check_places,
    check_pretraining_folder,
)
from sencap.pretraining.loading import PlaceSource, ViewDataset, split, view_loader
from sencap.pretraining.settings import DATES_PER_INPUT, SPACES, PretrainingSettings
from sencap.pretraining.task import PretrainingTask
from sencap.runs.folder import tell_progress
from sencap.runs.trainer import Recorder, run

_log = logging.getLogger("sencap")


def pretrain(settings: PretrainingSettings, places: PlaceSource | None = None) -> Path:
    """Pre-train as the settings say; returns the folder of the backbone.

    ``places`` replaces what ``settings.data`` names: any object with a length and
    ``read(i)`` → ``.images`` uint8 (D, 3, H, W) in the order of time, D ≥ 2, and
    ``.name``.

    ``settings.out`` receives ``backbone/`` (after the last epoch; ``epoch-NNNN/`` on
    the way), ``resume.ckpt``, ``run.json`` (settings, environment, figures per epoch
    and of random weights), ``watch.png`` (if matplotlib is there) and ``logs/`` (CSV
    and TensorBoard). A run that was cut off goes on from its last whole epoch and ends
    with the weights of an uninterrupted one.

    Raises:
        DataError: the places cannot be used.
        SettingsError: settings that do not go with them, with this machine or with the
            run found in ``out``, or a loss that is no longer a finite number.
        CheckpointError: ``init`` does not fit, or what the run would go on from is
            damaged.
        OutputError: a file cannot be written.
        KeyboardInterrupt, Terminated: the run was stopped, by Ctrl-C or SIGTERM.
    """
    out = Path(settings.out)
    done = check_pretraining_folder(settings)
    places = _open(settings) if places is None else places
    report = getattr(places, "report", None)
    if report is not None:
        _log.info(str(report))
    # Places to watch the run by are set aside, drawn by the seed, so that a resumed run
    # holds out the same.
    training, held_out = split(len(places), settings.watch.held_out, settings.seed)
    record: dict[str, Any] = {"training": len(training), "held_out": len(held_out)}
    if isinstance(places, Places):
        # Other objects have no fingerprint by which to know them again.
        record["fingerprint"] = places.fingerprint()
    check_places(out, record)
    # Every epoch shows a place once. A queue that reaches further back than an epoch
    # holds keys of the same place, which the loss would push away.
    if settings.contrast.queue > len(training) and not settings.contrast.mask_own:
        _log.info(
            f"contrast.queue={settings.contrast.queue} is longer than an epoch of "
            f"{len(training)} places, so older keys of a place are among its "
            "negatives; contrast.mask_own=true leaves them out"
        )
    task = PretrainingTask(
        MomentumContrast(build_encoder(settings), settings.contrast), settings
    )
    if rank_zero_only.rank == 0:
        tell_progress(done, settings)
    dataset = ViewDataset(places, training, settings)
    watcher = Watcher(
        out, settings, places=places, dataset=dataset, held_out=held_out, record=record
    )
    run(task, _Data(dataset, epoch=done), watcher)
    if dataset.unreadable:
        _log.warning(
            f"{dataset.unreadable:,} of {len(training):,} places to train on could "
            "not be read, and others took their turn"
        )
    return out / BACKBONE


def _extractor(settings: PretrainingSettings) -> FeatureExtractor:
    return FeatureExtractor(
        backbone=settings.backbone,
        # Two dates in one input make six channels, one date three. The projection P is
        # made with the backbone and not used, hence the dimension of 1; all layers
        # learn.
        structure="single-cat" if DATES_PER_INPUT[settings.method] == 2 else "dual",
        dimension=1,
        fine_tune_from="conv1",
    )


def build_encoder(settings: PretrainingSettings) -> Encoder:
    """The encoder a run starts from: random weights drawn by the seed, the backbone's
    from ``init`` if given.

    Raises:
        SettingsError: a backbone that is unknown, or cannot take views of
            ``views.crop``.
    """
    # Without weights (meta): nothing is made before it is known that the crop's size
    # goes with the backbone.
    with torch.device("meta"):
        tried = _extractor(settings)
    check_image_size(
        tried, settings.backbone, settings.views.crop, setting="views.crop"
    )
    L.seed_everything(settings.seed, verbose=False)
    extractor = _extractor(settings)
    if settings.init is not None:
        _log.info(initialise_backbone(extractor, settings.init))
    return Encoder(
        extractor.backbone,
        extractor.channels,
        dimension=settings.contrast.dimension,
        spaces=SPACES[settings.method],
        mean=settings.mean,
        std=settings.std,
    )


def _open(settings: PretrainingSettings) -> PlaceSource:
    from sencap.places import open_places  # noqa: PLC0415  (readers of rasters are extras)

    return open_places(settings.data, kind=settings.kind)


class _Data(L.LightningDataModule):
    """The loader; made when the trainer knows how many processes there are. ``epoch``
    is the first one to come."""

    def __init__(self, dataset: ViewDataset, *, epoch: int) -> None:
        super().__init__()
        self.dataset, self.epoch = dataset, epoch

    def train_dataloader(self) -> Any:
        loader = view_loader(
            self.dataset,
            replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
        )
        # The epoch decides the order and the dates of a run that goes on. Lightning tells
        # it too, but only when loading processes have begun to read the first batches.
        loader.sampler.set_epoch(self.epoch)  # type: ignore[attr-defined]
        return loader


class Watcher(Recorder):
    """After each epoch ``run.json``; every few epochs the watching figures, their
    picture and a backbone.

    Epochs are counted from 1; epoch 0 stands for the weights the run started from. Only
    the first of several processes measures and writes; the others wait for it at the
    next step.
    """

    def __init__(
        self,
        out: Path,
        settings: PretrainingSettings,
        *,
        places: PlaceSource,
        dataset: ViewDataset,
        held_out: list[int],
        record: dict[str, Any],
    ) -> None:
        super().__init__(out, settings)
        self.places, self.dataset = places, dataset
        self.held_out, self.record = held_out, record
        self.random: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """For the resume file."""
        return {**super().state_dict(), "random": self.random}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the resume file."""
        super().load_state_dict(state_dict)
        self.random = dict(state_dict["random"])

    def extra(self) -> Mapping[str, Any]:
        """The places, and the figures of random weights."""
        return {
            "places": {**self.record, "unreadable": self.dataset.unreadable},
            "random": self.random,
        }

    def on_train_start(self, trainer: L.Trainer, pl_module: PretrainingTask) -> None:
        """Measure random weights, and the weights the run starts from."""
        # A run that goes on has them from its resume file.
        if not trainer.is_global_zero or self.history:
            return
        encoder = pl_module.contrast.query
        if self.held_out:
            # Figures of random weights say what the architecture alone finds: what the
            # pre-training is measured against.
            random = encoder
            if self.settings.init is not None:
                random = build_encoder(
                    dataclasses.replace(self.settings, init=None)
                ).to(pl_module.device)
            size = {
                "side": self.settings.views.crop,
                "dates": DATES_PER_INPUT[self.settings.method],
            }
            random = watch.calibrated(random, self.places, self.held_out, **size)
            self.random = self._measure(random)
            _log.info(_line("random weights", self.random))
            start = (
                self.random if self.settings.init is None else self._measure(encoder)
            )
            self.history.append({"epoch": 0, **start})
        self.write()

    def on_train_epoch_end(
        self, trainer: L.Trainer, pl_module: PretrainingTask
    ) -> None:
        """Keep the epoch's figures and write what is due."""
        # Read in every process before the others leave: a mean over processes waits for
        # all.
        metrics = {
            name: float(trainer.callback_metrics[name]) for name in ("loss", "nearest")
        }
        epoch, last = trainer.current_epoch + 1, self.settings.optimisation.epochs
        if not trainer.is_global_zero:
            return
        self.history.append({"epoch": epoch, **metrics})
        if self.held_out and (epoch % self.settings.watch.every == 0 or epoch == last):
            found = self._measure(pl_module.contrast.query)
            self.history[-1].update(found)
            _log.info(
                _line(f"epoch {epoch}", found, loss=metrics["loss"], random=self.random)
            )
            self._draw()
        every = self.settings.checkpoint_every
        record = {"epoch": epoch, "figures": self.history[-1], "random": self.random}
        backbone = pl_module.contrast.query.backbone
        # A backbone on the way has a folder of its own; ``backbone/`` appears only when
        # the run is done.
        if every and epoch % every == 0:
            save_backbone(
                self.out / f"epoch-{epoch:04d}", backbone, self.settings, record=record
            )
        if epoch == last:
            save_backbone(self.out / BACKBONE, backbone, self.settings, record=record)
        self.write()

    def _measure(self, encoder: Encoder) -> dict[str, float]:
        return watch.figures(
            encoder,
            self.places,
            self.held_out,
            side=self.settings.views.crop,
            dates=DATES_PER_INPUT[self.settings.method],
        )

    def _draw(self) -> None:
        try:
            # The line of chance: one of so many places found at random.
            plot_watch(
                self.out / PICTURE,
                self.history,
                self.random,
                chance=1 / self.random["places"],
            )
        except MissingDependencyError as error:
            _log.info(str(error))


def _line(
    name: str,
    figures: dict[str, float],
    *,
    loss: float | None = None,
    random: dict[str, float] | None = None,
) -> str:
    beginning = name if loss is None else f"{name}: loss {loss:.3f}"
    beside = ""
    if random is not None:
        beside = f"; random weights: {random['recall']:.3f}, {random['spread']:.3f}"
    return (
        f"{beginning}: recall@1 among {figures['places']} held-out places "
        f"{figures['recall']:.3f} (embeddings {figures['recall_embedding']:.3f}), "
        f"spread {figures['spread']:.3f} (embeddings "
        f"{figures['spread_embedding']:.3f}){beside}"
    )
