"""One training run, from its settings to the best checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from sencap.config import LoadingSettings, TrainingSettings, VocabularySettings, as_dict
from sencap.data.levir_cc import CaptionedPair, read_captions, read_dataset
from sencap.data.loading import PairDataset, evaluation_loader, training_loader
from sencap.data.vocabulary import Vocabulary
from sencap.environment import environment
from sencap.errors import DataError, SettingsError
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import CONFIG, Checkpoint, load_checkpoint, save_checkpoint, write_text
from sencap.models.misfit import misfit
from sencap.models.variants import build
from sencap.models.weights import initialise_backbone
from sencap.training.task import CaptioningTask

RESUME, BEST, LAST, RUN = "resume.ckpt", "best", "last", "run.json"
VALIDATION_BATCH = 32

log = logging.getLogger("sencap")


def fit(settings: TrainingSettings) -> Path:
    """Train as the settings say; returns the folder of the best checkpoint (by val BLEU-4).

    ``settings.out`` receives ``best/`` and ``last/`` (checkpoints), ``resume.ckpt``, ``run.json`` (settings,
    environment, scores and seconds per epoch) and ``logs/`` (CSV and TensorBoard). A run that was cut off goes on
    from its last whole epoch and ends with the weights of an uninterrupted one.

    Raises:
        DataError: the data cannot be used. SettingsError: settings that do not go with them or with the run
        found in ``out``.
    """
    out = Path(settings.out)
    _check_out(out, settings)
    train_pairs, val_pairs = _read_pairs(settings)
    captioner, vocabulary = _starting_point(settings)
    task = CaptioningTask(
        captioner,
        vocabulary,
        settings.optimisation,
        validation_pairs=val_pairs,
        max_words=settings.decoder.max_words,
        seed=settings.seed,
    )
    data = _Data(settings, vocabulary, train_pairs, val_pairs)
    out.mkdir(parents=True, exist_ok=True)
    resume = out / RESUME
    with warnings.catch_warnings():
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        trainer = _trainer(settings, out, Exporter(out, settings))
        trainer.fit(task, datamodule=data, ckpt_path=str(resume) if resume.is_file() else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return out / BEST


def _check_out(out: Path, settings: TrainingSettings) -> None:
    if (out / RESUME).is_file() and not settings.resume:
        raise SettingsError(
            f"out={out} holds an unfinished or finished run and resume=false; choose another folder"
        )
    if (out / RUN).is_file():
        before = _without_folders(json.loads((out / RUN).read_text(encoding="utf-8"))["settings"])
        now = json.loads(json.dumps(_without_folders(as_dict(settings))))  # files may have moved
        free = {"out", "data", "selection_data", "start", "resume", "progress", "hardware"}
        differing = [key for key, value in before.items() if key not in free and now.get(key) != value]
        if differing:
            raise SettingsError(
                f"out={out} holds a run with other settings ({', '.join(differing)}); choose another folder, "
                "or delete that one"
            )


def _read_pairs(settings: TrainingSettings) -> tuple[list[CaptionedPair], list[CaptionedPair]]:
    joined: list[CaptionedPair] = []
    for folder in settings.folders:
        joined += read_dataset(Path(folder))
    selection = read_dataset(Path(settings.selection_data or settings.folders[0]))
    train = [p for p in joined if p.split == "train"]
    val = [p for p in selection if p.split == "val"]
    for name, pairs in (("train", train), ("val", val)):
        if not pairs:
            raise DataError(
                f"no pairs of split {name!r} in {', '.join(settings.folders)}; see `sencap check`"
            )
    return train, val


def _starting_point(settings: TrainingSettings) -> tuple[Captioner, Vocabulary]:
    L.seed_everything(settings.seed, verbose=False)
    if settings.start is not None:
        start = load_checkpoint(settings.start)
        asked = as_dict(settings.model)
        if json.loads(json.dumps(asked)) != json.loads(json.dumps(as_dict(start.settings))):
            captioner = build(settings.model, len(start.vocabulary))
            state = start.captioner.state_dict()
            differences = misfit(captioner.state_dict(), state)
            if differences:
                raise SettingsError(
                    f"start={settings.start} holds another model than the settings describe: {differences}; "
                    f"give the settings of {Path(settings.start) / CONFIG}, or leave start out"
                )
            captioner.load_state_dict(state)
            return captioner, start.vocabulary
        return start.captioner, start.vocabulary
    vocabulary = build_vocabulary(settings.folders, settings.vocabulary)
    captioner = build(settings.model, len(vocabulary))
    if settings.extractor.init is not None:
        log.info(initialise_backbone(captioner.extractor, settings.extractor.init))  # type: ignore[arg-type]
    return captioner, vocabulary


def build_vocabulary(folders: Sequence[str], settings: VocabularySettings) -> Vocabulary:
    """The vocabulary of some data folders' captions, or of ``settings.captions``, counted as the settings say."""
    captions = [
        words
        for source in ([settings.captions] if settings.captions else folders)
        for entry in read_captions(source, splits=settings.splits)
        for words in entry.captions
    ]
    return Vocabulary.build(captions, minimum_count=settings.minimum_count)


