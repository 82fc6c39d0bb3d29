"""Which weights were loaded stands in what is written: name, commit and SHA-256; and what
a model is given stands in its config.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

import sencap
from hub_server import Hub
from sencap.checkpoint_folder import input_record, read_checkpoint_folder
from sencap.cli import main
from sencap.config import ModelSettings, TrainingSettings
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.errors import CheckpointError
from sencap.evaluation.report import report_as_markdown
from sencap.foreign import initialise_backbone
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.variants import build
from sencap.reproduce.starts import find_weights, fingerprint
from sencap.training.fit import fit
from sencap.training.folder import check_sources
from sencap.weights import SHIPPED, resolve_weights
from serving_tools import serving

EXAMPLES = Path(sencap.__file__).parent / "examples"
PAIR = [str(EXAMPLES / f"synthetic-road_{date}.png") for date in ("before", "after")]
NAME = "hub:somebody/captioner@main"


@pytest.fixture
def shipped_record(hub: Hub, shipped_files: dict[str, bytes]) -> dict[str, str]:
    """What has to be told of the weights that ship, which lie on the hub."""
    commit = hub.add("somebody/captioner", shipped_files)
    digest = hashlib.sha256(shipped_files["model.safetensors"]).hexdigest()
    return {"name": NAME, "commit": commit, "sha256": digest}


def test_captions_in_json_tell_them(
    shipped_record: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["caption", *PAIR, "--weights", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == shipped_record


def test_a_scan_tells_them(
    shipped_record: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scan.geojson"
    command = ["scan", *PAIR, "-o", str(out), "--side", "128", "--json", "--quiet"]
    assert main([*command, "--weights", NAME, "--assume-same-grid"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == shipped_record
    text = out.read_text(encoding="utf-8")
    assert shipped_record["sha256"] in text
    assert shipped_record["commit"] in text


def test_a_report_tells_them(
    shipped_record: dict[str, str],
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")  # METEOR takes seconds, and is not the matter here
    report = sencap.evaluate(tiny_data, weights=NAME, beam=1)
    assert report["weights"] == shipped_record
    assert report["data"] == {"name": tiny_data.name, "split": ["test"], "limit": None}
    text = report_as_markdown(report)
    assert f"commit {shipped_record['commit']}" in text
    assert shipped_record["sha256"] in text
    assert str(tmp_path) not in json.dumps(report["weights"])


def test_figures_of_speed_tell_them(
    shipped_record: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring itself takes minutes, and is the matter of other tests."""

    class Measured:
        def as_dict(self) -> dict[str, int]:
            return {"pairs": 1}

        def markdown(self) -> str:
            return ""

    asked: list[str] = []

    def measure(_: object, folders: dict[str, Path], **__: object) -> Measured:
        asked.extend(folders)
        return Measured()

    monkeypatch.setattr("sencap.bench.bench", measure)
    path = tmp_path / "speed.json"
    assert main(["bench", "--weights", NAME, "--json", str(path)]) == 0
    assert asked == ["weights captioner"]
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert figures == {"pairs": 1, "weights": shipped_record}


def test_a_server_tells_them(shipped_record: dict[str, str]) -> None:
    with serving(weights=NAME) as client:
        (told,) = client.get("/info").json()["weights"]
    assert told["name"] == "captioner"
    assert (told["commit"], told["sha256"]) == (
        shipped_record["commit"],
        shipped_record["sha256"],
    )


