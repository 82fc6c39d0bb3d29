"""Checkpoints from strangers: whatever is in the folder, it is refused in a short
message, before a model is made."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sencap.checkpoint_folder import check_finite, read_header
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.data.vocabulary import Vocabulary
from sencap.errors import CheckpointError, OutputError
from sencap.foreign import initialise_backbone
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.extractors import FeatureExtractor
from sencap.models.variants import build
from sencap.pretraining.export import save_backbone
from sencap.pretraining.settings import PretrainingSettings

Json = dict[str, Any]
FIRST = "extractor.backbone.conv1.weight"


@pytest.fixture(scope="module")
def original() -> Checkpoint:
    settings = ModelSettings(
        dimension=16,
        extractor=ExtractorSettings(backbone="resnet18", stage=1),
        difference=DifferenceSettings(layers=1, heads=2, reduction=4),
        decoder=DecoderSettings(layers=1, heads=2, max_words=20),
    )
    vocabulary = Vocabulary.build([["a", "road", "appears"]], minimum_count=1)
    return Checkpoint(
        build(settings, len(vocabulary)).eval(), vocabulary, settings, {"epoch": 3}
    )


@pytest.fixture(scope="module")
def saved(original: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("saved") / "sound", original)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "folder"))


# What a stranger may do to a folder


def in_model(**values: Any) -> Callable[[Path], None]:
    """Settings of config.json, a part's with its name before: ``extractor__stage``."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for key, value in values.items():
            part, _, name = key.rpartition("__")
            owner = config["model"][part] if part else config["model"]
            owner[name] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def in_config(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))

    return change


