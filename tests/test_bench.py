"""The bench: every way says the same captions, figures follow from seconds, mistakes
are refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from sencap.bench import BenchReport, Measured, bench
from sencap.bench.report import TIMED_PARTS
from sencap.cli import main
from sencap.config import DecoderSettings, ModelSettings
from sencap.errors import CheckpointError, SettingsError
from sencap.figures.speeds import SpeedBar, speeds_plot
from sencap.weights import checkpoint_folder
from tiny_systems import tiny

HERE: dict[str, str | int] = {
    "processor": "an abacus",
    "cores": 2,
    "onnxruntime": "1",
    "torch": "2",
    "sencap": "3",
}


@pytest.fixture(scope="module")
def report() -> BenchReport:
    """A real run, of a tiny system and without the memory of fresh processes."""
    return bench({"tiny": tiny("sen")}, batches=(2,), rounds=2, threads=1, memory=False)


def _measured(system: str, engine: str, batch: int, encoder: list[float]) -> Measured:
    """A way whose encoder took so long in each round; the other parts took 1, 2 and 5
    ms."""
    rounds = len(encoder)
    seconds = {
        "reading": [0.001] * rounds,
        "resizing": [0.002] * rounds,
        "encoder": encoder,
        "search": [0.005] * rounds,
    }
    flops = {"extractor": 900_000_000, "difference": 100_000_000}
    return Measured(system, engine, batch, flops, None, seconds, [(4, 5)])


def _made_up(other: str = "mccformer-s") -> BenchReport:
    """Two systems; by ONNX Runtime SEN takes 20 and 40 ms at batch 1, and 10 at batch
    4."""
    ways = [
        _measured("sen", "onnx", 1, [0.012, 0.032]),
        _measured("sen", "onnx", 4, [0.002, 0.002]),
        _measured("sen", "torch", 1, [0.032, 0.072]),
        _measured("sen", "torch", 4, [0.032, 0.032]),
        _measured("sen", "field", 1, [0.092, 0.092]),
        _measured(other, "onnx", 1, [0.042, 0.072]),
        _measured(other, "onnx", 4, [0.012, 0.012]),
        _measured(other, "torch", 1, [0.092, 0.092]),
        _measured(other, "torch", 4, [0.092, 0.092]),
        _measured(other, "field", 1, [0.192, 0.192]),
    ]
    return BenchReport(ways, [1e11, 2e11], 4, 2, 0.5, HERE)


def test_all_ways_of_a_system_say_the_same_captions_of_twelve_words(
    report: BenchReport,
) -> None:
    assert [(way.engine, way.batch) for way in report.ways] == [
        ("onnx", 1),
        ("onnx", 2),
        ("torch", 1),
        ("torch", 2),
        ("field", 1),
    ]
    assert report.unlike() == []
    for way in report.ways:
        assert [len(caption) for caption in way.captions] == [12, 12]
        assert list(way.seconds) == list(TIMED_PARTS)
        assert all(len(seconds) == 2 for seconds in way.seconds.values())
        assert way.flops["extractor"] > way.flops["difference"] > 0
    assert len(report.products) == 2
    assert "All ways of a system said the same captions." in report.markdown()


def test_ratios_are_those_of_each_round() -> None:
    ratios = _made_up().ratios()
    best, field = "ONNX Runtime, batch 4", "the field's way, batch 1"
    assert ratios[f"sen: {best} over {field}"] == pytest.approx([10.0, 10.0])
    assert ratios["sen: ONNX Runtime, batch 1 over PyTorch, batch 1"] == pytest.approx(
        [2.0, 2.0]
    )
    paper = "(the paper's ratio: 1.84)"
    single = ratios[f"sen over mccformer-s: ONNX Runtime, batch 1 {paper}"]
    assert single == pytest.approx([2.5, 2.0])
    assert ratios[f"sen over mccformer-s: {best} {paper}"] == pytest.approx([2.0, 2.0])


def test_a_system_the_paper_does_not_compare_gets_no_ratio_of_its() -> None:
    assert not [name for name in _made_up("duda").ratios() if "over duda" in name]


def test_speeds_shares_and_rates_follow_from_the_seconds() -> None:
    report = _made_up()
    way = report.find("sen", "onnx", 4)
    assert way.speed == pytest.approx(100.0)
    assert way.share("search") == pytest.approx(0.5)
    assert way.milliseconds("reading") == pytest.approx(1.0)
    assert way.encoder_rates() == pytest.approx([5e11, 5e11])
    assert report.limit_share(way) == pytest.approx((5.0 + 2.5) / 2)
    assert report.best("sen", "onnx") is way
    row = "| sen | ONNX Runtime, batch 4 | 100.00 | 1.0 | 2.0 | 2.0 | 5.0 | 50% | 500 | 375% | – |"
    assert row in report.markdown().splitlines()


def test_int8_stands_beside_fp32_in_ratios_and_picture() -> None:
    report = _made_up()
    report.ways.insert(2, _measured("sen", "onnx-int8", 1, [0.002, 0.012]))
    report.ways.insert(3, _measured("mccformer-s", "onnx-int8", 1, [0.012, 0.012]))
    ratios = report.ratios()
    int8 = "ONNX Runtime int8, batch 1"
    assert ratios[f"sen: {int8} over the field's way, batch 1"] == pytest.approx(
        [10.0, 5.0]
    )
    assert ratios[f"sen: {int8} over ONNX Runtime, batch 1"] == pytest.approx(
        [2.0, 2.0]
    )
    assert ratios[f"sen: {int8} over ONNX Runtime, batch 4"] == pytest.approx(
        [1.0, 0.5]
    )
    assert int8 in [bar.name for bar in report.bars()]


def test_int8_is_written_into_a_copy_and_takes_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("flags: avx512_vnni", encoding="utf-8")
    monkeypatch.setattr("sencap.engines.precisions.CPUINFO", told)
    monkeypatch.setattr("sencap.engines.quantise.PAIRS", 2)
    systems = {"tiny": tiny("sen")}
    report = bench(
        systems, batches=(1,), rounds=1, threads=1, memory=False, precision="int8"
    )
    assert [way.engine for way in report.ways] == [
        "onnx",
        "onnx-int8",
        "torch",
        "field",
    ]
    assert all(
        len(caption) == 12 for caption in report.find("tiny", "onnx-int8", 1).captions
    )


def test_another_caption_is_told() -> None:
    report = _made_up()
    report.find("sen", "torch", 4).captions = [(4, 6)]
    assert report.unlike() == ["sen, PyTorch, batch 4: 1"]
    assert "another caption: sen, PyTorch, batch 4: 1." in report.markdown()


def test_the_picture_shows_batch_one_and_the_best_batch_of_each_engine(
    tmp_path: Path,
) -> None:
    bars = _made_up().bars()
    assert [(bar.name, bar.label) for bar in bars if bar.group == "sen"] == [
        ("the field's way, batch 1", ""),
        ("PyTorch, batch 1", "1.9 ×"),
        ("PyTorch, batch 4", "2.5 ×"),
        ("ONNX Runtime, batch 1", "3.8 ×"),
        ("ONNX Runtime, batch 4", "10.0 ×"),
    ]
    pytest.importorskip("matplotlib")
    text = speeds_plot(bars, tmp_path / "speeds.svg", note="two cores").read_text(
        encoding="utf-8"
    )
    for part in (
        "10.0 ×",
        "ONNX Runtime, batch 4",
        "mccformer-s",
        "pairs per second",
        "cores",
    ):
        assert part in text
    with pytest.raises(SettingsError, match="nothing to draw"):
        speeds_plot([], tmp_path / "none.svg")


def test_a_bar_needs_no_label(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = speeds_plot([SpeedBar("one", "way", "onnx", [0.5])], tmp_path / "one.png")
    assert drawn.stat().st_size > 1000


def test_json_holds_every_round(report: BenchReport) -> None:
    told = json.loads(json.dumps(report.as_dict()))
    assert len(told["ways"]) == 5
    assert len(told["ways"][0]["seconds"]["encoder"]) == 2
    assert all(len(values) == 2 for values in told["ratios"].values())
    assert told["environment"]["onnxruntime"]


def test_a_model_of_short_captions_is_refused() -> None:
    settings = tiny("sen", decoder=DecoderSettings(layers=1, heads=4, max_words=11))
    with pytest.raises(
        SettingsError, match=r"short has decoder\.max_words=11; captions here have 12"
    ):
        bench({"short": settings})


def test_a_checkpoint_without_graphs_is_refused_before_graphs_of_systems_are_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(
        checkpoint_folder(None), folder, ignore=shutil.ignore_patterns("*.onnx")
    )
    with pytest.raises(CheckpointError, match=r"has no encoder\.onnx.*sencap export"):
        bench({"no system": ModelSettings(system="none")}, {"old": folder})


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--systems", "senn"], "system='senn' is unknown"),
        (["--systems", ""], "systems is empty"),
        (["--batches", "1,two"], "batches=.*are not whole numbers"),
        (["--batches", "0"], "batches is 0; it must be a whole number from 1"),
        (
            ["--batches", "1,1000"],
            "batches is 1000; it must be a whole number from 1 to 256",
        ),
        (["--rounds", "0"], "rounds is 0"),
        (["--threads", "-1"], "threads is -1"),
        (["--size", "31"], "size is 31"),
        (["--weights", "nowhere"], "nowhere is not a checkpoint folder"),
        (["--picture", "speeds.gif"], "picture=speeds.gif must end in"),
        (["--precision", "bf16"], "precision=bf16 is not offered"),
        (["--json", "nowhere/speeds.json"], "the folder nowhere does not exist"),
        (["--json", "same.svg", "--picture", "same.svg"], "same.svg"),
        (["--json", str(checkpoint_folder(None) / "config.json")], "config.json"),
    ],
)
def test_what_cannot_be_run_is_refused(
    flags: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *flags]) == 2
    assert re.search(told, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []
