"""Weights pushed to a hub of this machine: card, item, upload, and the look afterwards."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import sencap
from hub_server import Hub
from sencap.checkpoint_folder import read_checkpoint_folder
from sencap.cli import main
from sencap.errors import CheckpointError, DataError, SettingsError
from sencap.evaluating import official_split_notes
from sencap.publishing import push
from sencap.publishing.about import read_about
from sencap.publishing.item import stac_item
from sencap.publishing.upload import example_pair
from sencap.weights import SHIPPED, resolve_weights
from sencap.weights.names import FILES

# of huggingface_hub, which hands files to its HTTP client in a way that ages
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "somebody/captioner"
SENT = ["README.md", "item.json", "example.png"]


def dry(report: Path, about: Path, tmp_path: Path) -> Path:
    """The folder of a dry run with the weights that ship."""
    out = tmp_path / "out"
    push(SHIPPED, NAME, reports=[report], about=about, dry_run=True, out=out)
    return out


def test_all_lies_on_the_hub_in_one_commit_and_captions(
    hub: Hub, report: Path, about: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["push", str(SHIPPED), NAME, "--report", str(report)]
    assert main([*command, "--about", str(about)]) == 0
    told = capsys.readouterr().out
    repository = hub.repositories[NAME]
    commit = repository.branches["main"]
    assert f"hub:{NAME}@{commit}" in told
    files = repository.commits[commit]
    shipped = [name for name in FILES if (SHIPPED / name).is_file()]
    assert {*files} == {*shipped, *SENT, ".gitattributes"}
    for name in {*shipped} - {"README.md"}:
        assert files[name] == (SHIPPED / name).read_bytes()
    assert len(repository.commits) == 2  # the hub's own first one, and ours
    found = resolve_weights(f"hub:{NAME}@{commit}")
    assert found.sha256 == resolve_weights(None).sha256
    # it was looked at after it was sent, and not in the cache of this machine
    sent = hub.asked.index(f"POST /api/models/{NAME}/commit/main")
    fetched = f"GET /{NAME}/resolve/{commit}/model.safetensors"
    assert hub.asked.index(fetched) > sent


def test_weights_that_come_back_otherwise_are_told(
    hub: Hub, report: Path, about: Path
) -> None:
    hub.spoil = True
    with pytest.raises(CheckpointError, match=r"was uploaded, and came back with SHA"):
        push(SHIPPED, NAME, reports=[report], about=about)


def test_what_the_hub_refuses_is_told(hub: Hub, report: Path, about: Path) -> None:
    hub.read_only = True
    with pytest.raises(
        CheckpointError, match=rf"hub:{NAME} refused you \(403\): log in"
    ):
        push(SHIPPED, NAME, reports=[report], about=about)


def test_a_dry_run_asks_nobody_and_changes_no_weights(
    hub: Hub, report: Path, about: Path, tmp_path: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in SHIPPED.iterdir()}
    out = dry(report, about, tmp_path)
    assert sorted(path.name for path in out.iterdir()) == sorted(SENT)
    assert hub.asked == []
    after = {path.name: path.stat().st_mtime_ns for path in SHIPPED.iterdir()}
    assert before == after


def test_the_card_tells_the_run_its_scores_and_a_person_s_words(
    report: Path, about: Path, tmp_path: Path
) -> None:
    card = (dry(report, about, tmp_path) / "README.md").read_text(encoding="utf-8")
    _, front, text = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["license"], head["library_name"]) == ("other", "sencap")
    scored = json.loads(report.read_text(encoding="utf-8"))
    for protocol in ("ids", "words"):
        assert scored["signatures"][protocol] in text
        assert f"| {scored[protocol]['all']['BLEU-4']:.2f} |" in text
        for row in scored["reference_rows"].values():
            score = row[protocol]["BLEU-4"]
            assert score is None or f"| {score:.2f} |" in text
    assert "### drawn, val: 4 pairs" in text
    for words in yaml.safe_load(about.read_text(encoding="utf-8")).values():
        assert words in text
    checkpoint = read_checkpoint_folder(SHIPPED)
    settings: dict[str, Any] = checkpoint.training["settings"]
    assert f"- Epochs: {settings['optimisation']['epochs']}\n" in text
    assert f"- Folders of the run: {', '.join(settings['data'])}\n" in text
    assert resolve_weights(None).sha256 in text
    assert f"“{sencap.load()(*example_pair()).text}”" in text


def test_the_weights_that_ship_can_be_pushed(report: Path, tmp_path: Path) -> None:
    """What a person has to say of them lies beside them."""
    out = tmp_path / "out"
    push(SHIPPED, NAME, reports=[report], dry_run=True, out=out)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "license: other" in card
    assert "For research use only." in card
    data = tmp_path / "data"
    data.mkdir()
    (data / "LevirCCcaptions.json").write_text('{"images": []}', encoding="utf-8")
    assert official_split_notes(out, data, ["test_000001.png"])


def test_a_card_s_warning_is_heeded_by_evaluate(
    report: Path, about: Path, tmp_path: Path
) -> None:
    """What `sencap evaluate` looks for in a card survives its being written."""
    warned = about.read_text(encoding="utf-8").replace(
        "on the moon", "on LEVIR-CC's official val and test splits"
    )
    about.write_text(warned, encoding="utf-8")
    card = dry(report, about, tmp_path) / "README.md"
    data = tmp_path / "data"
    data.mkdir()
    (data / "LevirCCcaptions.json").write_text('{"images": []}', encoding="utf-8")
    assert official_split_notes(card.parent, data, ["test_000001.png"])


LACKS = {
    "licence: other": ("licence:", r"licence is not set"),
    "licence: other\n": ("", r"licence is not set"),
    "licence:": ("licence: TODO #", r"licence is not set"),
    "licence: ": ("licence: Apache License # ", r"hub's identifiers are of small"),
    "licence_terms: For research alone.": ("licence_terms:", r"licence_terms is empty"),
    "data: Pairs that nobody may name.": ("data: ''", r"data is empty"),
    "limits: Never": ("limits: '  ' # ", r"limits is empty"),
    "intended_use: To": ("intended_use: n/a # ", r"intended_use is empty"),
    "data: ": ("dat: ", r"'dat' is no entry; did you mean 'data'"),
    "limits: ": ("limits: 7 # ", r"limits is 7; it must be a text"),
}


@pytest.mark.parametrize("entry", LACKS)
def test_what_a_card_needs_is_named(about: Path, entry: str) -> None:
    instead, words = LACKS[entry]
    text = about.read_text(encoding="utf-8")
    about.write_text(text.replace(entry, instead, 1), encoding="utf-8")
    with pytest.raises(SettingsError, match=words):
        read_about(about)


def test_two_that_are_empty_are_both_named(about: Path) -> None:
    about.write_text("licence: mit\nlimits: some\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"data, intended_use are empty"):
        read_about(about)


def test_scores_of_other_weights_are_refused(
    report: Path, about: Path, tmp_path: Path
) -> None:
    content = json.loads(report.read_text(encoding="utf-8"))
    content["weights"]["sha256"] = "0" * 64
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"is of other weights \(SHA-256 000000000000"):
        push(SHIPPED, NAME, reports=[other], about=about, dry_run=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", r"is no report of an evaluation"),
        ("{}", r"lacks ids, words, reference_rows, signatures, weights, data, notes"),
        ("{", r"is not readable JSON"),
    ],
)
def test_what_is_no_report_is_refused(
    about: Path, tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "report.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        push(SHIPPED, NAME, reports=[path], about=about, dry_run=True)


def test_weights_without_graphs_are_refused(
    report: Path, about: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(SHIPPED, bare, ignore=shutil.ignore_patterns("*.onnx"))
    with pytest.raises(CheckpointError, match=r"has no encoder\.onnx.*sencap export"):
        push(bare, NAME, reports=[report], about=about, dry_run=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", NAME], "nowhere is not a checkpoint folder (it does not exist)"),
        ([str(SHIPPED), "captioner"], "is no repository of the hub"),
        (["hub:a/b", NAME], "is on the hub already"),
        ([str(SHIPPED), NAME, "--out", "x"], "give --dry-run with it"),
        ([str(SHIPPED), NAME, "--about", "none.yaml"], "none.yaml is not there"),
    ],
)
def test_what_cannot_be_pushed_ends_with_2(
    arguments: list[str], words: str, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", *arguments, "--report", str(report)]) == 2
    assert words in capsys.readouterr().err


def test_a_dry_run_does_not_write_over_the_weights_own_card(
    report: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(SHIPPED, tmp_path / "copied")
    with pytest.raises(
        SettingsError, match=r"is the checkpoint folder, whose own card"
    ):
        push(copied, NAME, reports=[report], dry_run=True, out=copied)
    card = (copied / "README.md").read_bytes()
    assert card == (SHIPPED / "README.md").read_bytes()


def test_a_push_needs_a_report(about: Path) -> None:
    with pytest.raises(SettingsError, match=r"a card without scores"):
        push(SHIPPED, NAME, reports=[], about=about)


def test_the_item_is_stac_and_tells_what_goes_in(about: Path) -> None:
    pystac = pytest.importorskip("pystac", reason="needs pystac")
    from pystac.extensions.mlm import MLMExtension
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    checkpoint = read_checkpoint_folder(SHIPPED)
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    told = stac_item(checkpoint, NAME, about=read_about(about), now=now)
    kind = pystac.STACObjectType.ITEM
    JsonSchemaSTACValidator().validate_core(told, kind, "1.1.0")
    item = pystac.Item.from_dict(told)
    assert item.datetime == now
    model = MLMExtension.ext(item)
    assert model.tasks[0] == "image-captioning"
    size = checkpoint.settings.size
    (pair,) = model.input
    assert pair.input.shape == [-1, 2, 3, size, size]
    assert len(pair.input.shape) == len(pair.input.dim_order)
    for scaling, mean in zip(
        pair.properties["value_scaling"], checkpoint.settings.mean, strict=True
    ):
        assert scaling["type"] == "z-score"
        assert scaling["mean"] == pytest.approx(255 * mean)
    weights = item.assets["model-safetensors"]
    assert "mlm:model" in (weights.roles or [])
    digest = weights.extra_fields["file:checksum"].removeprefix("1220")
    assert digest == resolve_weights(None).sha256
    links = {asset.href for asset in item.assets.values()}
    named = {f"./{path.name}" for path in SHIPPED.iterdir() if path.name in FILES}
    assert links == named
