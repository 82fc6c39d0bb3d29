"""One training run, from its settings to the best checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from sencap.checkpoint_folder import CONFIG
from sencap.config import LoadingSettings, TrainingSettings, VocabularySettings, as_dict
from sencap.data.entries import CaptionedPair, all_captions
from sencap.data.levir_cc import read_captions, read_dataset
from sencap.data.masks import has_masks_only, read_masked_pairs
from sencap.data.vocabulary import Vocabulary
from sencap.environment import check_memory, device_type, environment
from sencap.errors import DataError, SettingsError
from sencap.foreign import initialise_backbone
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.counting import info
from sencap.models.export import export_checkpoint
from sencap.models.misfit import misfit
from sencap.models.variants import build, check
from sencap.runs.folder import tell_progress
from sencap.runs.trainer import Recorder, run
from sencap.training.calibration import calibrate
from sencap.training.domain import fit_domain
from sencap.training.features import FeatureStore, open_features
from sencap.training.folder import BEST, LAST, check_training_folder, without_folders
from sencap.training.loading import PairDataset, evaluation_loader, training_loader
from sencap.training.task import CHANGE_LOSS, CaptioningTask
from sencap.training.words import own_no_change, tell_words
from sencap.weights import checkpoint_folder, resolve_weights

# Pairs captioned at once in validation; it changes the speed, not the score.
VALIDATION_BATCH = 32

_log = logging.getLogger("sencap")


def train(settings: TrainingSettings) -> Path:
    """`fit`, and the graphs that caption without PyTorch, written into the best
    checkpoint."""
    best = fit(settings)
    # Of several processes the first writes them.
    if rank_zero_only.rank == 0:
        export_checkpoint(best)
    return best


def fit(settings: TrainingSettings) -> Path:
    """Train as the settings say; returns the folder of the best checkpoint (by val
    BLEU-4).

    ``settings.out`` receives ``best/`` and ``last/`` (checkpoints), ``resume.ckpt``,
    ``run.json`` (settings, environment, scores and seconds per epoch) and ``logs/``
    (CSV and TensorBoard). A run that was cut off goes on from its last whole epoch and
    ends with the weights of an uninterrupted one.

    Raises:
        DataError: the data cannot be used.
        SettingsError: settings that do not go with them, with this machine or with the
            run found in ``out``, or a loss that is no longer a finite number.
        CheckpointError: what the run would go on from is damaged.
        OutputError: a file cannot be written.
        KeyboardInterrupt, Terminated: the run was stopped, by Ctrl-C or SIGTERM.
    """
    out = Path(settings.out)
    # All that can be refused without reading data, before data are read.
    done = check_training_folder(settings)
    check(settings.model)
    train_pairs, val_pairs = _read_pairs(settings)
    captioner, vocabulary = _starting_point(settings)
    if rank_zero_only.rank == 0:
        tell_words(train_pairs, val_pairs, vocabulary, settings)
        tell_progress(done, settings)
    # The loss, the optimiser and the score of an epoch.
    task = CaptioningTask(
        captioner,
        vocabulary,
        settings.optimisation,
        validation_pairs=val_pairs,
        max_words=settings.decoder.max_words,
        seed=settings.seed,
    )
    # Maps of a frozen backbone, of all pairs, where the settings ask for them.
    features = open_features(captioner, [*train_pairs, *val_pairs], settings)
    data = _Data(
        settings, vocabulary, train_pairs, val_pairs, epoch=done, features=features
    )
    # What writes checkpoints and the record as the epochs end.
    exporter = Exporter(out, settings)
    exporter.by_captions = any(pair.captions for pair in train_pairs)
    exporter.no_change = own_no_change(train_pairs)
    run(task, data, exporter)
    # Both are found on the selection pairs, with the weights of the best epoch, and added
    # to its checkpoint by one process; where the training ran, since a thousand pairs
    # take minutes on one core.
    device = device_type(settings.hardware.accelerator)
    if settings.change.flag and rank_zero_only.rank == 0:
        calibrate(out / BEST, val_pairs, device=device)
    if settings.domain and rank_zero_only.rank == 0:
        fit_domain(
            out / BEST, train_pairs, val_pairs, seed=settings.seed, device=device
        )
    return out / BEST


def _read_pairs(
    settings: TrainingSettings,
) -> tuple[list[CaptionedPair], list[CaptionedPair]]:
    joined: list[CaptionedPair] = []
    for folder in map(Path, settings.folders):
        if has_masks_only(folder):
            joined += read_masked_pairs(folder)
        else:
            joined += read_dataset(folder)
    # The best epoch is chosen on one data set, however many are joined for training.
    selection = read_dataset(Path(settings.selection_data or settings.folders[0]))
    train = [p for p in joined if p.split == "train"]
    val = [p for p in selection if p.split == "val"]
    for name, pairs in (("train", train), ("val", val)):
        if not pairs:
            raise DataError(
                f"no pairs of split {name!r} in {', '.join(settings.folders)}; see "
                "`sencap check`"
            )
    return train, val


def _starting_point(settings: TrainingSettings) -> tuple[Captioner, Vocabulary]:
    # Before any weight is drawn, so that one seed always gives the same first weights.
    L.seed_everything(settings.seed, verbose=False)
    if settings.start is not None:
        folder = checkpoint_folder(settings.start)
        start = load_checkpoint(folder)
        # Compared as JSON has them, for which lists and tuples are the same.
        asked = json.loads(json.dumps(as_dict(settings.model)))
        there = json.loads(json.dumps(as_dict(start.settings)))
        if asked != there:
            # Settings that differ need not matter: what counts is whether every weight
            # of the checkpoint has its place in the model that is asked for.
            captioner = build(settings.model, len(start.vocabulary))
            state = start.captioner.state_dict()
            differences = misfit(captioner.state_dict(), state)
            if differences:
                raise SettingsError(
                    f"start={settings.start} holds another model than the settings "
                    f"describe: {differences}; give the settings of "
                    f"{folder / CONFIG}, or leave start out"
                )
            captioner.load_state_dict(state)
            return captioner, start.vocabulary
        return start.captioner, start.vocabulary
    vocabulary = build_vocabulary(settings.folders, settings.vocabulary)
    # The size of the model is known only with its vocabulary.
    _check_memory(settings, len(vocabulary))
    captioner = build(settings.model, len(vocabulary))
    if settings.extractor.init is not None:
        _log.info(initialise_backbone(captioner.extractor, settings.extractor.init))  # type: ignore[arg-type]
    return captioner, vocabulary


def _check_memory(settings: TrainingSettings, words: int) -> None:
    """Refuse a system that is too large to be trained here, before it is made."""
    counts = info(settings.system, vocabulary_size=words, settings=settings.model)
    total = counts["total"]
    on_cpu = device_type(settings.hardware.accelerator) == "cpu"
    # Of each parameter the weight; where it is trained, also the gradient and Adam's
    # two means. Training on a GPU leaves only the weights in this machine's memory.
    copies = 4 if on_cpu else 1
    check_memory(total * copies * 4, f"training {total:,} parameters")


def build_vocabulary(
    folders: Sequence[str], settings: VocabularySettings
) -> Vocabulary:
    """The vocabulary of some data folders' captions, or of ``settings.captions``,
    counted as the settings say.

    Raises:
        SettingsError: none of the folders has captions, and ``settings.captions`` is
            not given.
    """
    # A change-detection data set (A, B, label) has masks and no words.
    captioned = [folder for folder in folders if not has_masks_only(Path(folder))]
    if settings.captions is None and not captioned:
        raise SettingsError(
            "the data have masks and no captions, so they have no words to know; give "
            "vocabulary.captions, the captions that the run after this one will learn"
        )
    # A caption file that is named replaces the data's own captions, so that a run on
    # masks can already have the vocabulary of the run after it.
    sources = captioned
    if settings.captions is not None:
        sources = [settings.captions]
    captions = []
    for source in sources:
        captions += all_captions(read_captions(source, splits=settings.splits))
    return Vocabulary.build(captions, minimum_count=settings.minimum_count)


class _Data(L.LightningDataModule):
    """The loaders; made when the trainer knows how many processes there are. ``epoch``
    is the first one to come."""

    def __init__(
        self,
        settings: TrainingSettings,
        vocabulary: Vocabulary,
        train: list[CaptionedPair],
        val: list[CaptionedPair],
        *,
        epoch: int,
        features: FeatureStore | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.vocabulary = settings, vocabulary
        self.train_pairs, self.val_pairs = train, val
        self.epoch, self.features = epoch, features

    def _dataset(
        self, pairs: list[CaptionedPair], loading: LoadingSettings, *, augment: bool
    ) -> PairDataset:
        return PairDataset(
            pairs,
            self.vocabulary,
            settings=loading,
            size=self.settings.size,
            max_words=self.settings.decoder.max_words,
            seed=self.settings.seed,
            augment=augment,
            masks=self.settings.change.mask > 0,
            features=self.features,
        )

    def train_dataloader(self) -> Any:
        dataset = self._dataset(self.train_pairs, self.settings.loading, augment=True)
        loader = training_loader(
            dataset, replicas=self.trainer.world_size, rank=self.trainer.global_rank
        )
        # The epoch decides order and augmentation of a run that goes on. Lightning
        # tells it too, but only when loading processes have begun to read the first
        # batches.
        loader.sampler.set_epoch(self.epoch)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> Any:
        # One sample per pair, nothing augmented: every epoch is scored on the same
        # images.
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


class Exporter(Recorder):
    """After each epoch: ``best/`` if val BLEU-4 rose, and ``run.json``; at the end
    ``last/``."""

    began = 0.0
    # Whether captions are learnt, so that they choose the best epoch.
    by_captions = True
    # With what the data say that nothing changed.
    no_change: tuple[str, ...] = ()

    def extra(self) -> Mapping[str, Any]:
        """Which weights the run started from, if from any."""
        if self.settings.start is None:
            return {}
        return {"start": resolve_weights(self.settings.start).record()}

    def on_train_epoch_start(self, *_: object) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: CaptioningTask) -> None:
        """Keep the score, and the checkpoint if it is the best one."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        figures = {"val_bleu4": float(trainer.callback_metrics["val_bleu4"])}
        change_loss = trainer.callback_metrics.get(CHANGE_LOSS)
        if change_loss is not None:
            figures[CHANGE_LOSS] = float(change_loss)
        score = self._score(figures)
        # Of equal scores the earlier epoch stays the best.
        better = all(score > self._score(epoch) for epoch in self.history)
        self.history.append({"epoch": trainer.current_epoch, **figures})
        if better:
            self._save(pl_module, BEST, trainer.current_epoch)

    def _score(self, epoch: Mapping[str, float]) -> float:
        """What the best epoch has most of: BLEU-4, or, where no caption is learnt,
        least loss of the change heads."""
        if self.by_captions:
            return epoch["val_bleu4"]
        return -epoch[CHANGE_LOSS]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: CaptioningTask) -> None:
        """Write the record of the run."""
        if not trainer.is_global_zero:
            return
        # Validation has already put a line into the history; the mean loss of the epoch
        # is known only now.
        loss = trainer.callback_metrics.get("loss")
        if self.history and loss is not None:
            self.history[-1]["loss"] = float(loss)
            self.history[-1]["seconds"] = round(time.perf_counter() - self.began, 1)
        self.write()
        # The weights of the last epoch are kept beside the best, whatever their score.
        if trainer.current_epoch == self.settings.optimisation.epochs - 1:
            self._save(pl_module, LAST, trainer.current_epoch)

    def _save(self, task: CaptioningTask, name: str, epoch: int) -> None:
        training = {
            "settings": without_folders(as_dict(self.settings)),
            "environment": environment(),
            **self.extra(),
            "epoch": epoch,
            "val_bleu4": self.history[-1]["val_bleu4"],
            "no_change": list(self.no_change),
        }
        # The backbone's weights are in the checkpoint now; the file that they started
        # from need not exist where it is loaded.
        model = self.settings.model
        extractor = dataclasses.replace(model.extractor, init=None)
        model = dataclasses.replace(model, extractor=extractor)
        save_checkpoint(
            self.out / name, Checkpoint(task.result, task.vocabulary, model, training)
        )
