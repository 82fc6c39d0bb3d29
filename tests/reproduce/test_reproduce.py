"""The paper's tables as commands: every one runs at smoke scale, shares runs, resumes, and refuses to mix."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sencap.cli import main
from sencap.config import TrainingSettings
from sencap.data.levir_cc import read_dataset
from sencap.data.seasons import SyntheticPlaces, pack
from sencap.errors import SettingsError
from sencap.reproduce import EXPERIMENTS, Options, reproduce
from sencap.reproduce import run as running
from sencap.reproduce.experiments import METRICS
from sencap.reproduce.pictures import choose_pairs
from sencap.reproduce.plan import Training, plan, pretraining_named
from sencap.reproduce.render import as_markdown, summary
from sencap.reproduce.scales import SCALES, changed
from sencap.training.fit import fit as train

SWEPT = [name for name, e in EXPERIMENTS.items() if e.picture == "sweeps"]  # plots S*m, so it needs METEOR


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Options:
    """One folder for all tables, as a user would have it: what they share is run once."""
    places = tmp_path_factory.mktemp("places") / "packed"
    pack(SyntheticPlaces(8, size=64), places, size=64, workers=1, progress=False)
    out = str(tmp_path_factory.mktemp("reproduce"))
    return Options(data=str(tiny_data), out=out, scale="smoke", places=str(places), progress=False)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes longer than all else at this scale; its column is then empty."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in SWEPT])
def test_every_table_runs_and_shows_our_figures_beside_the_papers(name: str, smoke: Options) -> None:
    text = reproduce(name, smoke).read_text(encoding="utf-8")
    lines = [line for line in text.split("The paper's figures:")[0].splitlines() if line.startswith("| ")]
    rows = EXPERIMENTS[name].rows
    assert len(lines) == 1 + len(rows) + 2
    assert lines[-2].startswith("| *constant sentence* | ")
    assert lines.pop().startswith("| *perfect flag, two fixed sentences* | ")
    assert ("The paper's figures:" in text) == any(len(row.paper) > 1 for row in rows)
    assert all(
        " | ".join(f"{x:.2f}" for x in row.paper.values()) in text for row in rows if len(row.paper) > 1
    )
    for row, line in zip(rows, lines[1:-1], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == row.name
        assert cells[len(METRICS) + 2] == (f"{row.paper['S*m']:.2f}" if row.paper else "–")
        assert float(cells[-1]) > 0
        assert int(cells[-2].replace(",", "")) > 1000
    result = json.loads((Path(smoke.out) / f"{name}.json").read_text(encoding="utf-8"))
    assert result["environment"]["sencap"]
    seconds = [seed["seconds"] for row in result["rows"].values() for seed in row["seeds"].values()]
    assert min(seconds) > 0
    assert f"Training took {sum(seconds) / 3600:.1f} hours" in text
    assert "protocol:ids" in result["signature"]
    picture = Path(smoke.out) / f"{name}.png"
    assert picture.is_file() == (EXPERIMENTS[name].picture is not None) == (f"({name}.png)" in text)


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR, and with it S*m, needs Java")
def test_figure_6_plots_three_sweeps_that_meet_in_sen(smoke: Options, tmp_path: Path) -> None:
    options = dataclasses.replace(smoke, out=str(tmp_path))
    text = reproduce("fig6", options).read_text(encoding="utf-8")
    assert (tmp_path / "fig6.png").stat().st_size > 10_000
    rows = json.loads((tmp_path / "fig6.json").read_text(encoding="utf-8"))["rows"]
    assert [len(row["speeds"]) for row in rows.values()] == [running.TIMED_ROUNDS] * 13
    depths = [rows[f"ResNet-{depth}"]["parameters"] for depth in (18, 34, 50, 101)]
    assert depths == sorted(set(depths))
    widths = [rows[f"D = {width}"]["parameters"] for width in (128, 256, 512, 1024)]
    assert widths == sorted(set(widths))
    assert "![Fig. 6: width, beam size and depth](fig6.png)" in text
    # beam sizes are searches of one trained network
    assert len({t.settings.out for t in plan(EXPERIMENTS["fig6"], options) if "beam" in t.row.name}) == 1


def test_the_pairs_of_a_figure_are_named_or_spread_and_never_picked(tiny_data: Path) -> None:
    pairs = read_dataset(tiny_data)
    chosen = choose_pairs(pairs, ())
    assert [pair.changed for pair in chosen] == [True, True, True, False]
    assert len({pair.name for pair in chosen}) == 4
    assert choose_pairs(pairs, [pairs[3].name, pairs[1].name]) == [pairs[3], pairs[1]]
    with pytest.raises(SettingsError, match=f"no pair 'x{pairs[0].name}' .*did you mean"):
        choose_pairs(pairs, ["x" + pairs[0].name])


@pytest.mark.usefixtures("no_java")
def test_what_is_finished_is_not_run_again_and_what_is_missing_is(
    smoke: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduce("table6", smoke)
    trained: list[str] = []

    def record(settings: TrainingSettings) -> Path:
        trained.append(settings.out)
        return real(settings)

    real = train
    monkeypatch.setattr(running, "fit", record)
    reproduce("table6", smoke)
    assert trained == []
    missing = plan(EXPERIMENTS["table6"], smoke)[1]
    shutil.rmtree(missing.settings.out)
    reproduce("table6", smoke)
    assert trained == [missing.settings.out]


@pytest.mark.usefixtures("no_java")
def test_several_processes_share_the_runs_out_and_wait_for_the_last(
    smoke: Options, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainings = plan(EXPERIMENTS["table6"], smoke)
    reproduce("table6", smoke)
    for training in trainings[:2]:
        training.report.unlink()
    report = (trainings[2].report).read_text(encoding="utf-8")
    theirs = FileLock(
        Path(trainings[0].settings.out).with_suffix(".lock")
    )  # as another process would hold it
    theirs.acquire()
    evaluated: list[str] = []

    def record(training: Training, _: Options) -> None:
        evaluated.append(training.row.name)
        training.report.write_text(report, encoding="utf-8")

    def wait(_: float) -> None:
        assert evaluated == [trainings[1].row.name]
        theirs.release()  # it died before its report was written

    monkeypatch.setattr(running, "run", record)
    monkeypatch.setattr(time, "sleep", wait)
    caplog.set_level("INFO", logger="sencap")
    reproduce("table6", smoke)
    assert evaluated == [trainings[1].row.name, trainings[0].row.name]
    assert "waiting for 1 runs that other processes are busy with" in caplog.text
    for training in trainings[:2]:  # their reports were the third's
        training.report.unlink()


def test_tables_share_the_runs_of_the_same_settings_only(tiny_data: Path) -> None:
    options = Options(
        data=str(tiny_data), out="o", scale="small", places="synthetic:4", imagenet="weights.pth"
    )
    folders = {
        name: [t.settings.out for t in plan(experiment, options) if t.seed == 1]
        for name, experiment in EXPERIMENTS.items()
    }
    assert all(len(set(outs)) == len(outs) for name, outs in folders.items() if name not in SWEPT)
    assert folders["fig3"] == [folders["table1"][i] for i in (3, 5, 6, 7, 8)]
    assert folders["fig4"] == folders["table2"] == folders["starts"][:4]
    assert set(folders["fig5"]) <= set(folders["fig6"]) & set(folders["table1"])
    assert folders["table5"][-1] == folders["table6"][-1] == folders["table4"][-1] == folders["table10"][3]
    assert folders["table2"][3] == folders["table7"][3] == folders["table8"][2] == folders["table3"][2]
    assert folders["table2"][1] == folders["table5"][-1]  # at this scale ImageNet is the default start


def test_the_papers_scale_is_its_recipe_with_no_file_edited(tiny_data: Path) -> None:
    options = Options(
        data=str(tiny_data), out="o", scale="paper", places="synthetic:4", imagenet="weights.pth"
    )
    sen = plan(EXPERIMENTS["table2"], options)[-1]
    recipe = TrainingSettings(data=str(tiny_data), out=sen.settings.out, seed=44)
    extractor = dataclasses.replace(recipe.extractor, init=sen.settings.extractor.init)
    assert sen.settings == dataclasses.replace(recipe, extractor=extractor)
    assert sen.pretraining is not None
    before = sen.pretraining.settings
    assert (before.method, before.order, before.season) == ("moco-6c", "ordered", "augment")
    assert (before.optimisation.epochs, before.optimisation.batch_size, before.contrast.queue) == (
        300,
        256,
        65_536,
    )
    figure = {t.row.name: t for t in plan(EXPERIMENTS["fig6"], options) if t.seed == 44}
    same = [t.settings.out for t in figure.values() if t.settings.out == sen.settings.out]
    assert len(same) == 7  # D = 512, ResNet-50 and five beams
    deeper = figure["ResNet-101"].pretraining
    assert deeper is not None
    assert deeper.settings.backbone == "resnet101"
    epochs = [
        pretraining_named(f"6c-{n}-epochs", options).settings.optimisation.epochs
        for n in (100, 200, 400, 500)
    ]
    assert epochs == [100, 200, 400, 500]


@pytest.mark.usefixtures("no_java")
def test_what_cannot_be_run_says_what_is_missing(tiny_data: Path, tmp_path: Path, smoke: Options) -> None:
    bare = Options(data=str(tiny_data), out=str(tmp_path), scale="small")
    with pytest.raises(SettingsError, match="--imagenet FILE"):
        plan(EXPERIMENTS["table2"], bare)
    with pytest.raises(SettingsError, match="name them with --places"):
        plan(EXPERIMENTS["table3"], bare)
    with pytest.raises(SettingsError, match="did you mean 'table10'"):
        reproduce("tabel10", bare)
    with pytest.raises(SettingsError, match="scale='smal'"):
        Options(data="d", out="o", scale="smal")
    with pytest.raises(SettingsError, match="'tset' is none of"):
        Options(data="d", out="o", split="val+tset")
    reproduce("table6", smoke)
    with pytest.raises(SettingsError, match="split=test there, split=val now"):
        reproduce("table6", dataclasses.replace(smoke, split="val"))


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "reproduce",
        "table2",
        "--data",
        str(tiny_data),
        "--out",
        str(tmp_path / "o"),
        "--scale",
        "smoke",
    ]
    assert main([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("3 runs, 0 of them done; about ")
    assert "pre-training 6c: " in shown
    assert "contrastive 3C, seed 1: " in shown
    assert not (tmp_path / "o").exists()


def test_settings_are_changed_by_their_dotted_names() -> None:
    settings = TrainingSettings(data="d", out="o")
    other = changed(settings, {"difference.layers": 3, "decoder.layers": 2, "seed": 7})
    assert (other.difference.layers, other.decoder.layers, other.seed) == (3, 2, 7)
    assert changed(settings, {}) == settings
    with pytest.raises(SettingsError, match="did you mean 'layers'"):
        changed(settings, {"difference.layer": 3})


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_names_settings_that_exist(scale: str) -> None:
    changed(TrainingSettings(data="d", out="o"), SCALES[scale].training)


def test_the_order_of_the_rows_is_held_against_the_papers() -> None:
    assert summary([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))

    def seeds(*scores: float) -> dict[str, dict[str, float]]:
        return {str(seed): {"S*m": score, "change_accuracy": 0.5} for seed, score in enumerate(scores)}

    row = {"parameters": 10, "pairs_per_second": None}
    rows = {
        "a": row | {"seeds": seeds(1.0, 3.0), "paper": {"S*m": 9.0}},
        "b": row | {"seeds": seeds(5.0), "paper": {"S*m": 8.0}},
        "c": row | {"seeds": seeds(6.0), "paper": {"S*m": 8.5}},
    }
    text = as_markdown(
        {
            "title": "T",
            "picture": None,
            "scale": "smoke",
            "split": "test",
            "signature": "s",
            "reference_rows": {key: {"ids": {"S*m": 52.661}} for key in ("constant", "perfect_flag_fixed")},
            "rows": rows,
            "environment": {},
        }
    )
    assert "| 2.00 ± 1.41 |" in text
    assert "| *constant sentence* | – | – | – | – | – | – | – | 52.66 | | | | |" in text
    assert "Training took" not in text  # no run has a record of it
    assert (
        "Of 3 pairs of rows 1 stand in the paper's order by S\\*m; the other way round: a / b, a / c." in text
    )
