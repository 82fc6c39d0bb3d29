"""One pre-training run, from its settings to a backbone that ``sencap train --extractor.init`` takes."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from sencap.config import as_dict
from sencap.data.seasons.contract import Places as SeasonalPlaces
from sencap.environment import environment
from sencap.errors import MissingDependencyError, SettingsError
from sencap.models.checkpoint import write_text
from sencap.models.extractors import FeatureExtractor
from sencap.models.weights import initialise_backbone
from sencap.pretraining import watch
from sencap.pretraining.contrast import Encoder, MomentumContrast
from sencap.pretraining.export import save_backbone
from sencap.pretraining.figures import plot_watch
from sencap.pretraining.loading import Places, ViewDataset, split, view_loader
from sencap.pretraining.settings import DATES, SPACES, PretrainingSettings
from sencap.pretraining.task import PretrainingTask

RESUME, RUN, BACKBONE, PICTURE = "resume.ckpt", "run.json", "backbone", "watch.png"
FREE = {"out", "data", "kind", "init", "workers", "checkpoint_every", "resume", "progress", "hardware"}

log = logging.getLogger("sencap")


def pretrain(settings: PretrainingSettings, places: Places | None = None) -> Path:
    """Pre-train as the settings say; returns the folder of the backbone.

    ``places`` replaces what ``settings.data`` names: any object with a length and
    ``read(i)`` → ``.images`` uint8 (D, 3, H, W) in the order of time, D ≥ 2, and ``.name``.

    ``settings.out`` receives ``backbone/`` (after the last epoch; ``epoch-NNNN/`` on the way), ``resume.ckpt``,
    ``run.json`` (settings, environment, figures per epoch and of random weights), ``watch.png`` (if matplotlib
    is there) and ``logs/`` (CSV and TensorBoard). A run that was cut off goes on from its last whole epoch and
    ends with the weights of an uninterrupted one.

    Raises:
        DataError: the places cannot be used. SettingsError: settings that do not go with them or with the run
        found in ``out``, or a loss that is no longer a number. CheckpointError: ``init`` does not fit.
    """
    out = Path(settings.out)
    _check_out(out, settings)
    places = _open(settings) if places is None else places
    report = getattr(places, "report", None)
    if report is not None:
        log.info(str(report))
    training, held_out = split(len(places), settings.watch.held_out, settings.seed)
    record: dict[str, Any] = {"training": len(training), "held_out": len(held_out)}
    if isinstance(places, SeasonalPlaces):
        record["fingerprint"] = places.fingerprint()
    _check_places(out, record)
    if settings.contrast.queue > len(training) and not settings.contrast.mask_own:
        log.info(
            f"contrast.queue={settings.contrast.queue} is longer than an epoch of {len(training)} places, so older "
            "keys of a place are among its negatives; contrast.mask_own=true leaves them out"
        )
    task = PretrainingTask(MomentumContrast(build_encoder(settings), settings.contrast), settings)
    out.mkdir(parents=True, exist_ok=True)
    resume = out / RESUME
    with warnings.catch_warnings():
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        dataset = ViewDataset(places, training, settings)
        watcher = Watcher(out, settings, places=places, dataset=dataset, held_out=held_out, record=record)
        trainer = _trainer(settings, out, watcher)
        trainer.fit(task, datamodule=_Data(dataset), ckpt_path=str(resume) if resume.is_file() else None)
    if dataset.unreadable:
        log.warning(
            f"{dataset.unreadable:,} of {len(training):,} places to train on could not be read, and others took "
            "their turn"
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    return out / BACKBONE


def build_encoder(settings: PretrainingSettings) -> Encoder:
    """The encoder a run starts from: random weights drawn by the seed, the backbone's from ``init`` if given."""
    L.seed_everything(settings.seed, verbose=False)
    extractor = FeatureExtractor(
        backbone=settings.backbone,
        structure="single-cat" if DATES[settings.method] == 2 else "dual",
        dimension=1,
        fine_tune_from="conv1",
    )
    if settings.init is not None:
        log.info(initialise_backbone(extractor, settings.init))
    return Encoder(
        extractor.backbone,
        extractor.P.in_channels,
        dimension=settings.contrast.dimension,
        spaces=SPACES[settings.method],
        mean=settings.mean,
        std=settings.std,
    )


def _open(settings: PretrainingSettings) -> Places:
    from sencap.data.seasons import open_places  # noqa: PLC0415  (readers of rasters are extras)

    places: Places = open_places(settings.data, kind=settings.kind)
    return places


def _check_out(out: Path, settings: PretrainingSettings) -> None:
    if (out / RESUME).is_file() and not settings.resume:
        raise SettingsError(f"out={out} holds a run and resume=false; choose another folder")
    if (out / RUN).is_file():
        before = json.loads((out / RUN).read_text(encoding="utf-8"))["settings"]
        now = json.loads(json.dumps(as_dict(settings)))
        differing = [key for key in before if key not in FREE and now.get(key) != before[key]]
        if differing:
            raise SettingsError(
                f"out={out} holds a run with other settings ({', '.join(differing)}); choose another folder, "
                "or delete that one"
            )


def _check_places(out: Path, now: dict[str, Any]) -> None:
    """A run goes on with the places it began with, wherever they lie by now."""
    if (out / RUN).is_file():
        before = json.loads((out / RUN).read_text(encoding="utf-8"))["places"]
        differing = [key for key, value in now.items() if before.get(key, value) != value]
        if differing:
            raise SettingsError(
                f"out={out} holds a run on other places ({before['training']:,} to train on and "
                f"{before['held_out']:,} held out there, {now['training']:,} and {now['held_out']:,} now; differing: "
                f"{', '.join(differing)}); name the same data, or choose another folder"
            )


class _Data(L.LightningDataModule):
    """The loader; made when the trainer knows how many processes there are."""

    def __init__(self, dataset: ViewDataset) -> None:
        super().__init__()
        self.dataset = dataset

    def train_dataloader(self) -> Any:
        return view_loader(self.dataset, replicas=self.trainer.world_size, rank=self.trainer.global_rank)


class Watcher(Callback):
    """After each epoch ``run.json``; every few epochs the watching figures, their picture and a backbone.

    Epochs are counted from 1; epoch 0 stands for the weights the run started from. Only the first of several
    processes measures and writes; the others wait for it at the next step.
    """

    def __init__(
        self,
        out: Path,
        settings: PretrainingSettings,
        *,
        places: Places,
        dataset: ViewDataset,
        held_out: list[int],
        record: dict[str, Any],
    ) -> None:
        self.out, self.settings, self.places = out, settings, places
        self.dataset, self.held_out, self.record = dataset, held_out, record
        self.history: list[dict[str, float]] = []
        self.random: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """For the resume file."""
        return {"history": self.history, "random": self.random}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the resume file."""
        self.history, self.random = list(state_dict["history"]), dict(state_dict["random"])

    def on_train_start(self, trainer: L.Trainer, pl_module: PretrainingTask) -> None:
        """Measure random weights, and the weights the run starts from."""
        if not trainer.is_global_zero or self.history:
            return
        encoder = pl_module.contrast.query
        if self.held_out:
            random = encoder
            if self.settings.init is not None:
                random = build_encoder(dataclasses.replace(self.settings, init=None)).to(pl_module.device)
            size = {"side": self.settings.views.crop, "dates": DATES[self.settings.method]}
            random = watch.calibrated(random, self.places, self.held_out, **size)
            self.random = self._measure(random)
            log.info(_line("random weights", self.random))
            start = self.random if self.settings.init is None else self._measure(encoder)
            self.history.append({"epoch": 0, **start})
        self._write()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: PretrainingTask) -> None:
        """Keep the epoch's figures and write what is due.

        Raises:
            SettingsError: the loss is no longer a number; the resume file of the epoch before is left.
        """
        metrics = {name: float(trainer.callback_metrics[name]) for name in ("loss", "nearest")}
        epoch, last = trainer.current_epoch + 1, self.settings.optimisation.epochs
        if not math.isfinite(metrics["loss"]):
            raise SettingsError(
                f"the loss is {metrics['loss']} after epoch {epoch}; start again in another folder with a lower "
                f"optimisation.learning_rate than {self.settings.optimisation.learning_rate}"
            )
        if not trainer.is_global_zero:
            return
        self.history.append({"epoch": epoch, **metrics})
        if self.held_out and (epoch % self.settings.watch.every == 0 or epoch == last):
            found = self._measure(pl_module.contrast.query)
            self.history[-1].update(found)
            log.info(_line(f"epoch {epoch}", found, loss=metrics["loss"], random=self.random))
            self._draw()
        every = self.settings.checkpoint_every
        record = {"epoch": epoch, "figures": self.history[-1], "random": self.random}
        backbone = pl_module.contrast.query.backbone
        if every and epoch % every == 0:
            save_backbone(self.out / f"epoch-{epoch:04d}", backbone, self.settings, record=record)
        if epoch == last:
            save_backbone(self.out / BACKBONE, backbone, self.settings, record=record)
        self._write()

    def _measure(self, encoder: Encoder) -> dict[str, float]:
        return watch.figures(
            encoder,
            self.places,
            self.held_out,
            side=self.settings.views.crop,
            dates=DATES[self.settings.method],
        )

    def _draw(self) -> None:
        try:
            plot_watch(self.out / PICTURE, self.history, self.random, chance=1 / self.random["places"])
        except MissingDependencyError as error:
            log.info(str(error))

    def _write(self) -> None:
        record = {
            "settings": as_dict(self.settings),
            "environment": environment(),
            "places": {**self.record, "unreadable": self.dataset.unreadable},
            "random": self.random,
            "epochs": self.history,
        }
        write_text(self.out / RUN, json.dumps(record, indent=2) + "\n")


def _line(
    name: str,
    figures: dict[str, float],
    *,
    loss: float | None = None,
    random: dict[str, float] | None = None,
) -> str:
    beginning = name if loss is None else f"{name}: loss {loss:.3f}"
    beside = "" if random is None else f"; random weights: {random['recall']:.3f}, {random['spread']:.3f}"
    return (
        f"{beginning}: recall@1 among {figures['places']} held-out places {figures['recall']:.3f} "
        f"(embeddings {figures['recall_embedding']:.3f}), spread {figures['spread']:.3f} "
        f"(embeddings {figures['spread_embedding']:.3f}){beside}"
    )


def _trainer(settings: PretrainingSettings, out: Path, watcher: Watcher) -> L.Trainer:
    hardware = settings.hardware
    callbacks: list[Callback] = [
        watcher,
        # after the watcher, so that the resume file knows what was measured
        ModelCheckpoint(
            dirpath=out,
            filename=Path(RESUME).stem,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
            every_n_epochs=1,
        ),
    ]
    if settings.progress:
        callbacks.append(TQDMProgressBar())
    several = hardware.devices * hardware.nodes > 1
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        strategy="ddp" if several else "auto",
        max_epochs=settings.optimisation.epochs,
        logger=[CSVLogger(out / "logs", name="csv"), TensorBoardLogger(out / "logs", name="tensorboard")],
        callbacks=callbacks,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours shuffles by epoch
        log_every_n_steps=10,
    )
