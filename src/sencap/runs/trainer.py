"""The loop of a run: Lightning's trainer with our way to write files, to stop, and to
tell what went wrong."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sencap.config import as_dict
from sencap.environment import environment
from sencap.errors import OutputError, SencapError, SettingsError, Terminated
from sencap.files import cannot_write, whole_file, write_whole
from sencap.runs.folder import LOGS, RESUME, RUN, clean, load_resume
from sencap.runs.stop import StopAtBatch

# Batches between two looks at the loss: each look makes a GPU wait.
LOOK_EVERY = 20

_log = logging.getLogger("sencap")


class Recorder(Callback):
    """Keeps a run's history: ``run.json`` for people, and the same in the resume file.
    For subclasses to extend.

    Only the first of several processes writes.
    """

    def __init__(self, out: Path, settings: Any) -> None:
        self.out, self.settings = out, settings
        self.history: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """For the resume file."""
        return {"history": self.history, "settings": as_dict(self.settings)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the resume file."""
        self.history = list(state_dict["history"])

    def on_fit_start(self, trainer: L.Trainer, *_: object) -> None:
        """Say from the start whose folder this is."""
        if trainer.is_global_zero:
            self.write()

    def extra(self) -> Mapping[str, Any]:
        """What else the record holds."""
        return {}

    def write(self) -> None:
        """Write the record of the run."""
        record = {
            "settings": as_dict(self.settings),
            "environment": environment(),
            **self.extra(),
            "epochs": self.history,
        }
        write_whole(self.out / RUN, json.dumps(record, indent=2) + "\n")


def run(
    task: L.LightningModule, data: L.LightningDataModule, recorder: Recorder
) -> None:
    """Run a task to its last epoch, from the resume file in the recorder's folder if
    there is one.

    Raises:
        SettingsError: the loss or a weight is no longer a finite number, or the memory
            does not suffice.
        OutputError: a file cannot be written.
        KeyboardInterrupt, Terminated: the run was stopped, by Ctrl-C or by SIGTERM; the
            same run goes on from its last whole epoch.
    """
    out, settings = recorder.out, recorder.settings
    # `_told` is outside, so that it also sees what the end of ``listening`` raises.
    stop = StopAtBatch()
    with _told(out), stop.listening():
        out.mkdir(parents=True, exist_ok=True)
        # What a run that was killed left half written.
        clean(out)
        resume = out / RESUME
        finite = FiniteLoss(settings.optimisation.learning_rate, out)
        trainer = _trainer(settings, out, [stop, finite, recorder])
        trainer.fit(
            task, datamodule=data, ckpt_path=str(resume) if resume.is_file() else None
        )


def _trainer(settings: Any, out: Path, callbacks: list[Callback]) -> L.Trainer:
    # Lightning's lines about hardware and hints are not for users of sencap.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    hardware = settings.hardware
    # One file, replaced after each epoch: a name without a counter, and no choice by
    # score, which the recorder makes.
    resume = ModelCheckpoint(
        dirpath=out,
        filename=Path(RESUME).stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
        every_n_epochs=1,
    )
    # Last, so that the resume file knows of all that was written and measured.
    callbacks = [*callbacks, resume]
    if settings.progress:
        callbacks.append(TQDMProgressBar())
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        max_epochs=settings.optimisation.epochs,
        logger=[
            CSVLogger(out / LOGS, name="csv"),
            TensorBoardLogger(out / LOGS, name="tensorboard"),
        ],
        callbacks=callbacks,
        plugins=[WholeFiles()],
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # Ours shuffle by epoch, and share out among processes themselves.
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )


