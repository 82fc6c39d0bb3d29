"""What a training run refuses before data are read, what damage it survives, and what
it says at its start."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sencap.config import (
    FORMER_DEFAULTS,
    ChangeSettings,
    DecoderSettings,
    HardwareSettings,
    OptimisationSettings,
    TrainingSettings,
    VocabularySettings,
    as_dict,
)
from sencap.errors import CheckpointError, OutputError, SencapError, SettingsError
from sencap.training.fit import fit
from sencap.training.folder import check_training_folder

ONE_EPOCH = OptimisationSettings(epochs=1, learning_rate=1e-3)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Path:
    """The folder of a run of one epoch, to be copied; its settings are those of
    `again`."""
    out = tmp_path_factory.mktemp("finished") / "run"
    fit(_settings(tiny_data, out))
    return out


def _settings(data: Path, out: Path) -> TrainingSettings:
    settings = TrainingSettings(data=str(data), out=str(out))
    return dataclasses.replace(
        settings,
        dimension=32,
        size=64,
        extractor=dataclasses.replace(settings.extractor, backbone="test_efficientnet"),
        difference=dataclasses.replace(settings.difference, layers=1, heads=4),
        decoder=DecoderSettings(heads=4, max_words=20),
        vocabulary=VocabularySettings(minimum_count=1),
        loading=dataclasses.replace(settings.loading, batch_size=20, one_pass=True),
        optimisation=ONE_EPOCH,
        hardware=HardwareSettings(accelerator="cpu"),
        progress=False,
    )


@pytest.fixture
def again(finished: Path, tiny_data: Path, tmp_path: Path) -> TrainingSettings:
    """The same run in a folder of its own; only what is gone on from is needed of
    it."""
    out = tmp_path / "run"
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns("logs", "last"))
    return _settings(tiny_data, out)


# --- hardware and the folder


@pytest.mark.parametrize(
    ("hardware", "match"),
    [
        (
            {"accelerator": "gpu"},
            "hardware.accelerator is gpu, which is not here; here is a CPU with .* "
            "no GPU",
        ),
        ({"accelerator": "cuda"}, "accelerator is cuda, which is not here"),
        ({"accelerator": "mps"}, "accelerator is mps, which is not here"),
        (
            {"accelerator": "tpu"},
            "accelerator is 'tpu'; it must be auto, cpu or gpu; here is a CPU",
        ),
        ({"accelerator": "meta"}, "accelerator is 'meta'; it must be"),
        ({"accelerator": "nonsense"}, "accelerator is 'nonsense'; it must be"),
        ({"accelerator": ""}, "accelerator is ''; it must be"),
        (
            {"accelerator": "cpu", "devices": 999},
            "hardware.devices is 999 .*; the most is",
        ),
        ({"devices": 999}, "hardware.devices is 999 .*; the most is"),
        (
            {"accelerator": "cpu", "nodes": 2},
            "hardware.nodes is 2, and nothing says where the machines meet",
        ),
    ],
)
def test_hardware_that_is_not_here_is_refused_before_data_are_read(
    hardware: dict[str, Any],
    match: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sencap.environment import MEETING_POINTS

    for name in MEETING_POINTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    settings = _settings(tmp_path / "nowhere", tmp_path / "run")
    with pytest.raises(SettingsError, match=match):
        fit(dataclasses.replace(settings, hardware=HardwareSettings(**hardware)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", ["file", "file/run", "/dev/null", "/proc/run"])
def test_an_out_that_cannot_be_a_folder_is_refused_before_data_are_read(
    out: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        (SettingsError, OutputError),
        match=r"is a file; name a folder|cannot be written",
    ):
        fit(_settings(tmp_path / "nowhere", tmp_path / out))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["best", "last", "logs"])
def test_a_file_where_the_run_writes_a_folder_is_named(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        SettingsError,
        match=f"{name} is a file, and a run writes a folder there; rename it",
    ):
        fit(_settings(tmp_path / "nowhere", tmp_path))


def test_results_of_someone_else_are_not_written_over(
    tiny_data: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished / "best", out / "best")
    settings = _settings(tiny_data, out)
    with pytest.raises(
        SettingsError, match=r"holds best/ of another run, which would be written over"
    ):
        fit(settings)
    with pytest.raises(
        SettingsError, match=r"the run would write over .*best, which it starts from"
    ):
        fit(dataclasses.replace(settings, start=str(out / "best")))


# --- damage


def _torch_file(content: object) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)


class _Code:
    """Anything but plain data."""


@pytest.mark.parametrize(
    "damage",
    [
        _bytes(b""),
        _bytes(b"no zip"),
        _bytes(b"PK\x05\x06" + bytes(18)),  # an empty zip archive
        _half,
        _flipped,
        _torch_file([1, 2]),
        _torch_file({"state_dict": {}}),
        _torch_file({"callbacks": 3}),
        _torch_file({"callbacks": {"Watcher": {"history": []}}}),
        _torch_file({"callbacks": {"Exporter": {"history": 3}}}),
        _torch_file({"callbacks": {"Exporter": _Code()}}),
    ],
)
def test_a_damaged_resume_file_is_named_with_what_to_delete(
    damage: Callable[[Path], None], again: TrainingSettings
) -> None:
    resume = Path(again.out) / "resume.ckpt"
    damage(resume)
    with pytest.raises(
        CheckpointError, match=r"resume\.ckpt is .* delete it"
    ) as caught:
        fit(dataclasses.replace(again, data="nowhere"))
    assert "Error" not in str(caught.value)
    assert "\n" not in str(caught.value)
    resume.unlink()
    fit(again)  # what the message says helps
    assert resume.is_file()


RUN_DAMAGES = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"{}",
    b'{"settings": {}}',
    b'{"settings": 3, "epochs": []}',
    b'{"settings": {}, "epochs": [3]}',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", RUN_DAMAGES)
def test_a_damaged_record_is_written_anew_while_the_resume_file_is_whole(
    content: bytes, again: TrainingSettings, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(again.out) / "run.json"
    epochs = json.loads(run.read_text())["epochs"]
    run.write_bytes(content)
    with pytest.raises(SettingsError, match="seed: 42 there, 1 now"):
        fit(dataclasses.replace(again, seed=1))
    with caplog.at_level("WARNING", logger="sencap"):
        fit(again)
    assert "so the run goes on" in caplog.text
    assert json.loads(run.read_text())["epochs"] == epochs


@pytest.mark.parametrize("content", RUN_DAMAGES)
def test_a_damaged_record_without_a_resume_file_is_named(
    content: bytes, again: TrainingSettings
) -> None:
    (Path(again.out) / "resume.ckpt").unlink()
    (Path(again.out) / "run.json").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"run\.json is .*; delete it, or choose another out"
    ):
        fit(dataclasses.replace(again, data="nowhere"))


@pytest.mark.parametrize("name", ["run.json", "resume.ckpt"])
def test_a_folder_where_the_run_writes_a_file_is_named(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(
        SettingsError, match=f"{name} is a folder, and a run writes a file there"
    ):
        fit(_settings(tmp_path / "nowhere", tmp_path / "run"))


def test_a_best_checkpoint_that_is_gone_is_told(again: TrainingSettings) -> None:
    shutil.rmtree(Path(again.out) / "best")
    with pytest.raises(
        CheckpointError,
        match=r"best is no longer there, .* the result of the epochs that are done",
    ):
        fit(again)


def test_drafts_that_a_killed_run_left_are_deleted(again: TrainingSettings) -> None:
    out = Path(again.out)
    drafts = [out / ".resume.77.new.ckpt", out / "best" / ".config.77.new.json"]
    for draft in drafts:
        draft.write_text("half")
    fit(again)
    assert not any(draft.exists() for draft in drafts)


# --- settings of another run


def test_changed_settings_are_named_in_full_and_at_most_five(
    again: TrainingSettings,
) -> None:
    with pytest.raises(
        SettingsError, match=r"other settings \(seed: 42 there, 1 now\)"
    ):
        fit(dataclasses.replace(again, seed=1))
    fewer = dataclasses.replace(again.optimisation, learning_rate=0.5, patience=9)
    match = r"optimisation\.learning_rate: 0\.001 there, 0\.5 now; optimisation\.patience: 3 there, 9 now\);"  # noqa: E501
    with pytest.raises(SettingsError, match=match):
        fit(dataclasses.replace(again, optimisation=fewer))
    other = dataclasses.replace(
        again, seed=1, size=96, mean=(0.1, 0.2, 0.3), dimension=64, system="sen-dual"
    )
    with pytest.raises(
        SettingsError, match=r"other settings \((?:[^;]*there[^;]*; ){5}and 2 more\)"
    ):
        fit(
            dataclasses.replace(
                other,
                decoder=DecoderSettings(heads=4),
                optimisation=OptimisationSettings(epochs=1),
            )
        )


def test_a_run_of_before_whose_record_holds_former_defaults_goes_on(
    again: TrainingSettings,
) -> None:
    run = Path(again.out) / "run.json"
    record = json.loads(run.read_text(encoding="utf-8"))
    record["settings"]["difference"] |= FORMER_DEFAULTS
    run.write_text(json.dumps(record), encoding="utf-8")
    assert check_training_folder(again) == again.optimisation.epochs
    other = dataclasses.replace(again.difference, reduction=8)
    with pytest.raises(SettingsError, match=r"difference\.reduction: 16 there, 8 now"):
        check_training_folder(dataclasses.replace(again, difference=other))


def test_a_run_of_before_a_setting_was_there_had_its_default(
    again: TrainingSettings,
) -> None:
    run = Path(again.out) / "run.json"
    record = json.loads(run.read_text(encoding="utf-8"))
    del record["settings"]["change"]
    del record["settings"]["loading"]["same"]
    run.write_text(json.dumps(record), encoding="utf-8")
    assert check_training_folder(again) == again.optimisation.epochs
    with pytest.raises(SettingsError, match=r"change\.flag: 0\.0 there, 1\.0 now"):
        check_training_folder(
            dataclasses.replace(again, change=ChangeSettings(flag=1.0))
        )


def test_what_decides_no_result_may_change(again: TrainingSettings) -> None:
    loading = dataclasses.replace(again.loading, workers=1, cache=True)
    assert fit(dataclasses.replace(again, loading=loading)) == Path(again.out) / "best"


def test_a_finished_run_that_is_asked_for_more_epochs_goes_on(
    again: TrainingSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two = dataclasses.replace(again.optimisation, epochs=2)
    at_once = fit(
        dataclasses.replace(again, optimisation=two, out=str(tmp_path / "at-once"))
    )
    with caplog.at_level("INFO", logger="sencap"):
        fit(again)
        later = fit(dataclasses.replace(again, optimisation=two))
    assert "has all its epochs; there is nothing left to do" in caplog.text
    assert "goes on after 1 of 2 epochs" in caplog.text
    for name in ("best", "last"):
        expected = load_file(at_once.parent / name / "model.safetensors")
        found = load_file(later.parent / name / "model.safetensors")
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    with pytest.raises(SettingsError, match=r"optimisation\.epochs: 2 there, 1 now"):
        fit(again)


def test_a_schedule_that_ends_is_not_made_longer(
    tiny_training: TrainingSettings,
) -> None:
    cosine = dataclasses.replace(
        tiny_training.optimisation, schedule="cosine", epochs=2
    )
    fit(dataclasses.replace(tiny_training, optimisation=cosine))
    more = dataclasses.replace(cosine, epochs=3)
    with pytest.raises(
        SettingsError,
        match=r"epochs: 2 there, 3 now.*cannot be made longer; give another folder",
    ):
        fit(dataclasses.replace(tiny_training, optimisation=more))


# --- what is said of the words


def test_the_words_that_are_known_are_told_and_too_few_are_warned_of(
    again: TrainingSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="sencap"):
        fit(again)
    assert (
        "training: 8 pairs with 40 captions; 37 of 37 different words known, 0.0 % of all words"
        in caplog.text
    )
    assert "validation: 4 pairs with 20 captions" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    few = dataclasses.replace(
        again,
        out=str(tmp_path / "few"),
        vocabulary=VocabularySettings(minimum_count=30),
        decoder=DecoderSettings(heads=4, max_words=6),
    )
    with caplog.at_level("INFO", logger="sencap"):
        fit(few)
    assert "6 of 37 different words known, 60.4 % of all words unknown" in caplog.text
    assert (
        "captions have more than decoder.max_words=6 words, and are cut" in caplog.text
    )
    warning = next(
        record.message for record in caplog.records if record.levelname == "WARNING"
    )
    assert "the vocabulary has 6 words only" in warning
    assert "vocabulary.minimum_count=30 times; give fewer" in warning


# --- errors of loading processes


def test_an_error_of_a_loading_process_is_told_without_its_traceback(
    again: TrainingSettings, tiny_data: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_data, broken)
    for image in (broken / "images" / "train" / "A").iterdir():
        image.write_bytes(b"no image")
    loading = dataclasses.replace(again.loading, workers=1)
    settings = dataclasses.replace(
        again, out=str(tmp_path / "out"), data=str(broken), loading=loading
    )
    with pytest.raises(SencapError, match=r"train_00000\d\.png") as caught:
        fit(settings)
    assert "Traceback" not in str(caught.value)
    assert "worker" not in str(caught.value)


def test_settings_are_recorded_in_the_resume_file_too(again: TrainingSettings) -> None:
    content = torch.load(Path(again.out) / "resume.ckpt", weights_only=True)
    recorded = content["callbacks"]["Exporter"]["settings"]
    assert {**recorded, "out": again.out} == as_dict(again)
