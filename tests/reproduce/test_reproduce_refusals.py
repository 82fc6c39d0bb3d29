"""What `sencap reproduce` refuses before hours of work, and the files of a folder of
runs that are damaged."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sencap.cli import main
from sencap.config import HardwareSettings
from sencap.errors import CheckpointError, DataError, OutputError, SettingsError
from sencap.reproduce import EXPERIMENTS, Options, reproduce
from sencap.reproduce import run as running
from sencap.reproduce.estimate import _epochs_done
from sencap.reproduce.options import Options as TorchFree
from sencap.reproduce.plan import plan
from sencap.verbs.reproduce import command

REPORT = {
    "parameters": {},
    "ids": {},
    "change_accuracy": 1,
    "signatures": {},
    "reference_rows": {},
}


@pytest.fixture
def options(tiny_data: Path, tmp_path: Path) -> Options:
    return Options(
        data=str(tiny_data), out=str(tmp_path / "o"), scale="smoke", progress=False
    )


@pytest.mark.parametrize(
    ("seeds", "match"),
    [
        ("", "seeds='' are not whole numbers"),
        ("a", "seeds='a' are not whole numbers joined by commas"),
        ("1,,2", "seeds='1,,2' are not whole numbers"),
        ("1.5", "seeds='1.5' are not whole numbers"),
        ("9" * 5000, "seeds='9+…9+' are not whole numbers"),
        ("-1", "seeds is -1; it must be a whole number from 0"),
        ("1,1", "seeds=1,1: one comes twice"),
        ("1000000000000", "seeds is 1000000000000; it must be"),
    ],
)
def test_seeds_that_are_none_are_refused(
    seeds: str, match: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=match):
        command("table2", data="nowhere", out=str(tmp_path / "o"), seeds=seeds)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("seeds", [(-1,), (1, 1), (2**32,), (True,), (1.0,)])
def test_python_may_not_give_such_seeds_either(seeds: tuple[int, ...]) -> None:
    with pytest.raises(
        SettingsError, match=r"seeds is .*; it must be a whole number|one comes twice"
    ):
        Options(data="d", out="o", seeds=seeds)


@pytest.mark.parametrize(
    "name",
    ["data", "out", "test_data", "places", "imagenet", "seco", "init", "captions"],
)
def test_an_empty_text_is_no_default(name: str, options: Options) -> None:
    empty: dict[str, Any] = {name: ""}
    with pytest.raises(SettingsError, match=f"{name} is empty"):
        dataclasses.replace(options, **empty)


@pytest.mark.parametrize("out", ["file", "file/runs", "/dev/null", "/proc/runs"])
def test_an_out_that_cannot_be_a_folder_is_refused_at_once(
    out: str, tmp_path: Path, options: Options
) -> None:
    (tmp_path / "file").write_text("mine")
    given = str(tmp_path / out)
    with pytest.raises(
        (SettingsError, OutputError),
        match=r"is a file; name a folder|cannot be written",
    ):
        command("table2", data="nowhere", out=given)
    with pytest.raises(
        (SettingsError, OutputError),
        match=r"is a file; name a folder|cannot be written",
    ):
        reproduce("table2", dataclasses.replace(options, out=given))


@pytest.mark.parametrize("name", ["training", "pretraining"])
def test_a_file_in_the_place_of_the_runs_is_named(name: str, options: Options) -> None:
    Path(options.out).mkdir()
    (Path(options.out) / name).write_text("mine")
    with pytest.raises(SettingsError, match=f"{name} is a file; name a folder"):
        reproduce("table2", options)


@pytest.mark.parametrize("accelerator", ["tpu", "nonsense", "meta"])
def test_hardware_that_is_not_here_is_refused_at_once(
    accelerator: str, options: Options
) -> None:
    hardware = HardwareSettings(accelerator=accelerator)
    with pytest.raises(
        SettingsError, match="it must be auto, cpu or gpu; here is a CPU"
    ):
        command("table2", data="nowhere", out=options.out, hardware=hardware)
    with pytest.raises(
        SettingsError, match="it must be auto, cpu or gpu; here is a CPU"
    ):
        reproduce("table2", dataclasses.replace(options, hardware=hardware))


def test_a_wrong_name_or_seed_loads_no_torch() -> None:
    code = (
        "import sys; from sencap.cli import main;"
        "codes = [main(['reproduce', *words, '--data', 'd', '--out', '/dev/null'])"
        " for words in (['tabel2'], ['table2', '--seeds', '1,1'], ['table2'])];"
        "sys.exit('torch' in sys.modules or codes != [2, 2, 2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert TorchFree is Options


def test_the_command_line_says_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "table2", "--data", "d", "--seeds", ""]) == 2
    assert "seeds is empty" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff"])
def test_a_damaged_options_file_is_named_with_what_to_do(
    content: bytes, options: Options
) -> None:
    path = Path(options.out) / "options.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(
        DataError,
        match=r"options\.json is .*; delete it if all runs in this folder are of these",
    ):
        reproduce("table2", options)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", json.dumps({**REPORT, "ids": {}})[:-30]]
)
def test_a_damaged_report_is_named_before_the_first_run(
    content: str, options: Options
) -> None:
    report = plan(EXPERIMENTS["table2"], options)[0].report
    report.parent.mkdir(parents=True)
    report.write_text(content)
    with pytest.raises(
        DataError,
        match=r"report-beam-3\.json is .*; delete it, and the same command evaluates",
    ):
        reproduce("table2", options)


def test_a_damaged_record_costs_an_estimate_or_a_duration_only(
    options: Options,
) -> None:
    training = plan(EXPERIMENTS["table2"], options)[0]
    record = Path(training.settings.out) / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    assert _epochs_done(training.settings.out) == 0
    assert running._seconds(training) is None
    record.write_text(
        '{"settings": {}, "epochs": [{"loss": 1, "seconds": 2.5}, {"loss": 1, "seconds": 1}]}'
    )
    assert _epochs_done(training.settings.out) == 2
    assert running._seconds(training) == 3.5


def test_a_damaged_record_of_a_finished_pretraining_is_named(options: Options) -> None:
    pretraining = next(
        t.pretraining for t in plan(EXPERIMENTS["table2"], options) if t.pretraining
    )
    pretraining.backbone.mkdir(parents=True)
    (pretraining.backbone / "config.json").write_text("{}")
    (pretraining.folder / "run.json").write_text("")
    with pytest.raises(
        CheckpointError,
        match=r"run\.json is .*; delete .*, and the same command pre-trains it",
    ):
        reproduce("table2", options)
