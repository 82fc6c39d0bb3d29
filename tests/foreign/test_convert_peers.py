"""Public checkpoints of the compared systems: told by what they hold, the same logits
after conversion, and nothing is run."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference import official, published
from reference.weights import randomised
from sencap.errors import CheckpointError
from sencap.foreign.convert import convert_official
from sencap.models import variants
from sencap.models.checkpoint import load_checkpoint

WORDS = ["<pad>", "road", "<end>", "a", "<start>", "built", "is", "house", "<unk>"]
V = len(WORDS)
Modules = dict[str, nn.Module]
DUDAS_GRID = 14  # which its file does not tell


@pytest.fixture
def word_map(tmp_path: Path) -> Path:
    path = tmp_path / "WORDMAP.json"
    table = {word: number for number, word in enumerate(WORDS)}
    path.write_text(json.dumps(table), encoding="utf-8")
    return path


def lively_network(network: nn.Module) -> nn.Module:
    """With statistics of its own images, so that its maps are neither tiny nor huge."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(8):
            network(torch.randn(2, 3, 64, 64))
    return network.eval()


def made(system: str) -> Modules:
    torch.manual_seed(0)
    parts = published.modules(system, V=V)
    lively_network(parts["encoder_image"])
    randomised(parts["encoder_feat"], seed=1, spread=0.2)
    randomised(parts["decoder"], seed=2, spread=0.2)
    return parts


def inputs() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(256, (2, 2, 3, 64, 64), dtype=torch.uint8, generator=random)
    return images, torch.randint(V, (2, 6), generator=random)


@torch.inference_mode()
def our_logits(folder: Path) -> Tensor:
    """Of the converted model for the same words, each under its own id, in their
    order."""
    loaded = load_checkpoint(folder)
    our_id = torch.tensor([loaded.vocabulary.words.index(word) for word in WORDS])
    images, tokens = inputs()
    out: Tensor = loaded.captioner(images, our_id[tokens][:, None])[:, 0]
    return out[..., our_id]


def close(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.1
    # float32 against float32; another order of modules is off by 0.1.
    assert (ours - theirs).abs().max() < 5e-5


def states(parts: Modules) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in parts.items()}


def one_state(parts: Modules) -> dict[str, Any]:
    return {"model": nn.ModuleDict(parts).state_dict()}


def whole(parts: Modules) -> dict[str, Any]:
    return {"epoch": 3, **parts}


