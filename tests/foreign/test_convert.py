"""The SEN authors' checkpoints: the same logits after conversion, whatever wraps them,
and nothing is run."""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference import official
from reference.weights import randomised
from sencap.cli import main
from sencap.errors import CheckpointError, SettingsError
from sencap.foreign import initialise_backbone
from sencap.foreign.convert import convert_official
from sencap.models.checkpoint import load_checkpoint
from sencap.models.extractors import FeatureExtractor
from sencap.verbs.convert import command

# Special words not where ours are, the others in no order of ours
THEIRS = [
    "<pad>",
    "road",
    "<end>",
    "a",
    "<start>",
    "built",
    "is",
    "house",
    "near",
    "<unk>",
    "the",
    "two",
]
OURS = (
    "<pad>",
    "<unk>",
    "<start>",
    "<end>",
    "road",
    "a",
    "built",
    "is",
    "house",
    "near",
    "the",
    "two",
)
Modules = dict[str, nn.Module]


def made(**sizes: Any) -> Modules:
    """Modules with random weights, statistics and biases, whose features are neither
    tiny nor huge."""
    torch.manual_seed(0)
    parts = official.modules(**sizes)
    for module in parts["encoder_image"].modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
    with torch.no_grad():
        for _ in range(10):
            parts["encoder_image"](torch.randn(2, 6, 64, 64))
    parts["encoder_image"].eval()
    randomised(parts["encoder_feat"], seed=1, spread=0.2)
    randomised(parts["decoder"], seed=2, spread=0.2)
    return parts


@pytest.fixture(scope="module")
def parts() -> Modules:
    return made()


@pytest.fixture
def word_map(tmp_path: Path) -> Path:
    path = tmp_path / "WORDMAP.json"
    path.write_text(
        json.dumps({word: number for number, word in enumerate(THEIRS)}),
        encoding="utf-8",
    )
    return path


def inputs(size: int = 64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(
        256, (2, 2, 3, size, size), dtype=torch.uint8, generator=random
    )
    return images, torch.randint(len(THEIRS), (2, 7), generator=random)


@torch.inference_mode()
def difference_of_logits(parts: Modules, folder: Path) -> float:
    """The largest, between theirs and ours for the same words, each under its own
    ids."""
    images, tokens = inputs()
    theirs = official.logits(
        {name: copy.deepcopy(part).eval() for name, part in parts.items()},
        images,
        tokens,
    )
    assert theirs.std() > 0.1
    our_id = torch.tensor([OURS.index(word) for word in THEIRS])
    ours = load_checkpoint(folder).captioner(images, our_id[tokens][:, None])[:, 0]
    return float((ours[..., our_id] - theirs).abs().max())


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"N_d": 2, "N_e": 1, "heads": 4, "D": 16},
        {"stage": 3, "named": True, "kernel": 3},
        {"depth": 50, "stage": 2},
    ],
    ids=str,
)
def test_a_converted_model_gives_the_same_logits(
    sizes: dict[str, Any], word_map: Path, tmp_path: Path
) -> None:
    parts = made(**sizes)
    torch.save({"epoch": 3, **parts}, tmp_path / "official.pth.tar")
    message = convert_official(
        tmp_path / "official.pth.tar", word_map, tmp_path / "out"
    ).message
    assert difference_of_logits(parts, tmp_path / "out") < 1e-5
    settings = load_checkpoint(tmp_path / "out").settings
    assert settings.extractor.backbone == f"resnet{sizes.get('depth', 18)}"
    assert settings.extractor.stage == sizes.get("stage", 4)
    assert (settings.difference.layers, settings.decoder.layers) == (
        sizes.get("N_e", 2),
        sizes.get("N_d", 1),
    )
    assert (settings.difference.heads, settings.decoder.heads) == (
        sizes.get("heads", 8),
    ) * 2
    assert (settings.difference.dropout, settings.decoder.position_dropout) == (
        0.5,
        0.1,
    )
    assert "left: epoch" in message
    assert "BEWARE" not in message


