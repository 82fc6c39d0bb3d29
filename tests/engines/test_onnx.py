"""The ONNX engine is the PyTorch engine, for every system; and a graph from a stranger
reaches nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from sencap.engines import graphs
from sencap.engines.contract import Engine, PairMemory
from sencap.engines.onnx import OnnxEngine
from sencap.engines.torch import TorchEngine
from sencap.errors import CheckpointError
from sencap.models.captioner import Captioner
from sencap.models.export import export_graphs
from sencap.models.variants import SYSTEMS
from sencap.search import Markers, score_sentences, search
from tiny_systems import RECURRENT, lively, pixels

Engines = tuple[Engine, Engine]

MARKERS = Markers(start=2, end=3, forbidden=(0, 2))


def exported(folder: Path, captioner: Captioner, *, half: bool = False) -> Path:
    state = {
        name: tensor.contiguous() for name, tensor in captioner.state_dict().items()
    }
    if half:
        state = {
            name: t.half() if t.is_floating_point() else t for name, t in state.items()
        }
        captioner.load_state_dict({name: t.float() for name, t in state.items()})
    folder.mkdir(exist_ok=True)
    save_file(state, folder / graphs.WEIGHTS)
    export_graphs(captioner, folder, size=64)
    return folder


@pytest.fixture(scope="module", params=SYSTEMS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Engines:
    """One system in both engines."""
    # through many layers and norms, weights as large as elsewhere would make
    # differences of 1e-7 large
    # (PSNet's scale-aware layers have no residual around their attention)
    spread = {"psnet": 0.12, "siamese": 0.2}.get(request.param, 0.3)
    captioner = lively(request.param, end_bias=1.0, spread=spread)
    folder = exported(tmp_path_factory.mktemp(request.param), captioner)
    return TorchEngine(captioner), OnnxEngine(folder, threads=1)


def memories(
    both: Engines, pairs: int, *, explain: bool = False
) -> tuple[PairMemory, PairMemory]:
    images = pixels(pairs).numpy()
    torch_engine, onnx_engine = both
    return torch_engine.encode(images, explain=explain), onnx_engine.encode(
        images, explain=explain
    )


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_the_memory_its_parts_and_its_attention_are_the_same(
    both: Engines, pairs: int
) -> None:
    expected, found = memories(both, pairs, explain=True)
    assert found.grid == expected.grid
    np.testing.assert_allclose(found.tokens, expected.tokens, atol=1e-4)
    for name in ("parts", "received"):
        theirs, ours = getattr(expected, name), getattr(found, name)
        assert set(ours) == set(theirs)
        for key in theirs:
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-4)


def test_without_explaining_there_are_no_parts(both: Engines) -> None:
    for memory in memories(both, 1):
        assert not memory.parts
        assert not memory.received


def test_every_step_gives_the_same_logits_also_after_select_and_keep(
    both: Engines,
) -> None:
    states = [
        engine.start(memory, explain=True)
        for engine, memory in zip(both, memories(both, 3), strict=True)
    ]
    generator = np.random.default_rng(0)
    pairs, hypotheses = 3, 1
    for length in range(6):
        words = generator.integers(4, 30, (pairs, hypotheses))
        expected, found = (
            engine.step(state, words)
            for engine, state in zip(both, states, strict=True)
        )
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
        for ours, theirs in (
            (found.cells, expected.cells),
            (found.dates, expected.dates),
        ):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                np.testing.assert_allclose(ours, theirs, atol=1e-5)
                np.testing.assert_allclose(ours.sum(-1), 1, atol=1e-5)
        states = [expected.state, found.state]
        if length == 1:
            hypotheses = 4
            parents = np.zeros((pairs, hypotheses), np.int64)
            states = [state.select(parents) for state in states]
        if length == 3:
            pairs = 2
            states = [state.keep(np.array([0, 2])) for state in states]


def test_captions_and_their_probabilities_are_the_same(both: Engines) -> None:
    expected, found = memories(both, 12)
    torch_engine, onnx_engine = both
    several = set()
    for beam in (1, 3):
        theirs = search(torch_engine, expected, MARKERS, beam=beam, max_words=15)
        ours = search(onnx_engine, found, MARKERS, beam=beam, max_words=15)
        for mine, other in zip(ours, theirs, strict=True):
            assert [h.ids for h in mine] == [h.ids for h in other]
            several.add(mine[0].ids)
            for a, b in zip(mine, other, strict=True):
                assert a.log_prob == pytest.approx(b.log_prob, abs=1e-3)
    assert len(several) > 1, "all pairs have one caption: nothing was compared"
    captions = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    np.testing.assert_allclose(
        score_sentences(onnx_engine, found, MARKERS, captions),
        score_sentences(torch_engine, expected, MARKERS, captions),
        atol=1e-3,
    )


def test_parameters_are_counted_alike(both: Engines) -> None:
    torch_engine, onnx_engine = both
    assert onnx_engine.parameters() == torch_engine.parameters()


def test_half_precision_on_disk_gives_the_same_too(tmp_path: Path) -> None:
    captioner = lively("sen")
    engine = OnnxEngine(exported(tmp_path / "half", captioner, half=True))
    images = pixels(2).numpy()
    expected = TorchEngine(captioner).encode(images)
    np.testing.assert_allclose(engine.encode(images).tokens, expected.tokens, atol=1e-4)


@pytest.mark.parametrize("system", ["sen", *RECURRENT[:1]])
def test_weights_lie_on_disk_once(tmp_path: Path, system: str) -> None:
    folder = exported(tmp_path / system, lively(system))
    pointed_to: set[str] = set()
    for name in graphs.GRAPHS:
        model = onnx.load_model(folder / name, load_external_data=False)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                pointed_to.add(tensor.name)
            else:
                values = onnx.numpy_helper.to_array(tensor)
                is_table = "positions.table" in tensor.name  # computed, and no weight
                assert values.nbytes < 4096 or is_table, tensor.name
    assert pointed_to
    # and any ONNX runtime finds them there
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / graphs.ENCODER)
    images = pixels(2).numpy()
    np.testing.assert_allclose(
        session.run([graphs.TOKENS], {graphs.IMAGES: images})[0],
        OnnxEngine(folder).encode(images).tokens,
        atol=1e-5,
    )


# ---------------------------------------------------------------- graphs from strangers


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("checkpoint"), lively("sen"))


def _first_outside(model: onnx.ModelProto) -> onnx.TensorProto:
    tensor: onnx.TensorProto
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return tensor
    raise AssertionError("the graph holds all of its weights")


def _relocated(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(
            e for e in _first_outside(model).external_data if e.key == "location"
        ).value = location

    return change


def _moved(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(
            e for e in _first_outside(model).external_data if e.key == key
        ).value = value

    return change


def _custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.domain"
    model.opset_import.add(domain="evil.domain", version=1)


def _hidden_in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    tensor = inner.initializer.add(name="x", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    branch = onnx.helper.make_node(
        "If", ["c"], ["y"], then_branch=inner, else_branch=inner
    )
    model.graph.node.append(branch)


def _hidden_in_an_attribute(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="x", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["y"], value=tensor))


def _without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _broken(model: onnx.ModelProto) -> None:
    model.graph.node[3].op_type = "NoSuchOperator"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _relocated("../model.safetensors"),
            r"asks for the file '\.\./model\.safetensors'",
        ),
        (_relocated("/etc/passwd"), "asks for the file '/etc/passwd'"),
        (_relocated("other.bin"), "asks for the file 'other.bin'"),
        (_hidden_in_a_subgraph, r"asks for the file '\.\./secret'"),
        (_hidden_in_an_attribute, "asks for the file '/etc/passwd'"),
        (
            _custom_operator,
            r"needs the operator evil\.domain\.\w+, which is not one of ONNX's own",
        ),
        (_moved("offset", "999999999999"), "do not belong together"),
        (_moved("length", "8"), "do not belong together"),
        (_moved("offset", "-4"), "is damaged"),
        (_moved("offset", "four"), "is damaged"),
        (_without_metadata, "is no graph that this version of sencap wrote"),
        (_broken, "cannot be run"),
    ],
)
def test_a_graph_of_a_stranger_is_refused(
    shipped: Path,
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    folder = shutil.copytree(shipped, tmp_path / "copy")
    model = onnx.load_model(folder / graphs.ENCODER, load_external_data=False)
    change(model)
    (folder / graphs.ENCODER).write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        OnnxEngine(folder)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x00" * 1000])
def test_a_file_that_is_no_graph_is_refused(
    shipped: Path, tmp_path: Path, content: bytes
) -> None:
    folder = shutil.copytree(shipped, tmp_path / "copy")
    (folder / graphs.STEP).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step\.onnx is no (ONNX )?graph"):
        OnnxEngine(folder)


def test_a_missing_graph_is_told_with_how_to_make_it(
    shipped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(shipped, tmp_path / "copy")
    (folder / graphs.START).unlink()
    with pytest.raises(
        CheckpointError,
        match=r"has no start\.onnx; write the graphs with: sencap export",
    ):
        OnnxEngine(folder)


def test_export_leaves_the_captioner_as_it_was(tmp_path: Path) -> None:
    captioner = lively("sen").train()
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    exported(tmp_path / "checkpoint", captioner)
    assert captioner.training
    for name, tensor in captioner.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
