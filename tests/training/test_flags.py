"""Training on pairs of which nobody knows whether they changed: it needs no flag, and
says that there is none."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from sencap.config import TrainingSettings
from sencap.data.levir_cc import read_dataset
from sencap.data.vocabulary import Vocabulary
from sencap.training.words import tell_words


def test_pairs_without_a_change_flag_are_counted(
    tiny_data: Path, tiny_training: TrainingSettings, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = read_dataset(tiny_data)
    unknown = [dataclasses.replace(pair, changed=None) for pair in pairs[:3]]
    vocabulary = Vocabulary.build(
        [words for pair in pairs for words in pair.captions], minimum_count=1
    )
    with caplog.at_level(logging.INFO, logger="sencap"):
        tell_words(unknown, pairs, vocabulary, tiny_training)
    told = [
        message
        for message in caplog.messages
        if "not known whether they changed" in message
    ]
    assert told == [
        "training: of 3 pairs it is not known whether they changed; training does "
        "without"
    ]
