"""The paper's tables as commands: every one runs at smoke scale, shares runs, resumes,
and refuses to mix."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from sencap.cli import main
from sencap.config import HardwareSettings, TrainingSettings
from sencap.data.caption_files import find_caption_files
from sencap.data.levir_cc import read_dataset
from sencap.errors import MissingDependencyError, SettingsError
from sencap.evaluation.names import METRICS
from sencap.models.counting import info
from sencap.models.variants import resolved
from sencap.places import SyntheticPlaces, pack
from sencap.reproduce import EXPERIMENTS, Options, pictures, reproduce
from sencap.reproduce import run as running
from sencap.reproduce.experiments import SECO, SIZE, SWEEPS, Drawing
from sencap.reproduce.pictures import choose_pairs
from sencap.reproduce.plan import Training, left_out, plan, pretraining_named
from sencap.reproduce.render import as_markdown, summary
from sencap.reproduce.scales import SCALES, changed
from sencap.reproduce.starts import find_weights, fingerprint
from sencap.training.fit import fit as train

# Plots S*m, so it needs METEOR.
SWEPT = [name for name, e in EXPERIMENTS.items() if e.drawing == "sweeps"]


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Options:
    """One folder for all tables, as a user would have it: what they share is run
    once."""
    places = tmp_path_factory.mktemp("places") / "packed"
    pack(SyntheticPlaces(8, size=64), places, size=64, workers=1, progress=False)
    out = str(tmp_path_factory.mktemp("reproduce"))
    return Options(
        data=str(tiny_data), out=out, scale="smoke", places=str(places), progress=False
    )


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes longer than all else at this scale; its column is then empty."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in SWEPT])
def test_every_table_runs_and_shows_our_figures_beside_the_papers(
    name: str, smoke: Options
) -> None:
    text = reproduce(name, smoke).read_text(encoding="utf-8")
    lines = [
        line
        for line in text.split("The paper's figures:")[0].splitlines()
        if line.startswith("| ")
    ]
    rows = [row for row in EXPERIMENTS[name].rows if row.init != SECO]
    assert len(lines) == 1 + len(rows) + 2
    assert lines[-2].startswith("| *constant sentence* | ")
    assert lines.pop().startswith("| *perfect flag, two fixed sentences* | ")
    assert ("The paper's figures:" in text) == any(len(row.paper) > 1 for row in rows)
    for row in rows:
        if len(row.paper) > 1:
            assert (
                f"| {row.name} | "
                + " | ".join(f"{row.paper[m]:.2f}" for m in METRICS)
                + " | "
                in text
            )
    assert name != "table1" or text.count("| 39.9 | 23.7 |") == 1
    for row, line in zip(rows, lines[1:-1], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == row.name
        assert cells[len(METRICS) + 2] == (
            f"{row.paper['S*m']:.2f}" if row.paper else "–"
        )
        assert float(cells[-1]) > 0
        assert int(cells[-2].replace(",", "")) > 1000
    result = json.loads((Path(smoke.out) / f"{name}.json").read_text(encoding="utf-8"))
    assert result["environment"]["sencap"]
    seconds = [
        seed["seconds"]
        for row in result["rows"].values()
        for seed in row["seeds"].values()
    ]
    assert min(seconds) > 0
    assert f"Training took {sum(seconds) / 3600:.1f} hours" in text
    assert "protocol:ids" in result["signature"]
    (note,) = (note for note in result["notes"] if note.startswith("No METEOR"))
    assert f"- {note}\n" in text
    assert not any("by themselves" in note for note in result["notes"])
    picture = Path(smoke.out) / f"{name}.png"
    assert (
        picture.is_file()
        == (EXPERIMENTS[name].drawing is not None)
        == (f"({name}.png)" in text)
    )


@pytest.mark.skipif(
    shutil.which("java") is None, reason="METEOR, and with it S*m, needs Java"
)
@pytest.mark.usefixtures("quick_java")
def test_figure_6_plots_three_sweeps_that_meet_in_sen(
    smoke: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The widest and the deepest networks take most of the time, and show nothing that
    # two of each sweep do not.
    few = {"dimension": (128, 512), "beam": (1, 3), "depth": (18, 50)}
    for axis, values in few.items():
        rows = {value: SWEEPS[axis][value] for value in values}
        monkeypatch.setitem(SWEEPS, axis, rows)
    shown = tuple(row for rows in SWEEPS.values() for row in rows.values())
    experiment = dataclasses.replace(EXPERIMENTS["fig6"], rows=shown)
    monkeypatch.setitem(EXPERIMENTS, "fig6", experiment)
    options = dataclasses.replace(smoke, out=str(tmp_path))
    text = reproduce("fig6", options).read_text(encoding="utf-8")
    assert (tmp_path / "fig6.png").stat().st_size > 10_000
    written = json.loads((tmp_path / "fig6.json").read_text(encoding="utf-8"))["rows"]
    speeds = [len(row["speeds"]) for row in written.values()]
    assert speeds == [running.TIMED_ROUNDS] * 6
    assert "![Fig. 6: width, beam size and depth](fig6.png)" in text


def test_the_sweeps_of_figure_6_grow_and_share_a_network(smoke: Options) -> None:
    trainings = plan(EXPERIMENTS["fig6"], smoke)
    assert len(trainings) == 13
    sizes = {
        one.row.name: info("sen", vocabulary_size=50, settings=one.settings.model)[
            "total"
        ]
        for one in trainings
    }
    depths = [sizes[f"ResNet-{depth}"] for depth in (18, 34, 50, 101)]
    assert depths == sorted(set(depths))
    widths = [sizes[f"D = {width}"] for width in (128, 256, 512, 1024)]
    assert widths == sorted(set(widths))
    # Beam sizes are searches of one trained network.
    assert len({t.settings.out for t in trainings if "beam" in t.row.name}) == 1


def test_the_pairs_of_a_figure_are_named_or_spread_and_never_picked(
    tiny_data: Path,
) -> None:
    pairs = read_dataset(tiny_data)
    chosen = choose_pairs(pairs, ())
    assert [pair.changed for pair in chosen] == [True, True, True, False]
    assert len({pair.name for pair in chosen}) == 4
    unknown = [dataclasses.replace(pair, changed=None) for pair in pairs]
    assert len({pair.name for pair in choose_pairs(unknown, ())}) == 4
    assert choose_pairs(pairs, [pairs[3].name, pairs[1].name]) == [pairs[3], pairs[1]]
    with pytest.raises(
        SettingsError, match=f"no pair 'x{pairs[0].name}' .*did you mean"
    ):
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
    # As another process would hold it.
    theirs = FileLock(Path(trainings[0].settings.out).with_suffix(".lock"))
    theirs.acquire()
    evaluated: list[str] = []

    def record(training: Training, _: Options) -> None:
        evaluated.append(training.row.name)
        training.report.write_text(report, encoding="utf-8")

    def wait(_: float) -> None:
        assert evaluated == [trainings[1].row.name]
        theirs.release()  # it died before its report was written

    monkeypatch.setattr(running, "run_training", record)
    monkeypatch.setattr(time, "sleep", wait)
    caplog.set_level("INFO", logger="sencap")
    reproduce("table6", smoke)
    assert evaluated == [trainings[1].row.name, trainings[0].row.name]
    assert "waiting for runs that other processes are busy with" in caplog.text
    for training in trainings[:2]:  # their reports were the third's
        training.report.unlink()


def test_tables_share_the_runs_of_the_same_settings_only(tiny_data: Path) -> None:
    options = Options(
        data=str(tiny_data),
        out="o",
        scale="small",
        places="synthetic:4",
        imagenet="timm",
        seco="timm:seco",
    )
    folders = {
        name: [t.settings.out for t in plan(experiment, options) if t.seed == 1]
        for name, experiment in EXPERIMENTS.items()
    }
    assert all(
        len(set(outs)) == len(outs)
        for name, outs in folders.items()
        if name not in SWEPT
    )
    assert folders["fig3"] == [folders["table1"][i] for i in (3, 5, 6, 7, 8)]
    assert folders["fig4"] == folders["table2"] == folders["starts"][:4]
    assert set(folders["fig5"]) <= set(folders["fig6"]) & set(folders["table1"])
    assert (
        folders["table5"][-1]
        == folders["table6"][-1]
        == folders["table4"][-1]
        == folders["table10"][3]
    )
    assert (
        folders["table2"][3]
        == folders["table7"][3]
        == folders["table8"][2]
        == folders["table3"][3]
    )
    # At this scale ImageNet is the default start.
    assert folders["table2"][1] == folders["table5"][-1]


def test_the_papers_scale_is_its_recipe_with_no_file_edited(tiny_data: Path) -> None:
    options = Options(
        data=str(tiny_data),
        out="o",
        scale="paper",
        places="synthetic:4",
        imagenet="timm",
    )
    sen = plan(EXPERIMENTS["table2"], options)[-1]
    recipe = TrainingSettings(data=str(tiny_data), out=sen.settings.out, seed=44)
    extractor = dataclasses.replace(recipe.extractor, init=sen.settings.extractor.init)
    assert sen.settings == dataclasses.replace(recipe, extractor=extractor)
    assert sen.pretraining is not None
    before = sen.pretraining.settings
    assert (before.method, before.order, before.season) == (
        "moco-6c",
        "ordered",
        "augment",
    )
    assert (
        before.optimisation.epochs,
        before.optimisation.batch_size,
        before.contrast.queue,
    ) == (
        300,
        256,
        65_536,
    )
    figure = {t.row.name: t for t in plan(EXPERIMENTS["fig6"], options) if t.seed == 44}
    same = [
        t.settings.out for t in figure.values() if t.settings.out == sen.settings.out
    ]
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
def test_what_cannot_be_run_says_what_is_missing(
    tiny_data: Path, tmp_path: Path, smoke: Options
) -> None:
    bare = Options(data=str(tiny_data), out=str(tmp_path), scale="small")
    with pytest.raises(
        SettingsError, match="weights of tf_efficientnet_lite0 with --imagenet"
    ):
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
    with pytest.raises(SettingsError, match="split is test there, val now"):
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
    # The Random row freezes nothing, so it is a run of its own at this scale too.
    assert shown.startswith("4 runs, 0 of them done; about ")
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

    def seeds(*scores: float) -> dict[str, dict[str, Any]]:
        return {
            str(seed): {"S*m": score, "change_accuracy": 0.5}
            for seed, score in enumerate(scores)
        }

    row = {"parameters": 10, "pairs_per_second": None, "pretrained": False}
    rows: dict[str, dict[str, Any]] = {
        "a": row | {"seeds": seeds(1.0, 3.0), "paper": {"S*m": 9.0}},
        "b": row | {"seeds": seeds(5.0), "paper": {"S*m": 8.0}},
        "c": row | {"seeds": seeds(6.0), "paper": {"S*m": 8.5}},
    }
    result = {
        "title": "T",
        "picture": None,
        "scale": "smoke",
        "split": "test",
        "signature": "s",
        "left_out": ["d (give it)"],
        "reference_rows": {
            key: {"ids": {"S*m": 52.661}} for key in ("constant", "perfect_flag_fixed")
        },
        "rows": rows,
        "environment": {},
        "notes": ["CIDEr of all pairs is 0 by construction."],
    }
    text = as_markdown(result)
    assert "- CIDEr of all pairs is 0 by construction.\n" in text
    assert "| 2.00 ± 1.41 |" in text
    assert "| *constant sentence* | – | – | – | – | – | – | – | 52.66 | | | | |" in text
    assert "Training took" not in text  # no run has a record of it
    assert "over 1 to 2 seeds" in text
    assert "Left out: d (give it)." in text
    assert "one pre-training" not in text
    rows["a"]["seeds"]["1"]["seconds"] = 5400
    assert (
        "Training took 1.5 hours in all (1 of 4 runs; the others have no record); minutes a run: a 90.0."  # noqa: E501
        in (as_markdown(result))
    )
    assert (
        "Of 3 pairs of rows 1 stand in the paper's order by S\\*m; the other way round: a / b, a / c."  # noqa: E501
        in text
    )


def test_each_system_of_the_papers_scale_starts_from_weights_of_its_own_backbone(
    tiny_data: Path, tmp_path: Path
) -> None:
    for name in ("resnet50", "resnet101", "vit_base_patch32_224"):
        (tmp_path / f"{name}.pth").write_bytes(name.encode())
    options = Options(
        data=str(tiny_data),
        out="o",
        scale="paper",
        places="synthetic:4",
        imagenet=str(tmp_path),
        seeds=(42,),
    )
    for name, experiment in EXPERIMENTS.items():
        for training in plan(experiment, options):
            init = training.settings.extractor.init
            backbone = resolved(training.settings.model).extractor.backbone
            if training.pretraining is not None:
                assert training.pretraining.settings.backbone == backbone
            elif init:
                assert Path(init).stem == backbone
            else:
                assert training.row.name == "Random", name
    compared = plan(EXPERIMENTS["table1"], options)[:-1]
    assert [t.settings.extractor.init for t in compared] == [
        *[str(tmp_path / "resnet101.pth")] * 7,
        str(tmp_path / "vit_base_patch32_224.pth"),
    ]
    for training in compared:  # the paper's recipe for all: SPEC 4; frozen: SPEC 9
        assert training.settings == dataclasses.replace(
            TrainingSettings(data=str(tiny_data), out=training.settings.out),
            system=training.settings.system,
            extractor=training.settings.extractor,
        )
        assert resolved(training.settings.model).extractor.fine_tune_from == "none"


def test_weights_are_found_by_the_backbones_name_and_told_apart_by_their_content(
    tmp_path: Path,
) -> None:
    one, other = tmp_path / "resnet50.pth", tmp_path / "b" / "resnet50.pth"
    other.parent.mkdir()
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    # A file is what it is.
    assert find_weights(str(one), "resnet18", flag="init") == str(one)
    assert find_weights(str(tmp_path), "resnet50", flag="init") == str(one)
    assert find_weights("timm", "resnet18", flag="imagenet") == "timm:resnet18"
    assert (
        find_weights(f"{one}?rgb=2,1,0", "resnet50", flag="init") == f"{one}?rgb=2,1,0"
    )
    with pytest.raises(
        SettingsError,
        match=r"weights of resnet18, such as resnet18.pth; it holds b, resnet50.pth",
    ):
        find_weights(str(tmp_path), "resnet18", flag="init")
    with pytest.raises(SettingsError, match=r"imagenet=.*there is no such file"):
        find_weights(str(tmp_path / "none.pth"), "resnet18", flag="imagenet")
    assert fingerprint(str(one)) != fingerprint(str(other))
    moved = other.parent.parent / "c"
    other.parent.rename(moved)
    other.parent.mkdir()
    shutil.copy(moved / "resnet50.pth", other)
    assert fingerprint(str(moved / "resnet50.pth")) == fingerprint(str(other))


def test_only_what_decides_a_result_names_its_folder(
    smoke: Options, tmp_path: Path
) -> None:
    def folders(**changes: Any) -> set[str]:
        return {
            t.settings.out
            for t in plan(EXPERIMENTS["table5"], dataclasses.replace(smoke, **changes))
        }

    weights = [
        tmp_path / name / "backbone" / "model.safetensors" for name in ("a", "b")
    ]
    for number, file in enumerate(weights):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes([number]))
        (file.parent / "config.json").write_text("{}", encoding="utf-8")
    a, b = (str(file.parent) for file in weights)
    assert folders() == folders(workers=3) == folders(progress=True)
    assert not folders(init=a) & folders(init=b)
    assert not folders(init=a) & folders()


def test_weights_that_do_not_fit_are_refused_before_the_first_run(
    smoke: Options, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    save_file({"conv1.weight": torch.zeros(8, 3, 7, 7)}, weights)
    with pytest.raises(
        SettingsError, match=r"row 'Capt-Rep-Diff' cannot start: .*w\.safetensors"
    ):
        reproduce(
            "table1",
            dataclasses.replace(smoke, imagenet=str(weights), out=str(tmp_path / "o")),
        )
    assert not (tmp_path / "o" / "training").exists()


@pytest.mark.usefixtures("no_java")
def test_a_folder_is_of_one_data_set_one_scale_and_one_precision_and_may_move(
    smoke: Options, tmp_path: Path, tiny_data: Path
) -> None:
    reproduce("table6", smoke)
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_data, moved)
    reproduce("table6", dataclasses.replace(smoke, data=str(moved)))
    captions = find_caption_files(moved)[0]
    text = captions.read_text(encoding="utf-8")
    captions.write_text(text.replace('"changeflag"', '"changeflag" '), encoding="utf-8")
    other = str(moved)
    for changes, match in (
        ({"test_data": other}, "scored data is .* there, .* now; data are named"),
        ({"data": other}, "data is .* there"),
        (
            {"hardware": HardwareSettings(precision="bf16-mixed")},
            "precision is 32-true there, bf16-mixed now",
        ),
    ):
        with pytest.raises(SettingsError, match=match):
            reproduce("table6", dataclasses.replace(smoke, **changes))
    reproduce("table2", smoke)
    with pytest.raises(
        SettingsError, match="pre-training '3c' on other places than synthetic:9"
    ):
        reproduce("table2", dataclasses.replace(smoke, places="synthetic:9"))


def test_one_run_has_one_device(smoke: Options) -> None:
    with pytest.raises(SettingsError, match="same command once per device"):
        dataclasses.replace(smoke, hardware=HardwareSettings(devices=2))


@pytest.mark.usefixtures("no_java")
def test_figure_6_without_java_is_refused_before_the_first_run(
    smoke: Options, tmp_path: Path
) -> None:
    with pytest.raises(MissingDependencyError, match="Java"):
        reproduce("fig6", dataclasses.replace(smoke, out=str(tmp_path)))
    assert not (tmp_path / "training").exists()


def test_seco_s_own_weights_are_a_row_where_they_are_given(
    smoke: Options, tmp_path: Path
) -> None:
    assert [t.row.name for t in plan(EXPERIMENTS["table3"], smoke)] == [
        "MoCo-v2 (3C)",
        "SeCo on these places (3C)",
        "SEN (6C)",
    ]
    assert left_out(EXPERIMENTS["table3"], smoke) == [
        "SeCo, its own weights (3C) (give SeCo's weights with --seco FILE)"
    ]
    weights = tmp_path / "seco.ckpt"
    weights.write_bytes(b"w")
    given = dataclasses.replace(smoke, seco=str(weights))
    assert plan(EXPERIMENTS["table3"], given)[0].settings.extractor.init == str(weights)
    assert left_out(EXPERIMENTS["table3"], given) == []


def test_rows_take_turns_when_they_are_timed_and_the_first_round_warms_up(
    tiny_data: Path,
) -> None:
    turns: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def caption_pairs(self, _: object) -> None:
            turns.append(self.name)

    pairs = read_dataset(tiny_data)[:2]
    speeds = running.measure_speeds({"a": Fake("a"), "b": Fake("b")}, pairs)  # type: ignore[dict-item]
    assert turns == ["a", "b"] * (running.TIMED_ROUNDS + 1)
    assert {name: len(values) for name, values in speeds.items()} == dict.fromkeys(
        "ab", running.TIMED_ROUNDS
    )


SPEC = Path(__file__).parents[3] / "shared" / "SPEC.md"


@pytest.mark.skipif(
    not SPEC.is_file(),
    reason="the paper's figures are in ../shared/SPEC.md, which is not there",
)
def test_the_papers_figures_are_the_papers() -> None:
    text = SPEC.read_text(encoding="utf-8")
    for row in EXPERIMENTS["table1"].rows:
        figures = [f"{row.paper[name]:.2f}" for name in METRICS]
        size = [f"{row.paper[name]:.1f}" if name in row.paper else "" for name in SIZE]
        line = next(
            line for line in text.splitlines() if line.startswith(f"| {row.name} | ")
        )
        assert [cell.strip() for cell in line.strip("| ").split("|")][
            : len(figures) + 1
        ] == [
            row.name,
            *figures,
        ]
        assert not any(size) or line.strip("| ").endswith(" | ".join(size))
    told = text[
        text.index("Its ablations (S*_m): ") + len("Its ablations (S*_m): ") :
    ].split("\nFigures:")[0]
    ablations = dict(
        part.strip("\n .").split(" ", 1)
        for part in re.split(r"[·:]\s+(?=[IVX]+ )|·\n", told)
    )
    numerals = ("II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
    for number, numeral in enumerate(numerals, start=2):
        scores = [row.paper["S*m"] for row in EXPERIMENTS[f"table{number}"].rows]
        assert [
            float(score) for score in re.findall(r"\d\d\.\d\d", ablations[numeral])
        ] == scores, numeral


def test_figure_6_says_which_points_start_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(pictures, "sweep_plots", lambda *_, note: notes.append(note))

    def note_of(starts: dict[str, str]) -> str:
        rows = {
            row.name: {
                "seeds": {"1": {"S*m": 1.0}},
                "parameters": 1,
                "speeds": [1.0],
                "start": starts.get(row.name, "w.pth"),
            }
            for row in EXPERIMENTS["fig6"].rows
        }
        result = {"rows": rows, "scale": "small", "environment": {"device": "cpu"}}
        pictures.draw_figure(
            "sweeps", tmp_path / "f.png", predictors={}, pairs=[], result=result
        )
        return notes.pop()

    assert note_of({}) == "scale small, cpu"
    assert (
        note_of({"ResNet-18": "random"})
        == "scale small, cpu; from random weights: ResNet-18"
    )
    assert (
        note_of({row.name: "random" for row in EXPERIMENTS["fig6"].rows})
        == "scale small, cpu"
    )


@pytest.mark.parametrize(
    ("figure", "names", "titles"),
    [
        ("initialisations", ["Random", "ImageNet 3C"], ["Random", "ImageNet 3C"]),
        (
            "stages",
            ["SEN"],
            ["SFE, before", "SFE, after", "CAGD, before", "CAGD, after", "memory"],
        ),
    ],
)
def test_maps_are_shown_as_they_are_and_normalised(
    figure: Drawing,
    names: list[str],
    titles: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_data: Path,
) -> None:
    """Each pair has a row of maps for each scale, and the values below its own scales
    are those of the predictor that the column names."""
    values = {name: float(number) for number, name in enumerate(names, start=2)}

    def explain(before: Path, after: Path, predictor: str) -> SimpleNamespace:
        map_ = np.array([[1.0, values[predictor]]])
        return SimpleNamespace(parts=dict.fromkeys(pictures.DRAWN_PARTS, map_))

    monkeypatch.setattr(pictures, "explain", explain)
    pairs = read_dataset(tiny_data)[:2]
    predictors: Any = {name: name for name in names}
    path = tmp_path / "f.svg"
    pictures.draw_figure(figure, path, predictors=predictors, pairs=pairs, result={})
    # matplotlib notes each text beside its outlines
    texts = re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))
    scales = [
        text for text in texts if text in ("as it is", "own scales", "common scale")
    ]
    assert scales == ["as it is", "own scales", "common scale"] * len(pairs)
    assert [text for text in texts if text in titles] == titles * len(pairs)
    spans = [text for text in texts if re.fullmatch(r"1–\d", text)]
    columns = [f"1–{values[name]:.0f}" for name in names]
    if figure == "stages":  # the parts of one network
        columns = columns * len(titles)
    assert spans == columns * len(pairs)


def test_frozen_extractors_are_the_compared_systems_whatever_they_are_called(
    smoke: Options,
) -> None:
    trainings = plan(EXPERIMENTS["table1"], smoke)
    scale = SCALES["smoke"]
    for training in trainings:
        grid = training.settings.extractor.grid
        assert grid == (
            scale.compared["extractor.grid"] if training.row.compared else None
        )
    assert [t.row.name for t in trainings if not t.row.compared] == ["SEN"]
    assert not any(row.compared for row in EXPERIMENTS["table4"].rows), (
        "SEN's own structures"
    )