def tiny_checkpoint(folder: Path, data: Path, settings: ModelSettings) -> Path:
    """A checkpoint of the tiny system with random weights."""
    captions = [words for entry in read_captions(data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    torch.manual_seed(0)
    captioner = build(settings, len(vocabulary)).eval()
    return save_checkpoint(folder, Checkpoint(captioner, vocabulary, settings, {}))


def test_a_run_that_starts_from_the_hub_tells_from_what(
    hub: Hub,
    tiny_training: TrainingSettings,
    tiny_model: ModelSettings,
    tiny_data: Path,
    tmp_path: Path,
) -> None:
    folder = tiny_checkpoint(tmp_path / "start", tiny_data, tiny_model)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    commit = hub.add("somebody/start", files)
    name = f"hub:somebody/start@{commit}"
    optimisation = dataclasses.replace(tiny_training.optimisation, epochs=1)
    settings = dataclasses.replace(tiny_training, start=name, optimisation=optimisation)
    check_sources(settings)
    best = fit(settings)
    expected = {
        "name": name,
        "commit": commit,
        "sha256": hashlib.sha256(files["model.safetensors"]).hexdigest(),
    }
    run = json.loads((Path(settings.out) / "run.json").read_text(encoding="utf-8"))
    assert run["start"] == expected
    training = read_checkpoint_folder(best).training
    assert training["start"] == expected
    assert training["settings"]["start"] == name
    local = dataclasses.replace(settings, start=f"local:{folder}", out=f"{best}-2")
    fit(local)
    run = json.loads((Path(local.out) / "run.json").read_text(encoding="utf-8"))
    assert run["start"] == {**expected, "name": "start", "commit": None}


def test_a_backbone_starts_from_a_checkpoint_on_the_hub(
    hub: Hub, tiny_model: ModelSettings, tiny_data: Path, tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path / "start", tiny_data, tiny_model)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.add("somebody/start", files)
    for name in ("hub:somebody/start@main", f"local:{folder}"):
        torch.manual_seed(1)
        captioner = build(tiny_model, 20)
        told = initialise_backbone(captioner.extractor, name)  # type: ignore[arg-type]
        assert "a sencap captioner" in told
        taken = captioner.extractor.state_dict()
        given = load_checkpoint(folder).captioner.extractor.state_dict()
        for key in [key for key in given if key.startswith("backbone.")]:
            assert torch.equal(taken[key], given[key])
        assert find_weights(name, "test_efficientnet", flag="init") == name
        told = fingerprint(name).rpartition(":")[2]
        assert told == fingerprint(str(folder)).rpartition(":")[2]


def test_a_start_that_is_not_on_the_hub_is_told_first(
    hub: Hub, tiny_training: TrainingSettings
) -> None:
    settings = dataclasses.replace(tiny_training, start="hub:somebody/none")
    with pytest.raises(CheckpointError, match=r"is not on the hub, or not for you"):
        check_sources(settings)


def test_what_a_model_is_given_travels_and_others_are_refused(
    tiny_model: ModelSettings, tiny_data: Path, tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path / "made", tiny_data, tiny_model)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    assert config["input"] == {"bands": ["red", "green", "blue"], "stretch": "together"}
    model = config["model"]
    assert {"size", "mean", "std"} <= model.keys()
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    assert config["vocabulary_size"] == len(vocabulary)
    assert config["vocabulary_digest"] == vocabulary.digest
    for other in (
        {"bands": ["nir", "red", "green"], "stretch": "together"},
        {"bands": ["red", "green", "blue"], "stretch": "per-date"},
        {"bands": ["red", "green", "blue"]},
        "rgb",
    ):
        path.write_text(json.dumps({**config, "input": other}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"input is .* and no others"):
            read_checkpoint_folder(folder)
    del config["input"]  # as in folders of before
    path.write_text(json.dumps(config), encoding="utf-8")
    assert read_checkpoint_folder(folder).settings == tiny_model


def test_the_weights_that_ship_say_what_they_are_given() -> None:
    config = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    assert config["input"] == input_record()


def test_a_folder_is_told_without_its_path(tmp_path: Path) -> None:
    copied = shutil.copytree(SHIPPED, tmp_path / "copied")
    record = resolve_weights(copied).record()
    assert record["name"] == "copied"
    assert record["sha256"] == resolve_weights(None).record()["sha256"]
