"""The predictor: arrays and files, batches, the decision between change and no
change."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from reference.on_arrays import checkpoint_of, predictor_of
from sencap import ModelSettings, load
from sencap.config import SearchSettings
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import NO_CHANGE_SENTENCES, Vocabulary
from sencap.errors import CheckpointError, SettingsError, ShapeError
from sencap.images import as_pair
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.variants import build
from sencap.predictor import Predictor
from sencap.scenes import ScanSettings
from sencap.structures import Hypothesis, ImagePair
from sencap.weights import SHIPPED


@pytest.fixture
def checkpoint(tiny_data: Path, tiny_model: ModelSettings) -> Checkpoint:
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    torch.manual_seed(0)
    return Checkpoint(
        build(tiny_model, len(vocabulary)).eval(), vocabulary, tiny_model, {}
    )


def _pair(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(
        0, 256, (2, side, side, 3), dtype=np.uint8
    )
    return images[0], images[1]


def test_arrays_channels_first_or_last_and_batches_give_the_same_caption(
    checkpoint: Checkpoint,
) -> None:
    predictor = predictor_of(checkpoint, beam=2)
    pairs = [_pair(seed) for seed in range(5)]
    one = [predictor(*pair) for pair in pairs]
    first = predictor(*(image.transpose(2, 0, 1) for image in pairs[0]))
    many = list(predictor.stream((as_pair(*pair) for pair in pairs), batch_size=2))
    assert first.text == one[0].text
    assert [c.text for c in many] == [c.text for c in one]
    assert [c.log_prob for c in many] == pytest.approx(
        [c.log_prob for c in one], abs=1e-4
    )


def test_images_are_resized_to_the_models_size(checkpoint: Checkpoint) -> None:
    large = predictor_of(checkpoint)(*_pair(0, side=200))
    assert large.text
    assert large.change_probability is not None


def test_the_change_probability_is_that_of_all_fixed_sentences_together(
    checkpoint: Checkpoint,
) -> None:
    predictor = predictor_of(checkpoint)
    before, after = _pair(1)
    found = predictor(before, after)
    v = checkpoint.vocabulary
    memory = checkpoint.captioner.encode(
        torch.from_numpy(as_pair(before, after).images)[None]
    )
    total = 0.0
    for sentence in NO_CHANGE_SENTENCES:  # literally: one sentence, one word at a time
        ids = [v.start, *v.encode(sentence.split()), v.end]
        log_prob = 0.0
        for t in range(1, len(ids)):
            logits = checkpoint.captioner.decoder(memory, torch.tensor([[ids[:t]]]))[
                0, 0, -1
            ]
            log_prob += logits.log_softmax(-1)[ids[t]].item()
        total += np.exp(log_prob)
    assert found.change_probability == pytest.approx(1 - total, abs=1e-5)


def test_the_decision_by_probability_speaks_of_a_change_though_the_search_says_none(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = [s.split() for s in NO_CHANGE_SENTENCES]
    predictor = predictor_of(checkpoint, beam=1)
    v = checkpoint.vocabulary
    real = predictor._search

    def only_fixed(memory: object, beam: int) -> object:
        found = real(memory, beam)  # type: ignore[arg-type]
        if beam == 1:
            return [[Hypothesis(tuple(v.encode(fixed[0])), -0.9, True)] for _ in found]
        return found

    monkeypatch.setattr(predictor, "_search", only_fixed)
    caption = predictor(*_pair(2))
    assert caption.change_probability is not None
    assert caption.change_probability > 0.5, "a random model spreads its probability"
    assert caption.changed
    predictor.decision = "search"
    caption = predictor(*_pair(2))
    assert not caption.changed
    assert caption.text == NO_CHANGE_SENTENCES[0]


def test_a_sentence_that_says_a_phrase_twice_comes_last(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    v = checkpoint.vocabulary
    stumbling, fluent = v.encode(["a", "road"] * 2), v.encode(["a", "road"])
    found = [
        Hypothesis(tuple(stumbling), -1.0, True),
        Hypothesis(tuple(v.encode(NO_CHANGE_SENTENCES[0].split())), -1.5, True),
        Hypothesis(tuple(fluent), -2.0, True),
    ]
    predictor = predictor_of(checkpoint)
    monkeypatch.setattr(predictor, "_search", lambda memory, beam: [found])
    caption = predictor(*_pair(2))
    told = [caption, *caption.alternatives]
    assert [one.log_prob for one in told] == [-2.0, -1.0]
    # Where the beam holds nothing better, a wider one is asked.
    narrow, wide = found[:2], found
    monkeypatch.setattr(
        predictor,
        "_search",
        lambda memory, beam: [narrow if beam == predictor.beam else wide],
    )
    monkeypatch.setattr(predictor, "beam", 1)
    caption = predictor(*_pair(2))
    assert caption.log_prob == -2.0
    assert not caption.alternatives, "no more captions than the beam is wide"
    # The literature's way is the search's own order.
    predictor.decision = "search"
    assert predictor(*_pair(2)).log_prob == -1.0


def test_a_probability_below_a_half_gives_the_first_fixed_sentence(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(checkpoint)
    log_probs = np.array([[-2.0, -1.9, -1.7, -1.8, -1.6]], np.float32)
    monkeypatch.setattr(predictor, "_fixed_log_probs", lambda _: log_probs)
    # Nothing is searched of such a pair.
    monkeypatch.setattr(predictor, "_search", None)
    caption = predictor(*_pair(3))
    assert (caption.text, caption.log_prob) == (NO_CHANGE_SENTENCES[0], -2.0)
    assert not caption.changed
    assert caption.change_probability == pytest.approx(
        1 - np.exp(log_probs).sum(), abs=1e-6
    )
    others = [caption.log_prob for caption in caption.alternatives]
    assert others == pytest.approx([-1.6, -1.7, -1.8, -1.9])


def test_a_vocabulary_without_the_fixed_sentences_is_searched_as_it_is(
    tiny_model: ModelSettings,
) -> None:
    vocabulary = Vocabulary.build([["a", "house", "appears"]], minimum_count=1)
    captioner = build(tiny_model, len(vocabulary)).eval()
    predictor = predictor_of(Checkpoint(captioner, vocabulary, tiny_model, {}))
    assert predictor.decision == "search", "what is done, not what was asked for"
    assert predictor(*_pair(0)).change_probability is None
    image, _ = _pair(0)
    same = predictor(image, image)
    assert (same.text, same.changed) == (NO_CHANGE_SENTENCES[0], False)
    assert np.isfinite(same.log_prob)


@pytest.mark.parametrize("decision", ["probability", "search"])
@pytest.mark.parametrize("side", [64, 200])
def test_of_equal_images_it_is_said_that_they_are_equal(
    checkpoint: Checkpoint, decision: Literal["probability", "search"], side: int
) -> None:
    predictor = predictor_of(checkpoint, decision=decision)
    image, other = _pair(1, side)
    nearly = image.copy()
    nearly[0, 0, 0] ^= 1  # of a large image, no pixel at the model's size
    pairs = [as_pair(image, other), as_pair(image, image), as_pair(image, nearly)]
    changed, same, third = predictor.caption_pairs(pairs)
    assert changed.note == ""
    assert (
        same.note
        == "the two images are equal, pixel by pixel, at the model's 64 × 64 pixels"
    )
    assert (same.text, same.changed, same.change_probability) == (
        NO_CHANGE_SENTENCES[0],
        False,
        0.0,
    )
    assert {other.text for other in same.alternatives} == set(NO_CHANGE_SENTENCES[1:])
    assert (third.note != "") == (side > 64)
    # the log-probability is the model's own
    memory = predictor.engine.encode(as_pair(image, image, size=64).images[None])
    fixed = predictor._fixed_log_probs(memory)[0]
    assert same.log_prob == pytest.approx(fixed[0], abs=1e-4)
    assert changed.text == predictor(image, other).text


def test_one_file_given_twice_is_told(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path, link = tmp_path / "a.png", tmp_path / "b.png"
    PillowImage.fromarray(_pair(0)[0]).save(path)
    link.symlink_to(path)
    for after in (path, str(link)):
        assert (
            predictor_of(checkpoint)(path, after).note
            == "before and after are one file"
        )


def test_the_search_is_the_checkpoints_own_unless_another_is_asked_for(
    checkpoint: Checkpoint,
) -> None:
    usual = SearchSettings(beam=4, length_normalisation=1.5)
    settings = dataclasses.replace(checkpoint.settings, search=usual)
    own = dataclasses.replace(checkpoint, settings=settings)
    plain = predictor_of(checkpoint)
    assert (plain.beam, plain.length_normalisation) == (3, 0.0)
    found = predictor_of(own)
    assert (found.beam, found.length_normalisation) == (4, 1.5)
    asked = predictor_of(own, beam=3, length_normalisation=0.0)
    pairs = [as_pair(*_pair(seed)) for seed in range(6)]
    as_plain = asked.caption_pairs(pairs)
    assert as_plain == plain.caption_pairs(pairs)
    said = found.caption_pairs(pairs)
    assert said == predictor_of(
        checkpoint, beam=4, length_normalisation=1.5
    ).caption_pairs(pairs)
    assert said != as_plain


def test_the_weights_that_ship_search_wide_and_normalise_the_length() -> None:
    for weights, beam in ((None, 5), ("best", 10), ("sen", 10)):
        predictor = load(weights)
        assert (predictor.beam, predictor.length_normalisation) == (beam, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda predictor: predictor(*_pair(0), beam=0), "beam is 0"),
        (lambda predictor: predictor.caption_pairs([], beam=101), "beam is 101"),
        (lambda predictor: predictor.stream([], batch_size=0), "batch_size is 0"),
        (lambda predictor: predictor.stream([], batch_size=-1), "batch_size is -1"),
        (lambda predictor: predictor.stream([], beam=-1), "beam is -1"),
        (lambda _: load(""), "weights='' is empty"),
        (lambda _: load("  "), "weights='  ' is empty"),
        (lambda _: load(beam=0), "beam is 0"),
        (lambda _: load(length_normalisation=-1), "length_normalisation is -1"),
        (lambda _: load(length_normalisation=math.nan), "length_normalisation is nan"),
        (lambda _: ScanSettings(length_normalisation=3), "it must be from 0 to 2"),
    ],
)
def test_what_would_do_nothing_or_something_else_is_refused(
    checkpoint: Checkpoint, call: Callable[[Predictor], object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        call(predictor_of(checkpoint))


def test_no_pairs_give_no_captions(checkpoint: Checkpoint) -> None:
    assert predictor_of(checkpoint).caption_pairs([]) == []


def test_a_batch_holds_images_of_the_models_size_only(checkpoint: Checkpoint) -> None:
    given: list[weakref.ref[ImagePair]] = []

    def pairs() -> Iterator[ImagePair]:
        for seed in range(4):
            pair = as_pair(*_pair(seed, side=200))
            given.append(weakref.ref(pair))
            yield pair
            del pair
            assert sum(one() is not None for one in given) == 0, (
                "large pairs are let go one by one"
            )

    assert len(list(predictor_of(checkpoint).stream(pairs(), batch_size=4))) == 4


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (np.zeros((64, 64, 3), np.float32), np.zeros((64, 64, 3), np.float32), "uint8"),
        (
            np.zeros((4, 64, 64), np.uint8),
            np.zeros((4, 64, 64), np.uint8),
            "before: .*Of four bands leave out",
        ),
    ],
)
def test_other_arrays_are_refused(
    checkpoint: Checkpoint, before: np.ndarray, after: np.ndarray, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        predictor_of(checkpoint)(before, after)


def test_wrong_arguments_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="beam is 0"):
        predictor_of(checkpoint, beam=0)
    with pytest.raises(SettingsError, match="did you mean 'search'"):
        predictor_of(checkpoint, decision="serach")
    with pytest.raises(SettingsError, match="device='gpu0'"):
        load(device="gpu0")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        load(tmp_path)


def test_the_weights_that_ship_load_offline_and_are_within_their_size() -> None:
    checkpoint = load_checkpoint(SHIPPED)
    assert sum(f.stat().st_size for f in SHIPPED.iterdir()) < 40e6
    assert len(checkpoint.vocabulary) == 468
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for said in (
        "research use only",
        "Never evaluate them on LEVIR-CC's official val and test splits",
        "sencap evaluate",
    ):
        assert said in card


def test_the_weights_that_ship_tell_a_row_of_houses_from_nothing(
    tmp_path: Path,
) -> None:
    from sencap.synthetic import render_pair

    predictor = load(engine="torch")
    right = 0
    for index in range(20):
        drawn = render_pair(99, index)  # a seed they were not trained on
        right += predictor(drawn.before, drawn.after).changed == drawn.changed
    assert right >= 13, f"{right} of 20"
    save_checkpoint(tmp_path / "copy", checkpoint_of(predictor))
    assert (
        load(tmp_path / "copy")(drawn.before, drawn.after).text
        == predictor(drawn.before, drawn.after).text
    )
