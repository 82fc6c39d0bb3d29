"""A training run that is stopped: by Ctrl-C and SIGTERM, by a full disk, by a loss that
is no number."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file

from sencap.cli import main
from sencap.config import OptimisationSettings, TrainingSettings, as_dict
from sencap.errors import OutputError, SettingsError, Terminated
from sencap.training import fit as fit_module
from sencap.training.fit import Exporter, fit
from sencap.training.task import CaptioningTask

TOLD = {
    signal.SIGINT: (
        130,
        "sencap: interrupted; what was finished is kept, the same command goes on "
        "from there\n",
    ),
    signal.SIGTERM: (
        143,
        "sencap: terminated; what was finished is kept, the same command goes on "
        "from there\n",
    ),
}
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def _weights(out: str | Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(Path(out) / name / "model.safetensors")


def _same(a: str | Path, b: str | Path) -> bool:
    """Whether two runs ended with the same weights."""
    return all(
        torch.equal(tensor, _weights(b, name)[key])
        for name in ("best", "last")
        for key, tensor in _weights(a, name).items()
    )


def _command(settings: TrainingSettings) -> list[str]:
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump(as_dict(settings)))
    return ["train", "--config", str(config)]


def _last_words(told: str) -> list[str]:
    """What is said beside the count of captions at the start."""
    return [
        line for line in told.splitlines(keepends=True) if " captions; " not in line
    ]


@pytest.fixture(autouse=True)
def log_to_this_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line adds a handler of the log for the standard error it finds, which
    here is each test's own."""
    monkeypatch.setattr(logging.getLogger("sencap"), "handlers", [])


def _drafts(out: str | Path) -> list[str]:
    return [path.name for path in Path(out).rglob("*") if path.name.startswith(".")]