class WholeFiles(TorchCheckpointIO):
    """Writes the resume file whole or not at all, and reads it as plain data, so that
    nothing in it is run."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, **_: object
    ) -> None:
        """See the class."""
        # Into memory first: PyTorch hides why it cannot write to a file.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        # A run that is killed here keeps the resume file of the epoch before.
        with whole_file(path) as draft:
            draft.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", **_: object
    ) -> dict[str, Any]:
        """See the class."""
        return load_resume(path, map_location=map_location)


class FiniteLoss(Callback):
    """Stops a run as soon as its loss, or a weight at the end of an epoch, is no finite
    number."""

    def __init__(self, learning_rate: float, out: Path) -> None:
        self.learning_rate, self.out = learning_rate, out
        self._finite: torch.Tensor | bool = True

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        _: Any,
        batch_idx: int,
    ) -> None:
        """Take in the loss of a batch; look at those of the last batches now and
        then."""
        # Stays a tensor on the GPU, so that most batches need not wait for it.
        self._finite = self._finite & outputs["loss"].detach().isfinite().all()
        epoch, batch = trainer.current_epoch + 1, batch_idx + 1
        if trainer.is_last_batch or batch % LOOK_EVERY == 0:
            where = f"epoch {epoch}, batch {batch}"
            self._stop_unless(
                bool(self._finite), trainer, f"the loss is no finite number in {where}"
            )
        if trainer.is_last_batch:
            # Buffers too: statistics of batch normalisation can overflow while the loss
            # looks fine.
            tensors = itertools.chain(pl_module.parameters(), pl_module.buffers())
            finite = all(bool(tensor.isfinite().all()) for tensor in tensors)
            self._stop_unless(
                finite, trainer, f"weights are no finite numbers after epoch {epoch}"
            )

    def _stop_unless(self, finite: bool, trainer: L.Trainer, problem: str) -> None:
        # All processes stop or none: one that went on alone would wait for the others.
        of_all = trainer.strategy.reduce_boolean_decision(finite)
        if of_all:
            return
        resume = self.out / RESUME
        before = f"; {resume} holds the epoch before" if resume.is_file() else ""
        raise SettingsError(
            f"{problem}, so the run was stopped{before}. Start again in another "
            "folder, with a lower optimisation.learning_rate than "
            f"{self.learning_rate:g}"
        )


@contextlib.contextmanager
def _told(out: Path) -> Iterator[None]:
    """Lightning's warnings left out, and what stops a run raised as what it is."""
    try:
        with warnings.catch_warnings():
            # Advice to programmers, such as on the number of loading processes.
            warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
            warnings.filterwarnings(
                "ignore", message=".*isinstance.treespec, LeafSpec.*"
            )
            warnings.filterwarnings(
                "ignore", message="Grad strides do not match bucket view strides"
            )
            yield
    except SIGTERMException as stop:
        raise Terminated from stop
    except SystemExit as stop:
        # Lightning makes an exit of KeyboardInterrupt and of our own Terminated.
        interrupt = stop.__context__
        if isinstance(interrupt, KeyboardInterrupt):
            raise interrupt from None
        raise
    except SencapError as error:
        raise _without_traceback(error) from error
    except OSError as error:
        # An error of the run's own folder is one of writing; any other file's is not
        # ours to explain here.
        if error.filename is None or out in Path(error.filename).parents:
            raise OutputError(cannot_write(error.filename or out, error)) from error
        raise
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            "the memory of the GPU does not suffice; give a smaller batch_size, or "
            "smaller images"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            raise SettingsError(
                "a process that reads images was ended, perhaps for want of memory; "
                "give fewer workers"
            ) from error
        # The CPU's lack of memory has no class of its own.
        if "can't allocate memory" in str(error):
            raise SettingsError(
                "the memory of this machine does not suffice; give a smaller "
                "batch_size, or smaller images"
            ) from error
        raise


def _without_traceback(error: SencapError) -> SencapError:
    """An error of a loading process comes with the traceback as text; what it says
    stands behind its name."""
    kind = type(error)
    if "Original Traceback" not in str(error):
        return error
    # "… sencap.errors.DataError: what it says": the last line of the traceback.
    name = f"{kind.__module__}.{kind.__qualname__}: "
    return kind(str(error).rpartition(name)[2].strip())
