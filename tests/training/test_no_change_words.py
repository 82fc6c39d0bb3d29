"""A data set that says "no change" in words of its own: its checkpoints remember
them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sencap import load
from sencap.config import (
    HardwareSettings,
    OptimisationSettings,
    TrainingSettings,
    VocabularySettings,
)
from sencap.data.entries import CaptionedPair
from sencap.data.vocabulary import NO_CHANGE_SENTENCES, Vocabulary, fixed_sentences
from sencap.engines.choice import EngineName
from sencap.errors import CheckpointError
from sencap.models.export import export_checkpoint
from sencap.predictor import Predictor
from sencap.structures import Hypothesis
from sencap.training.fit import fit
from sencap.training.words import own_no_change
from tiny_data import UNCHANGED, write_tiny_data
from tiny_systems import tiny

OWN = ("nada ha cambiado", "todo sigue igual", "no hay obras nuevas")


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data with other sentences of no change, which its flags teach."""
    folder = write_tiny_data(tmp_path_factory.mktemp("translated"))
    file = folder / "LevirCCcaptions.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for entry in content["images"]:
        for number, sentence in enumerate(entry["sentences"]):
            if not entry["changeflag"]:
                sentence["tokens"] = OWN[number % len(OWN)].split()
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def best(translated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one epoch on these data leaves behind."""
    model = tiny("sen")
    settings = TrainingSettings(
        data=str(translated),
        out=str(tmp_path_factory.mktemp("run") / "out"),
        dimension=model.dimension,
        size=model.size,
        extractor=model.extractor,
        difference=model.difference,
        decoder=model.decoder,
        vocabulary=VocabularySettings(minimum_count=1),
        optimisation=OptimisationSettings(epochs=1),
        hardware=HardwareSettings(accelerator="cpu"),
        progress=False,
    )
    folder = fit(settings)
    export_checkpoint(folder)
    return folder


@pytest.fixture
def copy(best: Path, tmp_path: Path) -> Path:
    return shutil.copytree(best, tmp_path / "copy")


def _blank(predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    before = np.zeros((3, predictor.size, predictor.size), np.uint8)
    after = before.copy()
    after[0, 0, 0] = 255  # else no model would be asked
    return before, after


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_captioner_says_and_knows_no_change_in_the_words_it_learnt(
    best: Path, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load(best, engine=engine, device="cpu")
    # Its vocabulary has all words that this needs.
    assert predictor.decision == "probability"
    monkeypatch.setattr(predictor, "_change", lambda memory: ([0.0], None))
    same = predictor(*_blank(predictor))
    told = [same, *same.alternatives]
    assert {caption.text for caption in told} == set(OWN)
    assert not any(caption.changed for caption in told)
    assert predictor._own[: len(OWN)] == predictor._fixed
    words = predictor.checkpoint.vocabulary.encode(OWN[1].split())
    assert not predictor._sentence(
        Hypothesis(tuple(words), -1.0, finished=True)
    ).changed


def test_without_a_record_all_is_as_it_was(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    assert set(config["training"].pop("no_change")) == set(OWN)
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    predictor = load(copy, engine="onnx", device="cpu")
    assert predictor._fixed == NO_CHANGE_SENTENCES
    assert predictor.decision == "search"  # it lacks their words


@pytest.mark.parametrize("record", [["a"] * 101, "text", [7], [" "], {"a": 1}])
def test_a_strangers_record_is_looked_at(copy: Path, record: object) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["training"]["no_change"] = record
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="at most 100 sentences"):
        load(copy, engine="onnx", device="cpu")


def test_levir_ccs_sentences_come_before_others_learnt_beside_them() -> None:
    vocabulary = Vocabulary.build(
        [sentence.split() for sentence in OWN], minimum_count=1
    )
    assert fixed_sentences((), vocabulary) == NO_CHANGE_SENTENCES
    assert fixed_sentences((OWN[0], UNCHANGED[0]), vocabulary) == NO_CHANGE_SENTENCES
    assert fixed_sentences(("unknown words", *OWN), vocabulary) == OWN
    assert fixed_sentences(("unknown words",), vocabulary) == ("unknown words",)


def test_the_sentences_of_several_data_sets_are_all_remembered() -> None:
    def pair(*sentences: str) -> CaptionedPair:
        return CaptionedPair(
            "x", "train", Path("a"), Path("b"), (), None, "", no_change=sentences
        )

    pairs = [pair("a", "b"), pair("a", "b"), pair("c", "a"), pair()]
    assert own_no_change(pairs) == ("a", "b", "c")
    many = [pair(*map(str, range(300)))]
    assert len(own_no_change(many)) == 100