def compiled(module: nn.Module) -> nn.Module:
    wrapped: nn.Module = torch.compile(module)  # type: ignore[assignment]
    return wrapped


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "_orig_mod": official.Wrapped,
    "torch.compile": compiled,
    "DataParallel": nn.DataParallel,
    "state dict": lambda module: module.state_dict(),
    "compiled state dict": lambda module: compiled(module).state_dict(),
}


@pytest.mark.parametrize("how", WRAPPERS)
def test_what_wraps_the_modules_plays_no_part(
    how: str, parts: Modules, word_map: Path, tmp_path: Path
) -> None:
    torch.save(
        {name: WRAPPERS[how](part) for name, part in parts.items()}, tmp_path / "a"
    )
    convert_official(tmp_path / "a", word_map, tmp_path / "out")
    assert difference_of_logits(parts, tmp_path / "out") < 1e-5


def test_what_a_training_program_stores_beside_and_an_older_format(
    parts: Modules, word_map: Path, tmp_path: Path
) -> None:
    whole = copy.deepcopy(parts)
    optimiser = torch.optim.Adam(whole["decoder"].parameters())
    sum(p.square().sum() for p in whole["decoder"].parameters()).backward()  # type: ignore[union-attr]
    content = {
        **parts,
        "decoder_optimizer": optimiser,
        "args": argparse.Namespace(lr=1e-4),
        "schedule": torch.optim.lr_scheduler.StepLR(optimiser, 3),
    }
    torch.save(content, tmp_path / "old", _use_new_zipfile_serialization=False)
    message = convert_official(tmp_path / "old", word_map, tmp_path / "out").message
    assert difference_of_logits(parts, tmp_path / "out") < 1e-5
    assert "left: decoder_optimizer, args, schedule" in message


def test_the_classes_need_not_exist(
    parts: Modules, word_map: Path, tmp_path: Path
) -> None:
    """Their code is not installed here; nothing of the names in the file is looked
    up."""
    torch.save(parts, tmp_path / "a")
    with (
        zipfile.ZipFile(tmp_path / "a") as old,
        zipfile.ZipFile(tmp_path / "c", "w") as new,
    ):
        for info in old.infolist():
            new.writestr(
                info.filename,
                old.read(info).replace(b"reference.official", b"nowhere_.to_be_fnd"),
            )
    with pytest.raises(ModuleNotFoundError, match="nowhere_"):
        torch.load(tmp_path / "c", weights_only=False)
    convert_official(tmp_path / "c", word_map, tmp_path / "out")
    assert difference_of_logits(parts, tmp_path / "out") < 1e-5


