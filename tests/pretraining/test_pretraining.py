"""Whole runs: what they write, resume after a kill, what the captioner takes, the
watching figures."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from pretraining.tiny_places import Drawn, TinyPlaces
from sencap.config import as_dict
from sencap.errors import DataError, SettingsError
from sencap.foreign import initialise_backbone
from sencap.models.extractors import FeatureExtractor
from sencap.places import PlacesReport
from sencap.pretraining import loading, watch
from sencap.pretraining.fit import build_encoder, pretrain
from sencap.pretraining.loading import ViewDataset, collate_views, split, view_loader
from sencap.pretraining.settings import (
    Method,
    PretrainingSettings,
    SgdSettings,
    WatchSettings,
)

KILLED = """
import json, sys
from sencap import cli
cli.VERBS["pretrain"] = cli.Verb("sencap.verbs.pretrain", "")
import sencap.pretraining.fit as fit
from pretraining.tiny_places import TinyPlaces
fit._open = lambda settings: TinyPlaces()
sys.exit(cli.main(["pretrain", "--config", sys.argv[1]]))
"""


# --- loading


def test_views_depend_on_seed_epoch_and_number_alone(
    tiny_pretraining: PretrainingSettings,
) -> None:
    dataset = ViewDataset(TinyPlaces(), list(range(4, 20)), tiny_pretraining)
    first, place = dataset[16 * 3 + 5]
    assert place == 9
    assert first.shape == (2, 2, 3, 48, 48)
    dataset[0]
    assert np.array_equal(first, dataset[16 * 3 + 5][0])
    assert any(
        not np.array_equal(first, dataset[16 * epoch + 5][0]) for epoch in range(3)
    )
    images = TinyPlaces().read(9).images
    dates = [
        next(d for d in range(4) if np.array_equal(images[d], image))
        for view in first
        for image in view
    ]
    assert dates[0] <= dates[1]
    assert dates[2] <= dates[3]


def test_places_of_two_and_of_more_dates_share_a_batch(
    tiny_pretraining: PretrainingSettings,
) -> None:
    for method, shape in (
        ("moco-6c", (8, 2, 2)),
        ("moco-3c", (8, 2, 1)),
        ("seco", (8, 4, 1)),
    ):
        settings = dataclasses.replace(tiny_pretraining, method=cast(Method, method))
        dataset = ViewDataset(TinyPlaces(dates=(2, 5, 3)), list(range(8)), settings)
        views, places = collate_views([dataset[i] for i in range(8)])
        assert views.shape == (*shape, 3, 48, 48)
        assert places.tolist() == list(range(8))


def test_every_process_takes_its_share_of_an_epoch(
    tiny_pretraining: PretrainingSettings,
) -> None:
    dataset = ViewDataset(TinyPlaces(), list(range(24)), tiny_pretraining)
    shares = [
        [
            int(p)
            for _, places in view_loader(dataset, replicas=2, rank=r)
            for p in places
        ]
        for r in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == list(range(24))
    few = ViewDataset(TinyPlaces(), [3, 5, 6], tiny_pretraining)
    assert [len(places) for _, places in view_loader(few, replicas=1, rank=0)] == [3]
    odd = ViewDataset(TinyPlaces(), list(range(15)), tiny_pretraining)
    shares = [
        [int(p) for _, places in view_loader(odd, replicas=2, rank=r) for p in places]
        for r in (0, 1)
    ]
    # No place twice
    assert len(shares[0] + shares[1]) == len(set(shares[0] + shares[1])) == 8
    odd = ViewDataset(TinyPlaces(), list(range(19)), tiny_pretraining)
    assert [len(places) for _, places in view_loader(odd, replicas=1, rank=0)] == [8, 8]


def test_the_split_is_the_seeds_and_refuses_too_few_places() -> None:
    training, held_out = split(50, 10, seed=1)
    assert sorted(training + held_out) == list(range(50))
    assert (training, held_out) == split(50, 10, seed=1)
    assert held_out != split(50, 10, seed=2)[1]
    assert [len(split(count, None, 0)[1]) for count in (5, 19, 20, 500, 50_000)] == [
        0,
        0,
        2,
        50,
        1000,
    ]
    with pytest.raises(
        DataError, match=r"10 places with watch\.held_out=9 leave 1 to train on"
    ):
        split(10, 9, seed=0)


def test_places_that_cannot_be_read_are_replaced_by_the_next(
    tiny_pretraining: PretrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(loading._log, "warning", said.append)

    class Broken(TinyPlaces):
        def read(self, index: int) -> Drawn:
            if index in (3, 4):
                raise DataError(f"place {index} is broken")
            if index > 7:
                return Drawn(super().read(index).images[:1], "single")
            return super().read(index)

    dataset = ViewDataset(Broken(), list(range(8)), tiny_pretraining)
    assert [dataset[i][1] for i in range(8)] == [0, 1, 2, 5, 5, 5, 6, 7]
    assert said == ["left out: place 3 is broken", "left out: place 4 is broken"]
    with pytest.raises(
        DataError, match=r"10 places in a row cannot be read; the last: place single"
    ):
        ViewDataset(Broken(), list(range(8, 24)), tiny_pretraining)[0]
    small, large = (TinyPlaces(size=size).read(0).images[:2][None] for size in (48, 60))
    with pytest.raises(
        DataError, match="48×48 and of 60×60 pixels cannot share a batch"
    ):
        collate_views([(small, 0), (large, 1)])


# --- watching


def test_recall_and_spread_have_their_known_values() -> None:
    basis = torch.eye(8)
    assert watch.recall_at_1(basis, basis) == 1
    assert watch.recall_at_1(basis, basis.roll(1, 0)) == 0
    collapsed = torch.ones(8, 4)
    assert watch.recall_at_1(collapsed, collapsed) == 0
    assert watch.spread(collapsed) == pytest.approx(0, abs=1e-7)
    even = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert watch.spread(even) == pytest.approx(1, abs=0.01)
    assert watch.spread(even + 3) < 0.4
    a = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    b = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8]])
    # a→b: rows 0 and 1; b→a: row 0 (1 ties with 2, 2 is nearest to 1 and 2 alike)
    assert watch.recall_at_1(a, b) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_measuring_leaves_the_encoder_as_it_was(
    tiny_pretraining: PretrainingSettings,
) -> None:
    encoder = build_encoder(tiny_pretraining).train()
    before = {name: t.clone() for name, t in encoder.state_dict().items()}
    watch.figures(encoder, TinyPlaces(), range(6), side=32, dates=2)
    random = watch.calibrated(encoder, TinyPlaces(), range(6), side=32, dates=2)
    assert encoder.training
    assert all(torch.equal(t, before[name]) for name, t in encoder.state_dict().items())
    moved = [
        name
        for name, t in random.state_dict().items()
        if not torch.equal(t, before[name])
    ]
    assert moved
    assert all("running" in name or "tracked" in name for name in moved)


# --- runs


class Damaged(TinyPlaces):
    """Of every fourth place nothing can be read."""

    report = PlacesReport(
        places=24, images=96, left_out={"lonely": "1 of its images can be used"}
    )

    def read(self, index: int) -> Drawn:
        if index % 4 == 0:
            raise DataError(f"place-{index} cannot be read")
        return super().read(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_left_out_is_said_and_counted_and_random_weights_stand_beside(
    workers: int,
    tiny_pretraining: PretrainingSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="sencap"):
        folder = pretrain(
            dataclasses.replace(tiny_pretraining, workers=workers), Damaged()
        )
    run = json.loads((folder.parent / "run.json").read_text())
    training, held_out = split(24, 6, tiny_pretraining.seed)
    unreadable, measured = (
        sum(i % 4 == 0 for i in training),
        sum(i % 4 != 0 for i in held_out),
    )
    assert unreadable > 0
    assert 0 < measured < 6
    assert run["places"]["unreadable"] == unreadable
    assert run["random"]["places"] == run["epochs"][-1]["places"] == measured
    text = caplog.text
    assert "24 places with 96 images; left out: 1 places" in text
    assert f"{unreadable} of 18 places to train on could not be read" in text
    random = (
        f"random weights: {run['random']['recall']:.3f}, {run['random']['spread']:.3f}"
    )
    assert re.search(
        rf"epoch 3: .* among {measured} held-out places .*; {random}", text
    )


def test_a_run_goes_on_with_its_own_places_only(
    tiny_pretraining: PretrainingSettings,
) -> None:
    pretrain(tiny_pretraining, TinyPlaces())
    with pytest.raises(
        SettingsError,
        match=r"other places \(training: 18 there, 24 now; held_out: 6 there",
    ):
        pretrain(tiny_pretraining, TinyPlaces(30))


@pytest.mark.parametrize("method", ["moco-6c", "moco-3c", "seco"])
def test_a_run_writes_a_backbone_that_the_captioner_takes_and_its_record(
    method: Method, tiny_pretraining: PretrainingSettings
) -> None:
    settings = dataclasses.replace(tiny_pretraining, method=method)
    folder = pretrain(settings, TinyPlaces())
    out = folder.parent
    run = json.loads((out / "run.json").read_text())
    assert [epoch["epoch"] for epoch in run["epochs"]] == [0, 1, 2, 3]
    assert [epoch["epoch"] for epoch in run["epochs"] if "recall" in epoch] == [0, 2, 3]
    assert run["places"] == {"training": 18, "held_out": 6, "unreadable": 0}
    assert run["random"] == {
        key: value for key, value in run["epochs"][0].items() if key != "epoch"
    }
    assert all(
        0 <= run["epochs"][-1][name] <= 1.01 for name in ("recall", "spread", "nearest")
    )
    with Image.open(out / "watch.png") as picture:
        assert picture.size[0] > 600
    assert list(out.glob("logs/csv/*/metrics.csv"))
    assert list(out.glob("logs/tensorboard/*/events*"))
    assert (out / "epoch-0002" / "model.safetensors").is_file()
    config = json.loads((folder / "config.json").read_text())
    channels = 6 if method == "moco-6c" else 3
    assert (config["format"], config["backbone"]) == (
        "sencap-backbone-1",
        "test_efficientnet",
    )
    assert (config["in_channels"], config["method"], config["epoch"]) == (
        channels,
        method,
        3,
    )
    assert config["settings"]["out"] == "run"
    extractor = FeatureExtractor(backbone="test_efficientnet", structure="single-cat")
    initialise_backbone(extractor, folder)
    weights = load_file(folder / "model.safetensors")
    state = extractor.backbone.state_dict()
    assert state.keys() == weights.keys()
    different = [name for name in state if not torch.equal(state[name], weights[name])]
    assert different == ([] if channels == 6 else ["conv_stem.weight"])


def test_training_moves_the_weights_and_fills_the_queue(
    tiny_pretraining: PretrainingSettings,
) -> None:
    out = Path(tiny_pretraining.out)
    weights = load_file(pretrain(tiny_pretraining, TinyPlaces()) / "model.safetensors")
    start = build_encoder(tiny_pretraining).backbone.state_dict()
    assert all(
        not torch.equal(weights[name], start[name])
        for name in start
        if name.endswith(".weight")
    )
    state = torch.load(out / "resume.ckpt", weights_only=False)["state_dict"]
    assert int(state["contrast.queues.0.filled"]) == 13
    assert int(state["contrast.queues.0.next"]) == 3 * 2 * 8 % 13
    rate = torch.load(out / "resume.ckpt", weights_only=False)["lr_schedulers"][0][
        "_last_lr"
    ]
    assert rate == pytest.approx([0.0], abs=1e-9)


def test_a_run_killed_after_its_first_epoch_ends_with_the_weights_of_an_uninterrupted_one(
    tiny_pretraining: PretrainingSettings, tmp_path: Path
) -> None:
    optimisation = SgdSettings(epochs=6, batch_size=8)
    whole = dataclasses.replace(
        tiny_pretraining,
        data=str(tmp_path),
        out=str(tmp_path / "whole"),
        optimisation=optimisation,
    )
    pretrain(whole, TinyPlaces())
    killed = dataclasses.replace(whole, out=str(tmp_path / "killed"))
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(as_dict(killed)))
    command = [sys.executable, "-c", KILLED, str(config)]
    path = os.pathsep.join(
        [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    resume = tmp_path / "killed" / "resume.ckpt"
    deadline = time.monotonic() + 120
    while not resume.is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "backbone").exists(), (
        "it was killed too late to prove anything"
    )
    pretrain(killed, TinyPlaces())
    states = [
        torch.load(tmp_path / name / "resume.ckpt", weights_only=False)
        for name in ("whole", "killed")
    ]
    assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()
    for name, expected in states[0]["state_dict"].items():
        assert torch.equal(expected, states[1]["state_dict"][name]), name
    runs = [
        json.loads((tmp_path / n / "run.json").read_text()) for n in ("whole", "killed")
    ]
    assert runs[0]["epochs"] == runs[1]["epochs"]


def test_a_run_is_not_mixed_with_one_of_other_settings(
    tiny_pretraining: PretrainingSettings,
) -> None:
    short = dataclasses.replace(
        tiny_pretraining,
        optimisation=SgdSettings(epochs=1, batch_size=8),
        watch=WatchSettings(held_out=0),
    )
    folder = pretrain(short, TinyPlaces())
    assert pretrain(short, TinyPlaces()) == folder, "a finished run has nothing to do"
    run = json.loads((folder.parent / "run.json").read_text())
    assert [set(epoch) for epoch in run["epochs"]] == [{"epoch", "loss", "nearest"}]
    with pytest.raises(
        SettingsError, match=r"other settings \(seed: 42 there, 1 now\)"
    ):
        pretrain(dataclasses.replace(short, seed=1), TinyPlaces())
    with pytest.raises(SettingsError, match="resume=false"):
        pretrain(dataclasses.replace(short, resume=False), TinyPlaces())


def test_a_run_starts_from_given_weights_and_measures_random_ones_beside(
    tiny_pretraining: PretrainingSettings, tmp_path: Path
) -> None:
    first = pretrain(tiny_pretraining, TinyPlaces())
    second = dataclasses.replace(
        tiny_pretraining,
        out=str(tmp_path / "second"),
        init=str(first / "model.safetensors"),
    )
    started = build_encoder(second).backbone.state_dict()
    expected = load_file(first / "model.safetensors")
    assert all(torch.equal(started[name], expected[name]) for name in expected)
    run = json.loads((pretrain(second, TinyPlaces()).parent / "run.json").read_text())
    before = json.loads((first.parent / "run.json").read_text())
    assert run["random"] == before["random"]
    assert run["epochs"][0]["spread"] == pytest.approx(
        before["epochs"][-1]["spread"], abs=1e-6
    )
    assert run["epochs"][0]["spread"] != run["random"]["spread"]


def test_a_loss_that_is_no_number_stops_the_run(
    tiny_pretraining: PretrainingSettings,
) -> None:
    wild = dataclasses.replace(
        tiny_pretraining,
        optimisation=SgdSettings(epochs=3, batch_size=8, learning_rate=1e30),
    )
    with pytest.raises(
        SettingsError,
        match=r"the loss is no finite number in epoch .* lower optimisation\.learning_rate",
    ):
        pretrain(wild, TinyPlaces())


def test_a_source_that_open_places_knows_is_read(
    tiny_pretraining: PretrainingSettings,
) -> None:
    settings = dataclasses.replace(
        tiny_pretraining,
        data="synthetic:5:1",
        optimisation=SgdSettings(epochs=1, batch_size=3),
        watch=WatchSettings(held_out=2),
    )
    run = json.loads((pretrain(settings).parent / "run.json").read_text())
    assert (run["places"]["training"], run["places"]["held_out"]) == (3, 2)
    assert '"count": 5' in run["places"]["fingerprint"]
    with pytest.raises(DataError, match="does not exist"):
        pretrain(dataclasses.replace(settings, data="nowhere", out=settings.out + "-2"))
    assert not Path(settings.out + "-2").exists()