KINDS: dict[str, Callable[[Modules], dict[str, Any]]] = {
    "whole modules": whole,
    "state dicts": states,
    "one state dict": one_state,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", published.SYSTEMS)
def test_each_kind_of_checkpoint_of_each_system_gives_its_logits(
    system: str, kind: str, word_map: Path, tmp_path: Path
) -> None:
    parts = made(system)
    torch.save(KINDS[kind](parts), tmp_path / "a")
    message = convert_official(tmp_path / "a", word_map, tmp_path / "out").message
    close(our_logits(tmp_path / "out"), published.logits(parts, *inputs()))
    settings = load_checkpoint(tmp_path / "out").settings
    assert (settings.system, settings.dimension) == (system, 16)
    assert (settings.extractor.backbone, settings.extractor.grid) == ("resnet18", 2)
    assert f"out: {system}, resnet18 to stage" in message
    assert "words put in another order" in message
    # what is left is told: RSICCformer's convolution that is never used
    assert (
        "encoder_feat.projection2" in message.replace("difference.", "encoder_feat.")
    ) == (system == "rsiccformer-c")


@pytest.fixture(scope="module")
def duda() -> Modules:
    torch.manual_seed(0)
    parts: Modules = {
        "network": lively_network(published.network()),
        "detector": published.Detector(256),
        "speaker": published.Speaker(256, 24, V),
    }
    # sums over 196 cells are large: quiet weights keep the gates open
    randomised(parts["detector"], seed=1, spread=0.1)
    randomised(parts["speaker"], seed=2, spread=0.08)
    return parts


@torch.inference_mode()
def test_dudas_state_dicts_and_a_network_of_another_file(
    duda: Modules, word_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was trained on features that were computed before, so its file has none."""
    monkeypatch.setattr(published, "GRID", DUDAS_GRID)
    small(monkeypatch)
    content = {
        "detector_state": duda["detector"].state_dict(),
        "speaker_state": duda["speaker"].state_dict(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
    }
    torch.save(content, tmp_path / "duda.pt")
    with pytest.raises(
        CheckpointError,
        match=r"it holds no network: duda .* of a frozen resnet18; .* --backbone",
    ):
        convert_official(tmp_path / "duda.pt", word_map, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["modules", "states"])
@torch.inference_mode()
def test_duda_gives_its_logits(
    kind: str,
    duda: Modules,
    word_map: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, "GRID", DUDAS_GRID)
    # the network is not part of the file; a ResNet-18 in its place keeps the test quick
    small(monkeypatch)
    torch.save(duda["network"].state_dict(), tmp_path / "resnet.pth")
    content: dict[str, Any] = {
        f"{name}_state": part if kind == "modules" else part.state_dict()
        for name, part in duda.items()
        if name != "network"
    }
    torch.save(content, tmp_path / "duda.pt")
    convert_official(
        tmp_path / "duda.pt",
        word_map,
        tmp_path / "out",
        backbone=str(tmp_path / "resnet.pth"),
    )
    images, tokens = inputs()
    seen = duda["detector"](published.features(duda["network"], images))
    close(our_logits(tmp_path / "out"), duda["speaker"](seen, tokens))


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """DUDA's own network becomes a ResNet-18."""
    other = dataclasses.replace(variants.RESNET_101, backbone="resnet18")
    monkeypatch.setattr(variants, "RESNET_101", other)


def test_layers_that_hold_what_ours_do_not(word_map: Path, tmp_path: Path) -> None:
    """Two layers whose attentions were exchanged by a third's: no order fits."""
    parts = made("psnet")
    encoder: Any = parts["encoder_feat"]
    one, other = encoder.scales[0], encoder.progressive[0]
    one.attn, other.attn = other.attn, nn.Identity()
    del other.attn
    torch.save(states(parts), tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"nearest to: it has nothing for our .*"):
        convert_official(tmp_path / "a", word_map, tmp_path / "out")


def more_layers(parts: Modules) -> None:
    encoder: Any = parts["encoder_feat"]
    encoder.layers.append(copy.deepcopy(encoder.layers[0]))


def fewer_layers(parts: Modules) -> None:
    decoder: Any = parts["decoder"]
    del decoder.transformer.layers[1]


def other_heads(parts: Modules) -> None:
    encoder: Any = parts["encoder_feat"]
    encoder.layers[1].attn.num_heads = 8


def other_positions(parts: Modules) -> None:
    decoder: Any = parts["decoder"]
    decoder.position_encoding.pe += 0.5


def not_finite(parts: Modules) -> None:
    decoder: Any = parts["decoder"]
    decoder.wdc.bias.data[0] = float("inf")


REFUSED: dict[Callable[[Modules], None], str] = {
    more_layers: r"it is of none of sen, mccformer-s, .*it has 3 modules like",
    fewer_layers: r"it is of none of sen, .*it has nothing for our",
    other_heads: r"layers\.1\.attn has 8 heads; mccformer-d has 4",
    other_positions: r"position_encoding\.pe is no table of sinusoids",
    not_finite: r"decoder\.output\.bias holds numbers that are NaN",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_is_another_system_is_refused_shortly(
    change: Callable[[Modules], None], word_map: Path, tmp_path: Path
) -> None:
    parts = made("mccformer-d")
    change(parts)
    torch.save(parts, tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"(?s){REFUSED[change]}") as refusal:
        convert_official(tmp_path / "a", word_map, tmp_path / "out")
    assert len(str(refusal.value)) < 600 + len(str(tmp_path))
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------ seen on SEN's


@pytest.fixture(scope="module")
def sens() -> Modules:
    torch.manual_seed(0)
    parts = official.modules(V=V)
    network = parts["encoder_image"]
    with torch.no_grad():
        for _ in range(8):
            network(torch.randn(2, 6, 64, 64))
    network.eval()
    randomised(parts["encoder_feat"], seed=1, spread=0.2)
    randomised(parts["decoder"], seed=2, spread=0.2)
    return parts


def rounded(parts: Modules, dtype: torch.dtype) -> dict[str, Any]:
    return {
        name: {
            key: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for key, tensor in part.state_dict().items()
        }
        for name, part in parts.items()
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_files_of_half_precision(
    dtype: torch.dtype, sens: Modules, word_map: Path, tmp_path: Path
) -> None:
    content = rounded(sens, dtype)
    torch.save(content, tmp_path / "a")
    convert_official(tmp_path / "a", word_map, tmp_path / "out")
    theirs = copy.deepcopy(sens)
    for name, part in theirs.items():
        tables = {key: t for key, t in part.state_dict().items() if key.endswith("pe")}
        part.load_state_dict({**content[name], **tables})  # sinusoids stay exact
        part.eval()
    close(our_logits(tmp_path / "out"), official.logits(theirs, *inputs()))


@pytest.mark.parametrize("inner", ["0.", ""], ids=["Sequential(resnet)", "resnet"])
def test_a_network_as_wide_as_d_has_no_projection(
    inner: str, word_map: Path, tmp_path: Path
) -> None:
    """ResNet-18 at stage 4 and D = 512: SEN's code leaves P out."""
    torch.manual_seed(0)
    parts = official.modules(D=512, V=V)
    body: Any = parts["encoder_image"]
    network = body[0]
    lively_six = torch.randn(4, 6, 64, 64)
    with torch.no_grad():
        for _ in range(8):
            network(lively_six)
    network.eval()
    parts["encoder_image"] = network
    for part in ("encoder_feat", "decoder"):
        parts[part].eval()
    content = states(parts)
    content["encoder_image"] = {
        inner + name: tensor for name, tensor in network.state_dict().items()
    }
    torch.save(content, tmp_path / "a")
    convert_official(tmp_path / "a", word_map, tmp_path / "out")
    settings = load_checkpoint(tmp_path / "out").settings
    assert settings.extractor.projection == "where-needed"
    close(our_logits(tmp_path / "out"), official.logits(parts, *inputs()))


def test_one_state_dict_of_all_three(
    sens: Modules, word_map: Path, tmp_path: Path
) -> None:
    torch.save(one_state(sens)["model"], tmp_path / "a")
    convert_official(tmp_path / "a", word_map, tmp_path / "out")
    close(our_logits(tmp_path / "out"), official.logits(sens, *inputs()))


@pytest.mark.parametrize("part", ["encoder_image", "encoder_feat", "decoder"])
def test_a_state_dict_of_one_part_is_refused_shortly(
    part: str, sens: Modules, word_map: Path, tmp_path: Path
) -> None:
    torch.save(sens[part].state_dict(), tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"of none of sen") as refusal:
        convert_official(tmp_path / "a", word_map, tmp_path / "out")
    assert len(str(refusal.value)) < 450 + len(str(tmp_path))