def test_the_words_are_put_in_our_order(
    parts: Modules, word_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `test_the_verb` sees the graphs.
    monkeypatch.setattr("sencap.foreign.convert.export_checkpoint", lambda folder: [])
    torch.save(parts, tmp_path / "a")
    text = command(str(tmp_path / "a"), str(tmp_path / "out"), vocabulary=str(word_map))
    assert "V=12 (words put in another order)" in text
    loaded = load_checkpoint(tmp_path / "out")
    assert loaded.vocabulary.words == OURS
    embedding: Any = loaded.captioner.decoder.get_submodule("embedding")
    original: Any = parts["decoder"].get_submodule("vocab_embedding")
    for number, word in enumerate(OURS):
        assert torch.equal(
            embedding.weight[number], original.weight[THEIRS.index(word)]
        ), word
    message = initialise_backbone(
        FeatureExtractor(backbone="resnet18"), tmp_path / "out"
    )
    assert "recognised as a sencap captioner" in message


BROKEN_MAPS: dict[str, tuple[Any, str]] = {
    "a word too few": (
        {w: n for n, w in enumerate(THEIRS[:-1])},
        r"11 words .* 12 rows",
    ),
    "an id twice": (
        {w: min(n, 10) for n, w in enumerate(THEIRS)},
        r"12 words with ids 0 to 10; .* 12 rows",
    ),
    "no <end>": (
        {w.replace("<end>", "end"): n for n, w in enumerate(THEIRS)},
        r"lacks <end>",
    ),
    "text ids": ({w: str(n) for n, w in enumerate(THEIRS)}, r"not a JSON object, word"),
    "a list": (THEIRS, r"not a JSON object, word"),
    "white space": (
        {w.replace("two", "two houses"): n for n, w in enumerate(THEIRS)},
        r"'two houses' is none",
    ),
}


@pytest.mark.parametrize("case", BROKEN_MAPS)
def test_another_models_word_map_is_refused(
    case: str, parts: Modules, tmp_path: Path
) -> None:
    table, said = BROKEN_MAPS[case]
    torch.save(parts, tmp_path / "a")
    (tmp_path / "map").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"cannot be converted: .*{said}"):
        convert_official(tmp_path / "a", tmp_path / "map", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_spellings_of_the_special_words(parts: Modules, tmp_path: Path) -> None:
    torch.save(parts, tmp_path / "a")
    spelt = {
        "<pad>": "<NULL>",
        "<end>": "<END>",
        "<start>": "<START>",
        "<unk>": "<UNK>",
    }
    table = {spelt.get(word, word): number for number, word in enumerate(THEIRS)}
    (tmp_path / "map").write_text(json.dumps(table), encoding="utf-8")
    convert_official(tmp_path / "a", tmp_path / "map", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out").vocabulary.words == OURS


def sub(parts: Modules, part: str, name: str) -> Any:
    return parts[part].get_submodule(name)


def other_stride(parts: Modules) -> None:
    sub(parts, "encoder_feat", "embed_img").stride = (16, 16)


def other_positions(parts: Modules) -> None:
    sub(parts, "encoder_feat", "pe_img").pe += 0.5


def a_part_more(parts: Modules) -> None:
    parts["decoder"].extra = nn.Linear(2, 3)


def a_part_less(parts: Modules) -> None:
    del parts["decoder"].wdc


def no_encoder(parts: Modules) -> None:
    del parts["encoder_feat"]


def another_network(parts: Modules) -> None:
    sub(parts, "encoder_image", "0.5").append(nn.Linear(2, 2))


def dilated(parts: Modules) -> None:
    sub(parts, "encoder_image", "0.7.1.conv1").dilation = (2, 2)


def three_channels(parts: Modules) -> None:
    setattr(
        sub(parts, "encoder_image", "0"), "0", nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    )


def odd_heads(parts: Modules) -> None:
    sub(parts, "decoder", "transformer.layers.0.self_attn").num_heads = "8"


def other_heads_in_one_attention(parts: Modules) -> None:
    sub(parts, "encoder_feat", "blocks.0.attn").num_heads = 4


def normed_first(parts: Modules) -> None:
    sub(parts, "decoder", "transformer.layers.0").norm_first = True


def another_epsilon(parts: Modules) -> None:
    sub(parts, "encoder_feat", "blocks.0.norm").eps = 1e-3


def not_finite(parts: Modules) -> None:
    sub(parts, "decoder", "wdc").bias.data[0] = float("nan")


OTHERS: dict[Callable[[Modules], None], str] = {
    other_stride: r"embed_img, of kernel 1, has stride \(16, 16\); this model has \(32, 32\)",
    other_positions: r"encoder_feat\.pe_img\.pe is no table of sinusoids",
    a_part_more: r"its decoder has extra\.weight \(3, 2\)",
    a_part_less: r"wdc|output\.weight",
    no_encoder: r"it lacks encoder_feat; it holds encoder_image, decoder",
    another_network: r"blocks of 2 convolutions, is no known ResNet",
    dilated: r"layer4\.1\.conv1 has dilation \(2, 2\); this ResNet has \(1, 1\)",
    three_channels: r"sees 3 channels; SEN's sees 6",
    other_heads_in_one_attention: r"different numbers of heads, .*: 4",
    normed_first: r"decoder\.transformer\.layers\.0 is normalised in another way",
    another_epsilon: r"encoder_feat\.blocks\.0\.norm is normalised in another way",
    not_finite: r"decoder\.output\.bias holds numbers that are NaN",
    odd_heads: r"self_attn\.num_heads is str, not a number",
}


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
def test_another_model_is_refused(
    change: Callable[[Modules], None], parts: Modules, word_map: Path, tmp_path: Path
) -> None:
    changed = copy.deepcopy(parts)
    change(changed)
    torch.save(changed, tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"(?s){OTHERS[change]}"):
        convert_official(tmp_path / "a", word_map, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused(
    word_map: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="is not an empty folder"):
        convert_official(tmp_path / "a", word_map, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", b"PK\x03\x04", b"\x80\x02}."]
)
def test_what_is_no_checkpoint_is_refused(
    content: bytes, word_map: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "a"))):
        convert_official(tmp_path / "a", word_map, tmp_path / "out")


