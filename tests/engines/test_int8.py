"""int8 says nearly what fp32 says, is offered only where it can be, and never taken in
silence."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from sencap.bench import int8
from sencap.bench.int8 import Comparison
from sencap.cli import main
from sencap.engines import graphs, precisions
from sencap.engines.onnx import OnnxEngine
from sencap.engines.quantise import calibration_pairs, drawn_pairs, write_int8
from sencap.errors import CheckpointError, SencapError, SettingsError
from sencap.evaluating import report_on
from sencap.predictor import load
from sencap.structures import ImagePair
from sencap.synthetic import render_pair
from sencap.weights import SHIPPED

FLAGS_OF_X86 = "processor\t: 0\nflags\t\t: fpu sse2 {}\n"


@pytest.fixture(autouse=True)
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The processor has int8, whatever this one has; the test may give it other
    flags."""

    def has(flags: str) -> None:
        told = tmp_path / "cpuinfo"
        told.write_text(FLAGS_OF_X86.format(flags))
        monkeypatch.setattr(precisions, "CPUINFO", told)

    has("avx512_vnni avx512_bf16")
    return has


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that ship, with an encoder in int8 calibrated on few pairs."""
    folder = tmp_path_factory.mktemp("int8") / "weights"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns(graphs.ENCODER_INT8))
    pairs = drawn_pairs(load(folder).size)
    write_int8(folder, [next(pairs) for _ in range(8)], "8 drawn pairs")
    return folder


@pytest.fixture
def copy(weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights, tmp_path / "copy"))


def _drawn(count: int) -> list[ImagePair]:
    found = []
    for number in range(100, 100 + count):
        pair = render_pair(0, number)
        images = np.stack((pair.before, pair.after)).transpose(0, 3, 1, 2)
        found.append(ImagePair(images, str(number)))
    return found


def test_flags_and_most_captions_are_those_of_fp32(weights: Path) -> None:
    pairs = _drawn(12)
    exact = load(weights).caption_pairs(pairs)
    fast = load(weights, precision="int8").caption_pairs(pairs)
    assert [one.changed for one in fast] == [one.changed for one in exact]
    assert {one.changed for one in exact} == {True, False}
    same = sum(one.text == other.text for one, other in zip(fast, exact, strict=True))
    assert same >= 8
    assert [one.log_prob for one in fast] != [one.log_prob for one in exact], (
        "it was fp32 twice"
    )


def test_its_matrices_are_bytes_and_the_folder_stays_small(weights: Path) -> None:
    model = graphs.read_graph(weights / graphs.ENCODER_INT8)
    large = [
        tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 100_000
    ]
    assert large
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.INT8}
    assert sum(file.stat().st_size for file in weights.iterdir()) < 40e6
    assert (
        graphs.int8_record(weights / graphs.ENCODER_INT8)["calibrated_on"]
        == "8 drawn pairs"
    )


def test_it_explains_too(weights: Path) -> None:
    images = next(drawn_pairs(load(weights).size))
    exact = OnnxEngine(weights).encode(images, explain=True)
    fast = OnnxEngine(weights, precision="int8").encode(images, explain=True)
    assert set(fast.parts) == set(exact.parts)
    assert set(fast.received) == set(exact.received)
    for name, received in exact.received.items():
        np.testing.assert_allclose(fast.received[name], received, atol=0.1)


def test_fp32_is_the_default_and_an_int8_graph_beside_it_changes_no_byte(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = render_pair(0, 100)
    files = [str(tmp_path / "before.png"), str(tmp_path / "after.png")]
    for file, pixels in zip(files, (pair.before, pair.after), strict=True):
        Image.fromarray(pixels).save(file)
    told = []
    for folder in (SHIPPED, weights):
        for flags in ([], ["--precision", "fp32"]):
            assert (
                main(["caption", *files, "--json", "--weights", str(folder), *flags])
                == 0
            )
            told.append(json.loads(capsys.readouterr().out))
            # The two folders have other names, and the same weights.
            told[-1].pop("weights")
    assert all(one == told[0] for one in told)
    assert (
        main(["caption", *files, "--weights", str(weights), "--precision", "int8"]) == 0
    )


@pytest.mark.parametrize(
    ("precision", "flags", "told"),
    [
        ("int8", "avx2", "precision=int8 is not offered on this processor.*use fp32"),
        (
            "int8",
            "avx512_bf16",
            "not offered on this processor: it tells of none of avx512_vnni",
        ),
        (
            "bf16",
            "avx512_bf16",
            "precision=bf16 is not offered: this processor has bfloat16, and",
        ),
        (
            "bf16",
            "avx2",
            "precision=bf16 is not offered: this processor does not have bfloat16",
        ),
        ("int4", "avx512_vnni", "precision='int4' is unknown"),
    ],
)
def test_what_the_processor_lacks_is_refused(
    processor: Callable[[str], None],
    weights: Path,
    precision: Any,
    flags: str,
    told: str,
) -> None:
    processor(flags)
    with pytest.raises(SettingsError, match=told):
        load(weights, precision=precision)
    with pytest.raises(SettingsError, match=told):
        OnnxEngine(weights, precision=precision)


def test_a_system_that_tells_nothing_of_its_processor_offers_no_int8(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "CPUINFO", tmp_path / "nothing")
    with pytest.raises(SettingsError, match="int8 is not offered on this processor"):
        load(weights, precision="int8")


@pytest.mark.parametrize(
    ("flags", "has"), [("Features\t: fp asimddp", True), ("flags: a", False)]
)
def test_arm_names_its_line_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, has: bool
) -> None:
    told = tmp_path / "arm"
    told.write_text(flags)
    monkeypatch.setattr(precisions, "CPUINFO", told)
    assert ("asimddp" in precisions.processor_flags()) == has


def test_onnx_runtime_still_has_no_convolution_in_bfloat16() -> None:
    """The reason why bf16 is refused; should this fail, it may be offered."""
    kind = onnx.TensorProto.BFLOAT16
    values = [
        onnx.helper.make_tensor_value_info(n, kind, [1, 8, 8, 8]) for n in ("x", "y")
    ]
    weight = onnx.helper.make_tensor("w", kind, [8, 8, 1, 1], [0.0] * 64)
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [weight])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10
    )
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED|Could not find an impl"):
        onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )


def test_int8_is_the_onnx_engines(weights: Path) -> None:
    with pytest.raises(SettingsError, match="precision=int8 is the ONNX engine's"):
        load(weights, precision="int8", engine="torch")


def test_a_checkpoint_without_an_int8_graph_offers_none(copy: Path) -> None:
    (copy / graphs.ENCODER_INT8).unlink()
    with pytest.raises(
        CheckpointError, match=r"offers no int8.*sencap export .*--precision int8"
    ):
        load(copy, precision="int8")


def test_a_graph_of_other_weights_is_refused(copy: Path) -> None:
    with (copy / graphs.ENCODER).open("ab") as file:
        file.write(b"\x9a\x00")  # one more byte in it, of no meaning
    with pytest.raises(
        CheckpointError, match="was made of other weights than those beside it"
    ):
        OnnxEngine(copy, precision="int8")


def _outside(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(
            t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8
        )
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "8")):
            tensor.external_data.add(key=key, value=value)

    return change


def _custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.domain"


def _record(text: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        metadata = {**graphs.metadata_of(model), graphs.INT8: text}
        onnx.helper.set_model_props(model, metadata)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_outside("../secret"), r"asks for the file '\.\./secret'"),
        (_outside("/etc/passwd"), "asks for the file '/etc/passwd'"),
        (_outside(graphs.WEIGHTS), "do not belong together"),
        (_custom_operator, r"needs the operator evil\.domain"),
        (_record("{"), "does not say what it was made of"),
        (_record("3"), "does not say what it was made of"),
        (_record("{}"), "was made of other weights"),
    ],
)
def test_a_graph_of_a_stranger_is_refused(
    copy: Path, change: Callable[[onnx.ModelProto], None], told: str
) -> None:
    path = copy / graphs.ENCODER_INT8
    model = onnx.load_model(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=told):
        OnnxEngine(copy, precision="int8")
    OnnxEngine(copy)  # which never looks at it


def test_a_graph_that_was_never_measured_says_so(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(weights, precision="int8")
    assert "never measured" in caplog.text


# ---------------------------------------------------------------- measured, and kept or
# not


def _comparison(**changes: Any) -> Comparison:
    figures: dict[str, Any] = {
        "data": "set",
        "pairs": 125,
        "score_fp32": 61.0,
        "score_int8": 61.4,
        "equal_flags": 0.984,
        "encoder": {1: 1.5, 16: 2.5},
        "whole": {1: 1.1, 16: 1.6},
        "best": 16,
        "processor": "an abacus",
    }
    return Comparison(**{**figures, **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"score_int8": 61.6}, ["S*m differs by +0.60"]),
        ({"score_int8": 60.4}, ["S*m differs by -0.60"]),
        ({"equal_flags": 0.976}, ["the same for 97.6% of the pairs"]),
        ({"whole": {1: 1.1, 16: 1.4}}, ["1.40 times as fast at batch 16"]),
        ({"score_int8": 0.0, "equal_flags": 0.5}, ["S*m", "50.0%"]),
    ],
)
def test_what_int8_has_to_keep(changes: dict[str, Any], told: list[str]) -> None:
    against = _comparison(**changes).reasons_against()
    assert len(against) == len(told)
    for reason, part in zip(against, told, strict=True):
        assert part in reason


@pytest.mark.parametrize("good", [True, False])
def test_the_command_keeps_what_does_and_deletes_what_does_not(
    copy: Path,
    tiny_data: Path,
    good: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = _comparison() if good else _comparison(equal_flags=0.5)
    monkeypatch.setattr(int8, "_compare", lambda *_: found)
    path = copy / graphs.ENCODER_INT8  # is there already
    monkeypatch.setattr("sencap.engines.quantise.write_int8", lambda *_: path)
    flags = ["--precision", "int8", "--check", str(tiny_data)]
    assert main(["export", str(copy), *flags]) == (0 if good else 2)
    told = capsys.readouterr()
    assert "| S*m, ids | 61.00 | 61.40 |" in told.out + told.err
    assert (copy / graphs.ENCODER_INT8).exists() == good
    if good:
        record = graphs.int8_record(copy / graphs.ENCODER_INT8)
        assert record["measured"]["whole"] == {"1": 1.1, "16": 1.6}
        caplog.clear()
        load(copy, precision="int8")
        assert "never measured" not in caplog.text
    else:
        assert re.search(
            r"int8 is not offered .* is deleted: the change flag", told.err
        )


def test_both_are_scored_and_timed(
    copy: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real comparison, but for METEOR, without which there is no S*m."""
    monkeypatch.setattr(int8, "ROUNDS", 1)
    monkeypatch.setattr(int8, "BATCHES", (1, 2))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SencapError, match=r"S\*m cannot be had: .*Java"):
        int8.check_int8(copy, tiny_data, ["test"])

    def with_score(*arguments: Any, **settings: Any) -> dict[str, Any]:
        report = report_on(*arguments, **settings)
        report["ids"]["all"]["S*m"] = 50.0
        return report

    monkeypatch.setattr(int8, "report_on", with_score)
    monkeypatch.setattr(int8, "LEAST_SPEED", 0.0)
    monkeypatch.setattr(int8, "LEAST_EQUAL_FLAGS", 0.0)
    found = int8.check_int8(copy, tiny_data, ["test"])
    assert found.pairs == 4
    assert set(found.whole) == set(found.encoder) == {1, 2}
    assert json.loads(json.dumps(found.whole))
    assert found.best in {1, 2}


def test_pairs_of_a_folder_calibrate_too(tmp_path: Path) -> None:
    for number in range(3):
        for date in ("before", "after"):
            image = np.full((40, 40, 3), number, np.uint8)
            Image.fromarray(image).save(tmp_path / f"{number}_{date}.png")
    found = list(calibration_pairs(tmp_path, 32))
    assert [pair.shape for pair in found] == [(1, 2, 3, 32, 32)] * 3
    assert [int(pair.max()) for pair in found] == [0, 1, 2]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--precision", "bf16"], "precision=bf16 is not offered"),
        (["--check", "data"], "check and calibrate are for precision=int8"),
        (["--calibrate", "folder"], "check and calibrate are for precision=int8"),
        (["--precision", "int8", "--check", "nowhere"], "nowhere"),
        (["--precision", "int8", "--calibrate", "nowhere"], "nowhere"),
        (["--precision", "int8", "--calibrate", ""], "calibrate is empty"),
    ],
)
def test_the_command_refuses_before_it_writes(
    copy: Path, flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / graphs.ENCODER_INT8).unlink()
    assert main(["export", str(copy), *flags]) == 2
    assert told in capsys.readouterr().err
    assert not (copy / graphs.ENCODER_INT8).exists()