class _Data(L.LightningDataModule):
    """The loaders; made when the trainer knows how many processes there are."""

    def __init__(
        self,
        settings: TrainingSettings,
        vocabulary: Vocabulary,
        train: list[CaptionedPair],
        val: list[CaptionedPair],
    ) -> None:
        super().__init__()
        self.settings, self.vocabulary, self.train_pairs, self.val_pairs = settings, vocabulary, train, val

    def _dataset(self, pairs: list[CaptionedPair], loading: LoadingSettings, *, augment: bool) -> PairDataset:
        return PairDataset(
            pairs,
            self.vocabulary,
            settings=loading,
            size=self.settings.size,
            max_words=self.settings.decoder.max_words,
            seed=self.settings.seed,
            augment=augment,
        )

    def train_dataloader(self) -> Any:
        dataset = self._dataset(self.train_pairs, self.settings.loading, augment=True)
        return training_loader(dataset, replicas=self.trainer.world_size, rank=self.trainer.global_rank)

    def val_dataloader(self) -> Any:
        loading = LoadingSettings(
            one_pass=True,
            workers=self.settings.loading.workers,
            cache=self.settings.loading.cache,
        )
        return evaluation_loader(
            self._dataset(self.val_pairs, loading, augment=False),
            batch_size=VALIDATION_BATCH,
            replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
        )


class Exporter(Callback):
    """After each epoch: ``best/`` if val BLEU-4 rose, and ``run.json``; at the end ``last/``."""

    def __init__(self, out: Path, settings: TrainingSettings) -> None:
        self.out, self.settings = out, settings
        self.history: list[dict[str, float]] = []
        self.began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """For the resume file."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the resume file."""
        self.history = list(state_dict["history"])

    def on_train_epoch_start(self, *_: object) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: CaptioningTask) -> None:
        """Keep the score, and the checkpoint if it is the best one."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        score = float(trainer.callback_metrics["val_bleu4"])
        better = all(score > epoch["val_bleu4"] for epoch in self.history)
        self.history.append({"epoch": trainer.current_epoch, "val_bleu4": score})
        if better:
            self._save(pl_module, BEST, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: CaptioningTask) -> None:
        """Write the record of the run."""
        if not trainer.is_global_zero:
            return
        loss = trainer.callback_metrics.get("loss")
        if self.history and loss is not None:
            self.history[-1]["loss"] = float(loss)
            self.history[-1]["seconds"] = round(time.perf_counter() - self.began, 1)
        record = {"settings": as_dict(self.settings), "environment": environment(), "epochs": self.history}
        write_text(self.out / RUN, json.dumps(record, indent=2) + "\n")
        if trainer.current_epoch == self.settings.optimisation.epochs - 1:
            self._save(pl_module, LAST, trainer.current_epoch)

    def _save(self, task: CaptioningTask, name: str, epoch: int) -> None:
        training = {
            "settings": _without_folders(as_dict(self.settings)),
            "environment": environment(),
            "epoch": epoch,
            "val_bleu4": self.history[-1]["val_bleu4"],
        }
        model = self.settings.model
        model = dataclasses.replace(model, extractor=dataclasses.replace(model.extractor, init=None))
        save_checkpoint(self.out / name, Checkpoint(task.result, task.vocabulary, model, training))


def _without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    """Paths of this machine mean nothing elsewhere: only the last names are kept."""
    for owner, key in (
        (settings, "data"),
        (settings, "out"),
        (settings, "selection_data"),
        (settings, "start"),
        (settings["vocabulary"], "captions"),
        (settings["extractor"], "init"),
    ):
        value = owner.get(key)
        if isinstance(value, list):
            owner[key] = [Path(path).name for path in value]
        elif value is not None:
            owner[key] = Path(value).name
    return settings


def _trainer(settings: TrainingSettings, out: Path, exporter: Exporter) -> L.Trainer:
    hardware = settings.hardware
    callbacks: list[Callback] = [
        exporter,
        # after the exporter, so that the resume file knows of the best checkpoint that was written
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
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        max_epochs=settings.optimisation.epochs,
        logger=[CSVLogger(out / "logs", name="csv"), TensorBoardLogger(out / "logs", name="tensorboard")],
        callbacks=callbacks,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours shuffle by epoch
        log_every_n_steps=10,
        gradient_clip_val=None,
    )
