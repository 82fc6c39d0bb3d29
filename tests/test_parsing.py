"""What a user types, and what one is told: the nearest setting, the value, what it
takes."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from sencap.cli import main, verb_parser
from sencap.verbs.train import command

TRAIN = "train --data d --out o"


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        (f"{TRAIN} --dimention 3", "did you mean '--dimension'?"),
        (f"{TRAIN} --epochs 3", "did you mean '--optimisation.epochs'?"),
        (f"{TRAIN} --epoch 3", "did you mean '--optimisation.epochs'?"),
        (f"{TRAIN} --zzz 3", "--zzz 3; --help lists all there are"),
        ("caption a b --nope", "--nope; --help lists all there are"),
        (
            "caption a b --decision x",
            "decision is 'x'; it must be one of probability, either-order, search\n",
        ),
        (
            f"{TRAIN} --extractor x.yaml",
            "--extractor is a group of settings; give each by its own flag",
        ),
        (
            f"{TRAIN} --decoder={{}}",
            "--decoder is a group of settings; give each by its own flag",
        ),
        (
            f"{TRAIN} --vocabulary.splits train",
            "square brackets, such as [0.5,0.5,0.5] or [train,val]",
        ),
        (
            f"{TRAIN} --layers 3",
            "did you mean '--decoder.layers' or '--difference.layers'?",
        ),
        (
            f"{TRAIN} --optimisation.epochs 1e9",
            "optimisation.epochs is '1000000000.0'; it must be a whole",
        ),
        (
            f"{TRAIN} --extractor.structure cat",
            "it must be one of single-cat, single-sub, dual",
        ),
        (
            f"{TRAIN} --mean [1,2]",
            "mean is [1, 2]; it must be 3 numbers, such as [0.5,0.5,0.5]",
        ),
        (
            f"{TRAIN} --loading.cache maybe",
            "loading.cache is 'maybe'; it must be true or false",
        ),
        ("caption a b --beam x", "beam is 'x'; it must be a whole number"),
        ("caption a b --decision serch", "did you mean 'search'?"),
        ("evaluate --data d --limit x", "limit is 'x'; it must be a whole number"),
        ("pack a b --stride 1.5", "stride is '1.5'; it must be a whole number"),
        ("evaluate", "required: data"),
    ],
)
def test_a_wrong_flag_or_value_is_told_in_words_of_ours(
    command_line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    for foreign in ("<class", "typing.", "Union", "NoneType"):
        assert foreign not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dimention: 3", "did you mean '--dimension'?"),
        ("epochs: 3", "did you mean '--optimisation.epochs'?"),
        ("optimisation:\n  epochz: 3", "did you mean '--optimisation.epochs'?"),
    ],
)
def test_a_wrong_key_of_a_file_is_told_with_the_nearest_setting(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"data: d\nout: o\n{text}\n")
    assert main(["train", "--config", str(config)]) == 2
    assert message in capsys.readouterr().err


def test_the_help_offers_no_flag_that_is_refused() -> None:
    text = verb_parser("train", command).format_help()
    assert "--config CONFIG" in text
    assert "--extractor.backbone BACKBONE" in text
    assert "--extractor CONFIG" not in text


def test_help_that_cannot_be_written_is_told() -> None:
    class FullDisk(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        verb_parser("train", command).print_help(FullDisk())


def test_a_key_spelt_like_its_flag_is_taken(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "data: d\nout: o\nselection-data: s\noptimisation:\n  learning-rate: 0.5\n"
    )
    parser = verb_parser("train", command)
    values = parser.instantiate(parser.parse_args(["--config", str(config)]))
    assert values.optimisation.learning_rate == 0.5
    assert values.selection_data == "s"