# --- signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_is_stopped_in_a_shell_says_so_and_ends_as_an_uninterrupted_one(
    number: signal.Signals, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    loading = dataclasses.replace(tiny_training.loading, workers=1)
    four = dataclasses.replace(tiny_training.optimisation, epochs=4)
    settings = dataclasses.replace(tiny_training, loading=loading, optimisation=four)
    command = [sys.executable, "-m", "sencap", *_command(settings)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (Path(settings.out) / "resume.ckpt").is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    # Ctrl-C reaches the loading processes too, SIGTERM this one alone
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    out, told = process.communicate(timeout=60)
    assert not (Path(settings.out) / "last").exists(), (
        "it was stopped too late to prove anything"
    )
    code, line = TOLD[number]
    assert (process.returncode, out, _last_words(told)) == (code, "", [line])
    assert _drafts(settings.out) == []
    with pytest.raises(ProcessLookupError):  # no loading process is left
        os.killpg(process.pid, 0)
    fit(settings)
    whole = dataclasses.replace(settings, out=str(tmp_path / "whole"))
    fit(whole)
    assert _same(settings.out, whole.out)


@contextmanager
def _signal_at(
    owner: Any,
    name: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    *,
    call: int = 1,
) -> Iterator[None]:
    """Let a call of a function, the first or a later one, come upon a signal."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def stopped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopped)
        yield


MOMENTS = {
    "data are read": (fit_module, "read_dataset", 1),
    "the model is built": (fit_module, "build", 1),
    "the first batch": (CaptioningTask, "training_step", 1),
    "the last batch of an epoch": (CaptioningTask, "training_step", 2),
    "validation": (CaptioningTask, "validation_step", 1),
    "a checkpoint is written": (fit_module, "save_checkpoint", 1),
    "the record is written": (Exporter, "write", 2),
}


@pytest.mark.usefixtures("no_graphs")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_whenever_a_signal_comes_the_run_ends_with_its_code_and_goes_on(
    moment: str,
    number: signal.Signals,
    tiny_training: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    two = dataclasses.replace(tiny_training.optimisation, epochs=2)
    settings = dataclasses.replace(tiny_training, optimisation=two)
    command = _command(settings)
    handlers = [signal.getsignal(other) for other in SIGNALS]
    owner, name, call = MOMENTS[moment]
    with _signal_at(owner, name, number, monkeypatch, call=call):
        code = main(command)
    assert [signal.getsignal(other) for other in SIGNALS] == handlers
    expected, line = TOLD[number]
    assert (code, _last_words(capsys.readouterr().err)) == (expected, [line])
    assert not (Path(settings.out) / "last").exists()
    assert _drafts(settings.out) == []
    assert main(command) == 0
    assert len(json.loads((Path(settings.out) / "run.json").read_text())["epochs"]) == 2


def test_a_second_signal_does_not_wait_for_the_batch_to_end(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the batch went on")

    monkeypatch.setattr(CaptioningTask, "training_step", slow)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_training)


def test_python_is_told_of_sigterm_too(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        _signal_at(CaptioningTask, "training_step", signal.SIGTERM, monkeypatch),
        pytest.raises(Terminated),
    ):
        fit(tiny_training)


# --- disks


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A disk on which no file gets larger: what Linux says of a full one, with another
    number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("size", "name"),
    [(100, "run.json"), (300_000, "model.safetensors"), (1_200_000, "resume.ckpt")],
)
def test_a_disk_that_takes_no_more_is_told_and_the_run_goes_on_when_there_is_room(
    size: int, name: str, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    two = dataclasses.replace(tiny_training.optimisation, epochs=2)
    settings = dataclasses.replace(tiny_training, optimisation=two)
    with (
        _files_of_at_most(size),
        pytest.raises(
            OutputError, match=rf"{name} cannot be written \(File too large\)"
        ),
    ):
        fit(settings)
    assert _drafts(settings.out) == []
    fit(settings)
    whole = dataclasses.replace(settings, out=str(tmp_path / "whole"))
    fit(whole)
    assert _same(settings.out, whole.out)


def test_logs_that_cannot_be_written_are_told(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(CSVLogger, "save", full)
        with pytest.raises(
            OutputError,
            match=r"run cannot be written \(No space left on device\); make room",
        ):
            fit(tiny_training)
    assert fit(tiny_training).is_dir()


# --- numbers that are none


def test_a_loss_that_is_no_number_stops_the_run_with_a_hint_and_no_checkpoint(
    tiny_training: TrainingSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = dataclasses.replace(
        tiny_training, optimisation=OptimisationSettings(epochs=3, learning_rate=1e30)
    )
    assert main(_command(wild)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (
        "the loss is no finite number in epoch 1, batch 2, so the run was stopped"
        in printed.err
    )
    assert "lower optimisation.learning_rate than 1e+30" in printed.err
    assert not (Path(wild.out) / "best").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_epoch_before_is_kept(
    value: float, tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CaptioningTask.training_step

    def step(task: CaptioningTask, batch: Any, number: int) -> torch.Tensor:
        return real(task, batch, number) * (value if task.current_epoch == 1 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(CaptioningTask, "training_step", step)
        with pytest.raises(
            SettingsError,
            match=r"in epoch 2, batch 2, .*; .*resume\.ckpt holds the epoch before",
        ):
            fit(tiny_training)
    out = Path(tiny_training.out)
    assert all(tensor.isfinite().all() for tensor in _weights(out, "best").values())
    assert len(json.loads((out / "run.json").read_text())["epochs"]) == 1
    assert fit(tiny_training).is_dir()  # with a loss that is one again


def test_weights_that_are_no_numbers_are_never_kept(
    tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: CaptioningTask, *_: object, **__: object) -> None:
        for parameter in task.captioner.parameters():
            # The last step of the first epoch.
            if parameter.grad is not None and task.global_step == 1:
                parameter.grad.fill_(float("nan"))

    monkeypatch.setattr(CaptioningTask, "configure_gradient_clipping", broken)
    with pytest.raises(
        SettingsError,
        match="weights are no finite numbers after epoch 1, so the run was stopped",
    ):
        fit(tiny_training)
    assert not (Path(tiny_training.out) / "best").exists()
    assert not (Path(tiny_training.out) / "resume.ckpt").exists()