def text_of(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def tensor_of(
    name: str, change_of: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        state[name] = change_of(state[name]).contiguous()
        save_file(state, folder / "model.safetensors")

    return change


def one(
    value: float, dtype: torch.dtype = torch.float32
) -> Callable[[torch.Tensor], torch.Tensor]:
    """One number among many replaced: the last."""

    def change_of(tensor: torch.Tensor) -> torch.Tensor:
        flat = tensor.to(dtype).flatten()
        flat[-1] = value
        return flat.reshape(tensor.shape)

    return change_of


def header_of(change_header: Callable[[Json], Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        text = json.dumps(change_header(header) or header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return change


def raw_header(text: bytes, length: int | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        told = len(text) if length is None else length
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", told) + text)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def large(name: str) -> Callable[[Path], None]:
    """A file of 100 GB that takes no room on the disk."""

    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(100 * 2**30)

    return change


NAN, INFINITY = float("nan"), float("inf")
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
HUGE = {
    "dimension": 16_384,
    "difference__layers": 100,
    "decoder__layers": 100,
    "decoder__expansion": 64,
}

HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    # backbones that reach the network or the disk
    "hf_hub": (
        in_model(extractor__backbone="hf_hub:x/y"),
        "its name holds letters, digits",
    ),
    "hf-hub": (
        in_model(extractor__backbone="hf-hub:timm/resnet18.a1_in1k"),
        "its name holds letters, digits",
    ),
    "local-dir": (
        in_model(extractor__backbone="local-dir:."),
        "its name holds letters, digits",
    ),
    "above": (
        in_model(extractor__backbone="../../x"),
        "its name holds letters, digits",
    ),
    "no backbone of timm": (
        in_model(extractor__backbone="resnet19"),
        "is not a timm model; some .* resnet18",
    ),
    "a backbone without stages": (
        in_model(extractor__backbone="efficientformer_l1"),
        "where its stages end",
    ),
    # sizes
    "wide": (
        in_model(dimension=16_384),
        "dimension is 16384, and no tensor has such an axis",
    ),
    "wide and deep": (
        in_model(**HUGE),
        "dimension is 16384, and no tensor has such an axis",
    ),
    "deep": (
        in_model(decoder__layers=100),
        r"decoder\.layers is 100, and it has \d+ tensors named",
    ),
    "deeper": (
        in_model(difference__layers=20),
        r"\d+ tensors missing \(difference\.layers\.1\.",
    ),
    "expansion": (
        in_model(decoder__expansion=64),
        r"3 tensors of another shape \(decoder\.layers\.0\.feed_",
    ),
    "kernel": (
        in_model(difference__kernel_size=512),
        r"1 tensor of another shape \(difference\.sfe\.conv\.",
    ),
    "size": (in_model(size=4096), "size is 4096; a model sees at most 1024"),
    "size and stage": (
        in_model(size=1024),
        r"size=1024 is too large for extractor\.stage=1",
    ),
    "grid": (in_model(extractor__grid=256), r"extractor\.grid is 256"),
    # timm would make all of it to drop what lies behind the first stage
    "a few stages of a network of 3 GB": (
        in_model(extractor__backbone="convnext_xxlarge"),
        r"has [\d,]{11} parameters, and extractor\.stage=1 uses 3,[\d,]{7} of them; choose a later stage",  # noqa: E501
    ),
    "heads of another number": (
        in_model(decoder__heads=3),
        r"cannot be split into decoder\.heads=3",
    ),
    # values of another kind
    "mean of NaN": (
        in_model(mean=[NAN, 0.5, 0.5]),
        "mean is .*nan.* each value must be a number",
    ),
    "std infinite": (
        in_model(std=[0.5, 0.5, INFINITY]),
        "std is .*inf.* each value must be a number",
    ),
    "mean of text": (in_model(mean="abc"), "mean is 'abc'; it must hold three values"),
    "mean of texts": (
        in_model(mean=["a", "b", "c"]),
        "mean is .* each value must be a number",
    ),
    "std of two": (in_model(std=[0.5, 0.5]), "std is .* three values"),
    "system of a number": (in_model(system=5), "system is 5; it must be a text"),
    "dropout of text": (
        in_model(decoder__dropout="x"),
        r"decoder\.dropout is 'x'; it must be a number",
    ),
    "training of text": (
        in_config(training="long"),
        "training is 'long'; it must be an object",
    ),
    "training of null": (
        in_config(training=None),
        "training is None; it must be an object",
    ),
    "its settings": (
        in_config(training={"settings": [1]}),
        r"training\.settings is \[1\]; it must be an object",
    ),
    "its data": (
        in_config(training={"settings": {"data": 5}}),
        r"training\.settings\.data is 5; it must be names",
    ),
    "digest of a list": (in_config(vocabulary_digest=[]), "is not the vocabulary that"),
    "format of a list": (
        in_config(format=[1] * 10**5),
        "format a list of 100,000 entries",
    ),
    "model of a list": (
        in_config(model=[]),
        r"the model is \[\]; it must be an object",
    ),
    # JSON
    "deep config": (text_of("config.json", DEEP), "nested deeper than 32 levels"),
    "deep training": (
        in_config(training=json.loads('{"a":' * 50 + "1" + "}" * 50)),
        "nested deeper than 32",
    ),
    "deep vocabulary": (
        text_of("vocabulary.json", DEEP),
        "nested deeper than 32 levels",
    ),
    "a list for a vocabulary": (
        text_of("vocabulary.json", '["a"]'),
        r"this is \['a'\]",
    ),
    "half a surrogate": (
        text_of("vocabulary.json", '{"\\ud800": 0}'),
        "half of a surrogate pair",
    ),
    "a config of 100 GB": (large("config.json"), "such a file has at most 4"),
    "a vocabulary of 100 GB": (large("vocabulary.json"), "such a file has at most 32"),
    # tensors
    "weights of 100 GB": (
        large("model.safetensors"),
        r"its tensors end at byte [\d,]+, and the file at 107",
    ),
    "one NaN": (
        tensor_of(FIRST, one(NAN)),
        rf"{FIRST} holds numbers that are NaN or infinite",
    ),
    "one infinity": (
        tensor_of(FIRST, one(-INFINITY)),
        rf"{FIRST} holds numbers that are NaN or infinite",
    ),
    "a NaN of 16 bits": (tensor_of(FIRST, one(NAN, torch.float16)), "NaN or infinite"),
    "an infinity of bfloat16": (
        tensor_of(FIRST, one(INFINITY, torch.bfloat16)),
        "NaN or infinite",
    ),
    "int8": (
        tensor_of(FIRST, lambda t: t.to(torch.int8)),
        f"{FIRST} is of type I8; weights are of F32, F16, BF16",
    ),
    "boolean": (tensor_of(FIRST, lambda t: t > 0), f"{FIRST} is of type BOOL"),
    "complex": (
        tensor_of(FIRST, lambda t: t.to(torch.complex64)),
        f"{FIRST} is of type C64",
    ),
    "double": (tensor_of(FIRST, lambda t: t.double()), f"{FIRST} is of type F64"),
    "integers for weights": (
        tensor_of(FIRST, lambda t: t.long()),
        f"{FIRST} is of type I64",
    ),
    # the header of the tensors
    "deep header": (raw_header(DEEP.encode()), "nested deeper than 32 levels"),
    "a header longer than the file": (
        raw_header(b"{}", 2**63),
        "its header is longer than the file",
    ),
    "a header of a list": (raw_header(b"[]"), "its header is no object"),
    "an entry of text": (
        header_of(lambda h: h.update({FIRST: "x"})),
        f"no type, shape and place of {FIRST}",
    ),
    "a shape below zero": (
        header_of(lambda h: h[FIRST].update(shape=[-1])),
        "no type, shape and place",
    ),
    "a shape of halves": (
        header_of(lambda h: h[FIRST].update(shape=[0.5])),
        "no type, shape and place",
    ),
    "a huge shape": (
        header_of(lambda h: h[FIRST].update(shape=[2**61] * 9)),
        r"needs .* bytes, and has 75,264",
    ),
    "another length": (
        header_of(lambda h: h[FIRST].update(shape=[4])),
        "needs 16 bytes, and has 75,264",
    ),
    "outside of the file": (
        header_of(lambda h: h[FIRST].update(data_offsets=[2**60, 2**60 + 75_264])),
        "does not begin where the tensor before it ends",
    ),
    "a name of a megabyte": (
        header_of(lambda h: h.update({"x" * 2**20: h.pop(FIRST)})),
        "1 tensor missing",
    ),
    "a thousand tensors more": (
        header_of(
            lambda h: h.update(
                {
                    f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
                    for i in range(1000)
                }
            )
        ),
        "1000 tensors unknown",
    ),
    # what is no file
    **{
        f"a pipe for {name}": (pipe(name), f"{name} missing, or no regular file")
        for name in ("config.json", "model.safetensors", "vocabulary.json")
    },
}


@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_refused_in_one_short_message(folder: Path, case: str) -> None:
    change, said = HOSTILE[case]
    change(folder)
    before = time.perf_counter()
    with pytest.raises(CheckpointError, match=rf"^{folder}.*{said}") as refused:
        load_checkpoint(folder)
    message = str(refused.value)
    assert len(message) - message.count(str(folder)) * len(str(folder)) <= 600
    assert "\n" not in message
    assert "Error" not in message
    assert time.perf_counter() - before < 5


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a/" * 3000])
def test_a_name_that_no_system_takes_is_no_folder(name: str) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint folder"):
        load_checkpoint(name)


def test_the_sound_folder_is_taken_in_16_bits_too(folder: Path) -> None:
    """Otherwise the refusals above would prove little."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        state = load_file(folder / "model.safetensors")
        halved = {
            name: t.to(dtype) if t.is_floating_point() else t
            for name, t in state.items()
        }
        save_file(halved, folder / "model.safetensors")
        assert load_checkpoint(folder).training == {"epoch": 3}


def test_160_megabytes_of_weights_are_checked_in_a_second(tmp_path: Path) -> None:
    """The paper's model has 40 million numbers; the last of them is as bad as the
    first."""
    path = tmp_path / "model.safetensors"
    weights = torch.zeros(40_000_000)
    weights[-1] = NAN
    save_file({"sound": torch.zeros(7, dtype=torch.float16), "damaged": weights}, path)
    before = time.perf_counter()
    with pytest.raises(
        CheckpointError, match="damaged holds numbers that are NaN or infinite"
    ):
        check_finite(path, read_header(path))
    assert time.perf_counter() - before < 2


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_every_number_that_is_not_finite_is_found_and_no_other(
    tmp_path: Path, dtype: str
) -> None:
    """All 65,536 numbers of 16 bits (of 32 bits those whose upper half they are), one
    tensor each by itself."""
    upper = np.arange(2**16, dtype=np.uint16)
    numbers = upper.astype(np.uint32) << 16 if dtype == "F32" else upper
    torch_type = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[
        dtype
    ]
    values = torch.from_numpy(numbers.copy()).view(torch_type)
    finite = values.isfinite()
    path = tmp_path / "model.safetensors"
    save_file({"finite": values[finite].contiguous()}, path)
    check_finite(path, read_header(path))
    for value in values[~finite][::97]:
        save_file({"one": value.reshape(1)}, path)
        with pytest.raises(
            CheckpointError, match="one holds numbers that are NaN or infinite"
        ):
            check_finite(path, read_header(path))


def test_looking_at_a_folder_needs_no_torch(saved: Path) -> None:
    code = (
        "import sys; from sencap.checkpoint_folder import read_checkpoint_folder;"
        f"read_checkpoint_folder({str(saved)!r}); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Weights that a backbone starts from

NO_WEIGHTS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "one NaN": (one(NAN), "holds numbers that are NaN or infinite"),
    "one infinity": (one(INFINITY), "holds numbers that are NaN or infinite"),
    "one NaN of bfloat16": (
        one(NAN, torch.bfloat16),
        "holds numbers that are NaN or infinite",
    ),
    "int8": (
        lambda t: t.to(torch.int8),
        "holds numbers of type int8; weights are floating-point",
    ),
    "boolean": (lambda t: t > 0, "holds numbers of type bool"),
    "complex": (lambda t: t.to(torch.complex64), "holds numbers of type complex64"),
}


@pytest.mark.parametrize("how", ["safetensors", "torch", "folder"])
@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_no_backbone_starts_from_what_are_no_weights(
    saved: Path, tmp_path: Path, case: str, how: str
) -> None:
    change, said = NO_WEIGHTS[case]
    state = load_file(saved / "model.safetensors")
    state[FIRST] = change(state[FIRST]).contiguous()
    backbone = {
        n.removeprefix("extractor.backbone."): t
        for n, t in state.items()
        if "backbone" in n
    }
    path = tmp_path / "weights"
    if how == "safetensors":
        save_file(backbone, path)
    elif how == "torch":
        torch.save(backbone, path)
    else:
        shutil.copytree(saved, path)
        save_file(state, path / "model.safetensors")
        said = f"{said}|{FIRST} is of type"
    with pytest.raises(CheckpointError, match=rf"^extractor\.init={path}.*({said})"):
        initialise_backbone(
            FeatureExtractor(backbone="resnet18", stage=1, dimension=4), path
        )


def test_weights_of_another_network_are_told_in_one_short_message(
    tmp_path: Path,
) -> None:
    """A ResNet-18's names are those of a ResNet-50, less a third; its shapes are
    others."""
    shallow = FeatureExtractor(
        backbone="resnet18", stage=4, dimension=4
    ).backbone.state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in shallow.items()},
        tmp_path / "shallow",
    )
    with pytest.raises(
        CheckpointError, match=r"\d+ tensors of another shape .* \d+ tensors missing"
    ) as refused:
        initialise_backbone(
            FeatureExtractor(backbone="resnet50", stage=4, dimension=4),
            tmp_path / "shallow",
        )
    assert len(str(refused.value)) - len(str(tmp_path)) < 600


# Writing

FILES = ("config.json", "README.md", "vocabulary.json", "model.safetensors")


@pytest.mark.parametrize("full_at", FILES)
def test_a_full_disk_leaves_the_folder_as_it_was(
    original: Checkpoint, folder: Path, full_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of each draft is there when the disk is full."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        if path.name.startswith(f".{Path(full_at).stem}."):
            write(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    other = Checkpoint(
        original.captioner, original.vocabulary, original.settings, {"epoch": 4}
    )
    with pytest.raises(
        OutputError,
        match=rf"{full_at} cannot be written \(No space left on device\); make room",
    ):
        save_checkpoint(folder, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(folder.parent / "new", other)
    assert list((folder.parent / "new").iterdir()) == []


def test_a_place_that_is_a_file_or_cannot_be_written_to(
    original: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/here")):
        with pytest.raises(OutputError, match=f"{place} cannot be written"):
            save_checkpoint(place, original)


def test_a_pretrained_backbone_is_written_whole_or_told(tmp_path: Path) -> None:
    backbone = FeatureExtractor(backbone="resnet18", stage=1, dimension=4).backbone
    settings = PretrainingSettings(data="places", out="out", backbone="resnet18")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written"):
        save_backbone(tmp_path / "file", backbone, settings, record={})
    folder = save_backbone(tmp_path / "folder", backbone, settings, record={})
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    assert len(read_header(folder / "model.safetensors")) == len(backbone.state_dict())


def test_numbers_too_large_for_16_bits_stay_in_32(
    original: Checkpoint, tmp_path: Path
) -> None:
    """Else they would be infinite, and the folder refused."""
    captioner = build(original.settings, len(original.vocabulary))
    with torch.no_grad():
        captioner.state_dict()[FIRST].fill_(70_000.0)
    made = Checkpoint(captioner, original.vocabulary, original.settings, {})
    folder = save_checkpoint(tmp_path / "half", made, half=True)
    assert (
        float(load_checkpoint(folder).captioner.state_dict()[FIRST].max()) == 70_000.0
    )


# Through the command line: time (of the processor, others may use it too) and memory of
# a process of its own

MEASURED = """
import resource, sys
from sencap.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(f"{code} {used.ru_utime + used.ru_stime:.2f} {used.ru_maxrss / 1e6:.2f}")
"""


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("hf-hub", "its name holds letters, digits"),
        ("deeper", "tensors missing (difference.layers.1."),
        ("one NaN", "holds numbers that are NaN or infinite"),
    ],
)
def test_caption_refuses_it_with_exit_code_2_in_5_seconds_and_1500_megabytes(
    folder: Path, case: str, said: str
) -> None:
    HOSTILE[case][0](folder)
    for name in ("before.png", "after.png"):
        Image.new("RGB", (64, 64)).save(folder / name)
    images = [str(folder / "before.png"), str(folder / "after.png")]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        resource.setrlimit(resource.RLIMIT_AS, (20 * 2**30, 20 * 2**30))

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "caption", *images, "--weights", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    code, seconds, gigabytes = map(float, done.stdout.split())
    assert code == 2, done.stderr
    assert done.stderr.startswith("sencap: error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert gigabytes < 1.5
    assert seconds < 5
