"""What stops or damages a pre-training: hardware, folders, files, signals, disks,
numbers that are none."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pretraining.tiny_places import Drawn, TinyPlaces
from sencap.config import HardwareSettings
from sencap.errors import CheckpointError, OutputError, SettingsError, Terminated
from sencap.pretraining.fit import pretrain
from sencap.pretraining.settings import PretrainingSettings, SgdSettings, WatchSettings
from sencap.pretraining.task import PretrainingTask

ONE_EPOCH = SgdSettings(epochs=1, batch_size=8)
NO_WATCH = WatchSettings(held_out=0)


class NoPlaces(TinyPlaces):
    """Places that must not be read: what is wrong is refused before."""

    def read(self, index: int) -> Drawn:
        raise AssertionError("data were read")


@pytest.fixture
def short(tiny_pretraining: PretrainingSettings) -> PretrainingSettings:
    """One epoch of a tiny network."""
    return dataclasses.replace(tiny_pretraining, optimisation=ONE_EPOCH, watch=NO_WATCH)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch, to be copied."""
    return tmp_path_factory.mktemp("pretrained") / "run"


@pytest.fixture
def again(short: PretrainingSettings, pretrained: Path) -> PretrainingSettings:
    """The same run in a folder of its own."""
    if not pretrained.exists():
        pretrain(dataclasses.replace(short, out=str(pretrained)), TinyPlaces())
    shutil.copytree(pretrained, short.out)
    return short


@pytest.mark.parametrize(
    ("hardware", "match"),
    [
        ({"accelerator": "gpu"}, "hardware.accelerator is gpu, which is not here"),
        (
            {"accelerator": "tpu"},
            "hardware.accelerator is 'tpu'; it must be auto, cpu or gpu",
        ),
        (
            {"accelerator": "cpu", "devices": 998},
            "hardware.devices is 998 .*; the most is",
        ),
    ],
)
def test_hardware_that_is_not_here_is_refused_before_data_are_read(
    hardware: dict[str, Any],
    match: str,
    short: PretrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    optimisation = SgdSettings(batch_size=998)  # has to be shared out evenly
    contrast = dataclasses.replace(short.contrast, queue=998)
    settings = dataclasses.replace(
        short,
        optimisation=optimisation,
        contrast=contrast,
        hardware=HardwareSettings(**hardware),
    )
    with pytest.raises(SettingsError, match=match):
        pretrain(settings, NoPlaces())
    assert not Path(short.out).exists()


@pytest.mark.parametrize("out", ["file", "file/run", "/dev/null", "/proc/run"])
def test_an_out_that_cannot_be_a_folder_is_refused(
    out: str, short: PretrainingSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        (SettingsError, OutputError),
        match=r"is a file; name a folder|cannot be written",
    ):
        pretrain(dataclasses.replace(short, out=str(tmp_path / out)), NoPlaces())


def test_the_weights_a_run_starts_from_are_not_written_over(
    short: PretrainingSettings,
) -> None:
    start = Path(short.out) / "backbone" / "model.safetensors"
    start.parent.mkdir(parents=True)
    start.write_bytes(b"mine")
    with pytest.raises(
        SettingsError,
        match=r"would write over .*model\.safetensors, which it starts from",
    ):
        pretrain(dataclasses.replace(short, init=str(start)), NoPlaces())
    with pytest.raises(SettingsError, match=r"holds backbone/ of another run"):
        pretrain(short, NoPlaces())
    assert start.read_bytes() == b"mine"


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _of_a_training(path: Path) -> None:
    torch.save({"callbacks": {"Exporter": {"history": []}}}, path)


@pytest.mark.parametrize(
    "damage", [_write(b""), _write(b"no zip"), _half, _of_a_training]
)
def test_a_damaged_resume_file_is_named_with_what_to_delete(
    damage: Callable[[Path], None], again: PretrainingSettings
) -> None:
    resume = Path(again.out) / "resume.ckpt"
    damage(resume)
    with pytest.raises(CheckpointError, match=r"resume\.ckpt is .* delete it"):
        pretrain(again, NoPlaces())
    resume.unlink()
    assert pretrain(again, TinyPlaces()).is_dir()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"settings": {}, "epochs": [3]}', b"\xff"]
)
def test_a_damaged_record_is_written_anew_while_the_resume_file_is_whole(
    content: bytes, again: PretrainingSettings
) -> None:
    run = Path(again.out) / "run.json"
    before = json.loads(run.read_text())
    run.write_bytes(content)
    pretrain(again, TinyPlaces())
    after = json.loads(run.read_text())
    assert (after["epochs"], after["places"]) == (before["epochs"], before["places"])
    run.write_bytes(content)
    (Path(again.out) / "resume.ckpt").unlink()
    with pytest.raises(
        CheckpointError, match=r"run\.json is .*; delete it, or choose another out"
    ):
        pretrain(again, NoPlaces())


def test_a_backbone_that_is_gone_is_told(again: PretrainingSettings) -> None:
    shutil.rmtree(Path(again.out) / "backbone")
    with pytest.raises(
        CheckpointError, match="backbone is no longer there, and it is the result"
    ):
        pretrain(again, NoPlaces())


def test_a_run_is_not_made_longer_since_its_learning_rate_has_fallen(
    again: PretrainingSettings,
) -> None:
    more = dataclasses.replace(again, optimisation=SgdSettings(epochs=4, batch_size=8))
    with pytest.raises(
        SettingsError,
        match=r"epochs: 1 there, 4 now.*cannot be made longer; give another",
    ):
        pretrain(more, NoPlaces())


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_is_stopped_ends_as_an_uninterrupted_one(
    number: signal.Signals,
    raised: type[BaseException],
    workers: int,
    tiny_pretraining: PretrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = dataclasses.replace(tiny_pretraining, workers=workers, watch=NO_WATCH)
    real = PretrainingTask.training_step

    def step(task: PretrainingTask, batch: Any, batch_number: int) -> torch.Tensor:
        if task.current_epoch == 1:
            os.kill(os.getpid(), number)
        return real(task, batch, batch_number)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainingTask, "training_step", step)
        with pytest.raises(raised):
            pretrain(settings, TinyPlaces())
    assert len(json.loads((Path(settings.out) / "run.json").read_text())["epochs"]) == 1
    resumed = load_file(pretrain(settings, TinyPlaces()) / "model.safetensors")
    whole = dataclasses.replace(settings, out=str(tmp_path / "whole"))
    expected = load_file(pretrain(whole, TinyPlaces()) / "model.safetensors")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in expected.items())


@pytest.mark.parametrize(
    "name", ["run.json", "resume.ckpt", "watch.png", "model.safetensors"]
)
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    name: str, tiny_pretraining: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(tiny_pretraining, optimisation=ONE_EPOCH)
    real = Path.replace

    def full(draft: Path, target: str | Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(draft, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(
            OutputError,
            match=r"cannot be written \(No space left on device\); make room",
        ):
            pretrain(settings, TinyPlaces())
    assert (pretrain(settings, TinyPlaces()) / "config.json").is_file()


def test_a_backbone_that_cannot_take_the_view_is_refused(
    tiny_pretraining: PretrainingSettings,
) -> None:
    views = dataclasses.replace(tiny_pretraining.views, crop=64)
    settings = dataclasses.replace(
        tiny_pretraining, backbone="maxvit_tiny_tf_224", views=views
    )
    with pytest.raises(
        SettingsError, match=r"views\.crop=64: .*maxvit.* views\.crop=224 goes"
    ):
        pretrain(settings, NoPlaces())
