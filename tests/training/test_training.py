"""Training: losses, gradients, resume after a kill, the decay rule, the settings that a
run refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sencap.config import (
    LoadingSettings,
    ModelSettings,
    OptimisationSettings,
    TrainingSettings,
    as_dict,
)
from sencap.data.levir_cc import read_dataset
from sencap.data.vocabulary import Vocabulary
from sencap.errors import DataError, SettingsError
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import load_checkpoint
from sencap.models.extractors import FeatureExtractor
from sencap.models.variants import build
from sencap.training.fit import fit
from sencap.training.loading import PairDataset, collate
from sencap.training.losses import caption_loss
from sencap.training.schedule import decoder_plateau
from sencap.training.task import CaptioningTask


def _dataset(tiny_data: Path, *, one_pass: bool) -> PairDataset:
    pairs = read_dataset(tiny_data, splits=["train"])
    vocabulary = Vocabulary.build(
        [c for p in pairs for c in p.captions], minimum_count=1
    )
    return PairDataset(
        pairs,
        vocabulary,
        settings=LoadingSettings(one_pass=one_pass),
        size=64,
        max_words=20,
    )


def _gradients(captioner: Captioner, dataset: PairDataset) -> dict[str, torch.Tensor]:
    batch = collate(
        [dataset[i] for i in range(len(dataset))], pad=dataset.vocabulary.pad
    )
    captioner.zero_grad()
    logits = captioner(batch.images, batch.tokens[..., :-1])
    caption_loss(logits, batch.tokens, pad=dataset.vocabulary.pad).backward()  # type: ignore[no-untyped-call]
    return {
        name: p.grad.clone()
        for name, p in captioner.named_parameters()
        if p.grad is not None
    }


def test_one_pass_per_pair_has_the_gradients_of_its_five_samples(
    tiny_data: Path, tiny_model: ModelSettings
) -> None:
    shared, apart = (
        _dataset(tiny_data, one_pass=True),
        _dataset(tiny_data, one_pass=False),
    )
    assert (len(shared), len(apart)) == (8, 40)
    torch.manual_seed(0)
    captioner = build(tiny_model, len(shared.vocabulary)).train().double()
    # Dropout off, BatchNorm on: its statistics are the same for both.
    for module in captioner.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0  # type: ignore[assignment]
    captioner.normalise = lambda images: (  # type: ignore[method-assign]
        (images.double() / 255 - captioner.mean) / captioner.std
    )
    one, five = _gradients(captioner, shared), _gradients(captioner, apart)
    assert one.keys() == five.keys()
    assert len(one) > 50
    for name in one:
        torch.testing.assert_close(
            one[name], five[name], rtol=1e-4, atol=1e-8, msg=name
        )


def test_the_loss_ignores_padding_and_weighs_every_word_alike() -> None:
    logits = torch.zeros(1, 2, 3, 7)
    logits[0, 0, 0, 5] = 100.0
    tokens = torch.tensor([[[2, 5, 3, 0], [2, 6, 4, 3]]])
    # one word certain, four words at ln 7 each (the padding left out)
    expected = torch.log(torch.tensor(7.0)) * 4 / 5
    torch.testing.assert_close(caption_loss(logits, tokens, pad=0), expected)


def test_the_decay_rule_fires_after_three_stale_epochs_in_a_row_and_counts_anew() -> (
    None
):
    parameter = torch.nn.Parameter(torch.zeros(1))
    groups = [
        {"name": name, "params": [torch.nn.Parameter(parameter.clone())]}
        for name in ("extractor", "decoder")
    ]
    optimiser = torch.optim.AdamW(groups, lr=1.0)
    rule = decoder_plateau(optimiser, OptimisationSettings(patience=3, decay=0.7))
    rates = []
    for score in (10, 9, 9, 11, 11, 10, 10, 9, 9, 9):
        rule.step(score)
        rates.append([group["lr"] for group in optimiser.param_groups])
    assert [decoder for _, decoder in rates] == pytest.approx(
        [1.0] * 6 + [0.7] * 3 + [0.49]
    )
    assert {extractor for extractor, _ in rates} == {1.0}


def test_gradient_values_of_extractor_and_decoder_are_clamped_and_others_not(
    tiny_model: ModelSettings,
) -> None:
    captioner = build(tiny_model, 20)
    vocabulary = Vocabulary.build([["a"]], minimum_count=1)
    task = CaptioningTask(
        captioner, vocabulary, OptimisationSettings(), validation_pairs=[]
    )
    for parameter in captioner.parameters():
        parameter.grad = torch.full_like(parameter, -9.0)
    task.configure_gradient_clipping()
    values = {
        part: {
            float(p.grad.min())
            for p in getattr(captioner, part).parameters()
            if p.grad is not None
        }
        for part in ("extractor", "difference", "decoder")
    }
    assert values == {"extractor": {-5.0}, "difference": {-9.0}, "decoder": {-5.0}}


def test_training_writes_a_checkpoint_that_loads_and_a_record_of_the_run(
    tiny_training: TrainingSettings,
) -> None:
    best = fit(tiny_training)
    checkpoint = load_checkpoint(best)
    assert checkpoint.settings == tiny_training.model
    assert checkpoint.training["settings"]["seed"] == 42
    run = json.loads((best.parent / "run.json").read_text())
    assert [epoch["epoch"] for epoch in run["epochs"]] == [0, 1, 2]
    assert run["epochs"][-1]["loss"] < run["epochs"][0]["loss"]
    assert torch.__version__.startswith(run["environment"]["torch"])
    assert list(best.parent.glob("logs/csv/*/metrics.csv"))
    assert list(best.parent.glob("logs/tensorboard/*/events*"))


def test_a_run_killed_in_its_second_epoch_ends_with_the_weights_of_an_uninterrupted_one(
    tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    optimisation = dataclasses.replace(
        tiny_training.optimisation, epochs=4, average=0.9
    )
    whole = dataclasses.replace(
        tiny_training, out=str(tmp_path / "whole"), optimisation=optimisation
    )
    fit(whole)
    killed = dataclasses.replace(whole, out=str(tmp_path / "killed"))
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(as_dict(killed)))
    command = [sys.executable, "-m", "sencap", "train", "--config", str(config)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    resume = tmp_path / "killed" / "resume.ckpt"
    deadline = time.monotonic() + 120
    while not resume.is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "last").exists(), (
        "it was killed too late to prove anything"
    )
    fit(killed)
    for name in ("last", "best"):
        expected = load_file(tmp_path / "whole" / name / "model.safetensors")
        found = load_file(tmp_path / "killed" / name / "model.safetensors")
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    epochs = [
        json.loads((tmp_path / n / "run.json").read_text())["epochs"]
        for n in ("whole", "killed")
    ]
    assert all(epoch.pop("seconds") > 0 for run in epochs for epoch in run)
    assert epochs[0] == epochs[1]


def test_a_run_is_not_mixed_with_one_of_other_settings(
    tiny_training: TrainingSettings,
) -> None:
    short = dataclasses.replace(
        tiny_training, optimisation=OptimisationSettings(epochs=1)
    )
    fit(short)
    with pytest.raises(
        SettingsError, match=r"other settings \(seed: 42 there, 1 now\)"
    ):
        fit(dataclasses.replace(short, seed=1))
    with pytest.raises(SettingsError, match="resume=false"):
        fit(dataclasses.replace(short, resume=False))


def test_training_starts_from_a_checkpoint_with_its_vocabulary(
    tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    first = fit(
        dataclasses.replace(tiny_training, optimisation=OptimisationSettings(epochs=1))
    )
    second = dataclasses.replace(
        tiny_training,
        out=str(tmp_path / "second"),
        start=str(first),
        optimisation=OptimisationSettings(epochs=1, learning_rate=1e-12),
    )
    started = load_checkpoint(fit(second))
    before = load_checkpoint(first)
    assert started.vocabulary == before.vocabulary
    weight = "decoder.output.weight"
    torch.testing.assert_close(
        started.captioner.state_dict()[weight],
        before.captioner.state_dict()[weight],
        atol=1e-6,
        rtol=0,
    )
    wider = dataclasses.replace(second, dimension=64, out=str(tmp_path / "third"))
    with pytest.raises(
        SettingsError, match="holds another model than the settings describe"
    ):
        fit(wider)


def test_data_without_a_training_split_is_refused_before_anything_is_written(
    tiny_training: TrainingSettings, tiny_data: Path, tmp_path: Path
) -> None:
    only_test = tmp_path / "only_test"
    only_test.mkdir()
    (only_test / "images").symlink_to(tiny_data / "images")
    entries = json.loads((tiny_data / "LevirCCcaptions.json").read_text())
    entries["images"] = [e for e in entries["images"] if e["split"] == "test"]
    (only_test / "LevirCCcaptions.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match="no pairs of split 'train'"):
        fit(dataclasses.replace(tiny_training, data=str(only_test)))
    assert not Path(tiny_training.out).exists()


def test_the_extractor_starts_from_the_weights_that_init_names_and_the_log_says_so(
    tiny_training: TrainingSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(1)
    given = FeatureExtractor(backbone="test_efficientnet", dimension=1)
    torch.save(given.backbone.state_dict(), tmp_path / "any.name")
    frozen = dataclasses.replace(
        tiny_training.extractor,
        init=str(tmp_path / "any.name"),
        fine_tune_from="none",
        frozen_statistics="fixed",
    )
    settings = dataclasses.replace(
        tiny_training, extractor=frozen, optimisation=OptimisationSettings(epochs=1)
    )
    with caplog.at_level("INFO", logger="sencap"):
        trained = load_checkpoint(fit(settings)).captioner.extractor
    kept = trained.get_submodule("backbone").state_dict()
    assert all(
        torch.equal(kept[name], tensor)
        for name, tensor in given.backbone.state_dict().items()
    )
    assert "recognised as" in caplog.text


def test_the_running_average_of_the_weights_is_what_is_kept(
    tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    one_epoch = OptimisationSettings(epochs=1, learning_rate=1e-3)
    plain = load_file(
        fit(dataclasses.replace(tiny_training, optimisation=one_epoch))
        / "model.safetensors"
    )
    averaging = dataclasses.replace(one_epoch, average=0.75)
    other = dataclasses.replace(
        tiny_training, optimisation=averaging, out=str(tmp_path / "averaged")
    )
    kept = load_file(fit(other) / "model.safetensors")
    weight = "decoder.output.weight"
    assert not torch.equal(plain[weight], kept[weight])
    resume = torch.load(tmp_path / "averaged" / "resume.ckpt", weights_only=False)[
        "state_dict"
    ]
    # Training itself is the same.
    torch.testing.assert_close(resume[f"captioner.{weight}"], plain[weight])
    torch.testing.assert_close(resume[f"average.module.{weight}"], kept[weight])


@pytest.mark.skipif(
    (os.cpu_count() or 1) < 2, reason="two devices of a CPU need two cores"
)
def test_two_processes_train_one_model_and_validate_every_pair(
    tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    hardware = dataclasses.replace(tiny_training.hardware, devices=2)
    optimisation = OptimisationSettings(epochs=1)
    both = dataclasses.replace(
        tiny_training, hardware=hardware, optimisation=optimisation
    )
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(as_dict(both)))
    command = [sys.executable, "-m", "sencap", "train", "--config", str(config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    out = Path(both.out)
    run = json.loads((out / "run.json").read_text())
    assert len(run["epochs"]) == 1
    assert (out / "best" / "encoder.onnx").is_file()
    state = torch.load(out / "resume.ckpt", weights_only=False)
    assert state["global_step"] == 2, (
        "eight pairs, two processes of two pairs each: two steps"
    )
    assert all(
        t.isfinite().all()
        for t in load_checkpoint(out / "best").captioner.state_dict().values()
    )