class Trap:
    """Makes a folder when it is unpickled: the sign that code was run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sign),)


def beside(parts: Modules, trap: Trap) -> dict[str, Any]:
    return {**parts, "trap": trap}


def within(parts: Modules, trap: Trap) -> dict[str, Any]:
    parts["decoder"].trap = trap  # type: ignore[assignment]
    return {**parts}


def instead(parts: Modules, trap: Trap) -> dict[str, Any]:
    return {**parts, "decoder": trap}


def as_tensor(parts: Modules, trap: Trap) -> dict[str, Any]:
    state: dict[str, Any] = dict(parts["decoder"].state_dict())
    return {**parts, "decoder": {**state, "wdc.weight": trap}}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "where", [beside, within, instead, as_tensor], ids=lambda where: where.__name__
)
def test_nothing_in_the_file_is_run(
    where: Callable[..., dict[str, Any]],
    legacy: bool,
    parts: Modules,
    word_map: Path,
    tmp_path: Path,
) -> None:
    sign, path = tmp_path / "sign", tmp_path / "trapped"
    torch.save(
        where(copy.deepcopy(parts), Trap(sign)),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    if where in (beside, within):
        message = convert_official(path, word_map, tmp_path / "out").message
        assert re.search(
            r"BEWARE: loaded as a pickle, trapped would call \w+\.mkdir$", message
        )
        assert difference_of_logits(parts, tmp_path / "out") < 1e-5
    else:
        with pytest.raises(CheckpointError, match="cannot be converted"):
            convert_official(path, word_map, tmp_path / "out")
    with pytest.raises(CheckpointError, match="sencap convert"):
        initialise_backbone(FeatureExtractor(backbone="resnet18"), path)
    assert not sign.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert sign.is_dir()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("posix\nsystem", "posix.system"),
        ("commands\nPopen", "subprocess.Popen"),
        ("__builtin__\nexecfile", "builtins.execfile"),
        ("urllib\nurlopen", "urllib.request.urlopen"),
    ],
)
def test_what_a_file_would_call_is_told_also_by_its_name_of_python_2(
    named: str, said: str, parts: Modules, word_map: Path, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    torch.save({**parts, "trap": Trap(sign)}, tmp_path / "a")
    with (
        zipfile.ZipFile(tmp_path / "a") as old,
        zipfile.ZipFile(tmp_path / "b", "w") as new,
    ):
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("data.pkl"):
                content = re.sub(rb"c\w+\nmkdir\n", f"c{named}\n".encode(), content)
            new.writestr(info.filename, content)
    message = convert_official(tmp_path / "b", word_map, tmp_path / "out").message
    assert message.endswith(f"BEWARE: loaded as a pickle, b would call {said}")


def test_a_cut_file_is_refused(parts: Modules, word_map: Path, tmp_path: Path) -> None:
    torch.save(parts, tmp_path / "old", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old").read_bytes()
    (tmp_path / "old").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"old .*(cut short|is damaged)"):
        convert_official(tmp_path / "old", word_map, tmp_path / "out")


def test_the_verb(
    parts: Modules, word_map: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(parts, tmp_path / "a")
    out = tmp_path / "out"
    words = ["convert", str(tmp_path / "a"), str(out), "--vocabulary", str(word_map)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: resnet18 to stage 4, D=32, N_e=2, N_d=1, V=12")
    assert (out / "encoder.onnx").is_file()  # it captions without PyTorch
    assert main(words) == 2
    assert "is not an empty folder" in capsys.readouterr().err
