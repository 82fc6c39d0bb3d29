"""The command line, as a user meets it: answers, errors, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sencap import ModelSettings
from sencap.cli import main
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build


@pytest.fixture
def weights(tmp_path: Path, tiny_data: Path, tiny_model: ModelSettings) -> str:
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    captioner = build(tiny_model, len(vocabulary)).eval()
    return str(
        save_checkpoint(
            tmp_path / "weights", Checkpoint(captioner, vocabulary, tiny_model, {})
        )
    )


@pytest.fixture
def pair(tiny_data: Path) -> tuple[str, str]:
    folder = tiny_data / "images" / "test"
    return str(folder / "A" / "test_000002.png"), str(folder / "B" / "test_000002.png")


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for verb in ("caption", "evaluate", "train", "synth", "check", "info", "demo"):
        assert f"  {verb}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["captoin"], "'captoin' is not a verb; did you mean 'caption'?"),
        (["info", "sem"], "system='sem' is unknown; did you mean 'sen'?"),
        (
            ["info", "sen", "--vocabulary-sise", "5"],
            "did you mean '--vocabulary-size'?",
        ),
        (
            ["info", "sen", "--difference.heads", "7"],
            "dimension=512 cannot be split into difference.heads=7",
        ),
        (
            ["info", "sen", "--extractor.backbone", "resnet51"],
            "extractor.backbone='resnet51' is not a timm model",
        ),
        (
            ["train", "--data", "nowhere", "--out", "o", "--optimisation.epochs", "0"],
            "epochs is 0",
        ),
        (["train", "--data", "nowhere", "--out", "o"], "nowhere"),
        (["check", "nowhere"], "nowhere"),
        (
            ["evaluate", "--data", "nowhere", "--split", "tset"],
            "'tset' is none of train, val, test",
        ),
        (["synth", "out", "--pairs", "3"], "pairs"),
        (["caption", "a.png", "b.png", "c.png"], "got 3 arguments"),
        (["caption", __file__.replace("test_cli.py", "tiny_data.py")], "no column"),
    ],
)
def test_what_the_user_can_mend_is_one_clear_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("sencap: error: ")
    assert message in error
    assert "Traceback" not in error


def test_an_unknown_key_of_a_yaml_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("data: a\nout: b\noptimisation:\n  epochz: 3\n")
    assert main(["train", "--config", str(config)]) == 2
    assert "'epochz'; did you mean '--optimisation.epochs'?" in capsys.readouterr().err


def test_info_prints_the_papers_counts_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "sen", "--vocabulary-size", "501", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "extractor": 24_566_528,
        "difference": 10_582_016,
        "decoder": 4_717_557,
        "total": 39_866_101,
    }


def test_caption_of_one_pair_as_text_json_and_picture(
    weights: str,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = tmp_path / "out.png"
    assert (
        main(["caption", *pair, "--weights", weights, "--picture", str(picture)]) == 0
    )
    text = capsys.readouterr().out.strip()
    assert main(["caption", *pair, "--weights", weights, "--json"]) == 0
    details = json.loads(capsys.readouterr().out)
    assert details["caption"] == text
    assert details["log_prob"] < 0
    assert len(details["alternatives"]) == 2
    with Image.open(picture) as drawn:
        assert drawn.width > 2 * 384


def test_captions_of_a_folder_and_of_a_csv_file_agree(
    weights: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_data / "images" / "test"
    assert main(["caption", str(folder), "--weights", weights]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [
        f"test_{i:06d}" for i in (1, 2, 3, 4)
    ]
    table = tmp_path / "pairs.csv"
    rows = [
        f"{folder}/A/test_{i:06d}.png,{folder}/B/test_{i:06d}.png,test_{i:06d}"
        for i in (1, 2, 3, 4)
    ]
    table.write_text("\n".join(["before,after,name", *rows]))
    assert main(["caption", str(table), "--weights", weights]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_one_bad_file_does_not_lose_the_other_captions(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    for name in ("x", "y"):
        for date in ("before", "after"):
            image.save(tmp_path / f"{name}_{date}.png")
    (tmp_path / "x_after.png").write_text("not an image")
    assert main(["caption", str(tmp_path), "--weights", weights]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("y\t")
    assert "x_after.png" in shown.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.png", "missing.png"),
        ("text.png", "text.png"),
        ("tiny.png", "1×1"),
        ("wide.png", "differ in size"),
    ],
)
def test_a_bad_image_gives_exit_code_2_and_writes_nothing(
    name: str,
    message: str,
    weights: str,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.png").write_text("hello")
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    Image.new("RGB", (128, 64)).save(tmp_path / "wide.png")
    picture = tmp_path / "out.png"
    bad = str(tmp_path / name)
    assert (
        main(["caption", pair[0], bad, "--weights", weights, "--picture", str(picture)])
        == 2
    )
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert not picture.exists()


def test_evaluate_writes_json_markdown_and_a_page(
    weights: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endings = {"json": "json", "markdown": "md", "page": "html"}
    files = {kind: tmp_path / f"report.{ending}" for kind, ending in endings.items()}
    flags = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    arguments = [
        "evaluate",
        "--data",
        str(tiny_data),
        "--split",
        "val+test",
        "--weights",
        weights,
        "--quiet",
    ]
    assert main([*arguments, *flags]) == 0
    report = json.loads(files["json"].read_text())
    assert len(report["pairs"]) == 8
    assert set(report["ids"]) == {"all", "changed", "unchanged"}
    assert {"BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m"} <= set(
        report["ids"]["all"]
    )
    assert set(report["pairs"][0]) >= {"filename", "hypothesis", "log_prob", "changed"}
    assert 0 <= report["change_accuracy"] <= 1
    assert report["environment"]["sencap"]
    assert report["parameters"]["total"] > 100_000
    assert report["pairs_per_second"] > 0
    assert files["markdown"].read_text().strip() == capsys.readouterr().out.strip()
    assert "data:image/jpeg;base64" in files["page"].read_text()


def test_check_reports_a_broken_data_set_and_passes_a_good_one(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tiny_data)]) == 0
    capsys.readouterr()
    broken = tmp_path / "broken"
    broken.mkdir()
    captions = json.loads((tiny_data / "LevirCCcaptions.json").read_text())
    captions["images"][0]["sentences"] = []
    (broken / "LevirCCcaptions.json").write_text(json.dumps(captions))
    assert main(["check", str(broken)]) == 2
    error = capsys.readouterr().err
    assert "train_000001.png" in error
    assert "test_000004.png" in error


def test_an_interrupt_ends_with_130_and_says_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sencap.synthetic.write_dataset", stop)
    assert main(["synth", "anywhere", "--quiet"]) == 130
    assert "interrupted" in capsys.readouterr().err
