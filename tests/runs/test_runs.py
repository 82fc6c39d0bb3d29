"""The folder of a run, whatever lies in it: a resume file is read as plain data, or
refused in our words."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sencap import environment
from sencap.config import HardwareSettings
from sencap.errors import CheckpointError, SettingsError, Terminated
from sencap.runs.folder import clean, flat, load_resume
from sencap.runs.stop import StopAtBatch
from sencap.runs.trainer import _told as told


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("resume") / "whole.ckpt"
    history = [{"epoch": 0, "loss": 1.5}]
    torch.save(
        {"callbacks": {"Exporter": {"history": history}}, "weight": torch.arange(50.0)},
        path,
    )
    return path.read_bytes()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_happened_to_a_resume_file_it_is_read_or_named(
    data: st.DataObject, whole: bytes, tmp_path: Path
) -> None:
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)), label="cut at")])
    for _ in range(data.draw(st.integers(0, 3), label="changed bytes")):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
                st.integers(0, 255)
            )
    path = tmp_path / "resume.ckpt"
    path.write_bytes(bytes(content))
    try:
        assert isinstance(load_resume(path), dict)
    except CheckpointError as error:
        assert str(error).startswith(f"{path} is damaged")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


class _Runs:
    """Pickled, it runs code when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_code_in_a_resume_file_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"callbacks": _Runs()}, "resume.ckpt")
    with pytest.raises(
        CheckpointError, match="damaged, or no resume file of sencap; delete it"
    ):
        load_resume("resume.ckpt")
    (tmp_path / "plain").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_resume("plain")
    assert not (tmp_path / "ran").exists()


def test_drafts_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    kept = [
        tmp_path / "notes.new",
        tmp_path / ".hidden",
        tmp_path / "best" / "model.safetensors",
    ]
    drafts = [
        tmp_path / ".resume.9.new.ckpt",
        tmp_path / "best" / ".model.9.new.safetensors",
    ]
    for path in (*kept, *drafts):
        path.write_text("")
    clean(tmp_path)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in drafts)


def test_settings_are_named_with_dots() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }


# --- hardware


def _machine(
    monkeypatch: pytest.MonkeyPatch, *, cores: int = 4, cuda: int = 0, mps: bool = False
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("machine", "devices"),
    [
        ({}, {"auto": "cpu", "cpu": "cpu", "gpu": "cuda"}),
        ({"cuda": 2}, {"auto": "cuda", "cpu": "cpu", "gpu": "cuda", "cuda": "cuda"}),
        ({"mps": True}, {"auto": "mps", "cpu": "cpu", "gpu": "mps"}),
    ],
)
def test_an_accelerator_is_a_device_of_this_machine(
    machine: dict[str, Any], devices: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine(monkeypatch, **machine)
    assert {name: environment.device_type(name) for name in devices} == devices


@pytest.mark.parametrize(
    ("machine", "hardware", "match"),
    [
        (
            {"cuda": 1},
            {"devices": 2},
            "devices is 2 .*; here is a CPU with 4 cores and 1 GPU; the most is 1",
        ),
        (
            {"cuda": 2},
            {"devices": 99},
            "here is a CPU with 4 cores and 2 GPUs; the most is 2",
        ),
        (
            {"cores": 1},
            {"devices": 2},
            "here is a CPU with 1 core and no GPU; the most is 1",
        ),
        (
            {"mps": True},
            {"accelerator": "gpu", "devices": 2},
            "and 1 GPU; the most is 1",
        ),
        (
            {"mps": True},
            {"accelerator": "cuda"},
            "is cuda, which is not here; here is a CPU with .* 1 GPU",
        ),
    ],
)
def test_more_devices_than_there_are_are_refused(
    machine: dict[str, Any],
    hardware: dict[str, Any],
    match: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _machine(monkeypatch, **machine)
    with pytest.raises(SettingsError, match=match):
        environment.check_hardware(HardwareSettings(**hardware))


def test_hardware_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, cuda=2)
    for accelerator in ("auto", "gpu", "cuda", "cpu"):
        environment.check_hardware(HardwareSettings(accelerator=accelerator, devices=2))
    monkeypatch.setenv("MASTER_ADDR", "first")
    environment.check_hardware(HardwareSettings(devices=2, nodes=2))


# --- memory


def test_more_memory_than_there_is_is_refused_before_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": 4_000_000, "SC_PAGE_SIZE": 1000}.get
    )
    environment.check_memory(4_000_000_000, "a system")
    with pytest.raises(
        SettingsError, match="a system takes at least 9 GB of memory, and here are 4 GB"
    ):
        environment.check_memory(9_000_000_000, "a system")


def test_memory_that_runs_out_in_a_run_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="memory of this machine does not suffice"),
        told(tmp_path),
    ):
        torch.empty(2**50, dtype=torch.uint8)


# --- signals


def _two_signals(stop: StopAtBatch) -> None:
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)  # nothing is raised
        with pytest.raises(KeyboardInterrupt):
            stop.on_train_batch_start()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_waits_for_the_next_batch_and_a_second_does_not() -> None:
    with pytest.raises(KeyboardInterrupt):  # at the end, for whoever saw no batch
        _two_signals(StopAtBatch())


def test_a_failure_of_what_got_the_signal_too_is_no_error_of_the_run() -> None:
    """A system that shuts down, and `timeout`, send SIGTERM to the loading processes as
    well."""

    def ends(number: int, *, said: str) -> None:
        with StopAtBatch().listening():
            os.kill(os.getpid(), number)
            raise RuntimeError(
                f"DataLoader worker (pid 7) is killed by signal: {said}."
            )

    with pytest.raises(Terminated):
        ends(signal.SIGTERM, said="Terminated")
    with pytest.raises(RuntimeError, match="killed by signal"):
        ends(0, said="Killed")  # no signal of ours


def test_a_signal_that_is_ignored_stays_so() -> None:
    # As a shell does for a job in the background.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopAtBatch().listening():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    failed: list[BaseException] = []

    def listen() -> None:
        try:
            with StopAtBatch().listening():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert failed == []
