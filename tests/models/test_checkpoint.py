"""Checkpoint folders: what is saved comes back, what is broken is refused, and nothing
in them is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reference.weights import randomised
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
    SearchSettings,
)
from sencap.data.vocabulary import Vocabulary
from sencap.errors import CheckpointError
from sencap.foreign import initialise_backbone
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.extractors import FeatureExtractor
from sencap.models.variants import build

FILES = {"config.json", "model.safetensors", "vocabulary.json", "README.md"}


@pytest.fixture(scope="module")
def original() -> Checkpoint:
    settings = ModelSettings(
        dimension=16,
        extractor=ExtractorSettings(
            backbone="resnet18", stage=1, structure="dual", frozen_statistics="fixed"
        ),
        difference=DifferenceSettings(
            layers=1, heads=2, reduction=4, self_attention=False
        ),
        decoder=DecoderSettings(layers=2, heads=4, max_words=20),
        search=SearchSettings(beam=5, length_normalisation=0.8),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
    )
    vocabulary = Vocabulary.build(
        [["a", "road", "appears"], ["the", "häuser", "vanish"]], minimum_count=1
    )
    captioner = randomised(build(settings, len(vocabulary)), seed=1, spread=0.05)
    with torch.no_grad():
        captioner.train()(*inputs())  # statistics that are not the initial ones
    return Checkpoint(
        captioner.eval(), vocabulary, settings, {"epoch": 3, "val_bleu4": 61.5}
    )


@pytest.fixture(scope="module")
def saved(original: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(
        tmp_path_factory.mktemp("saved") / "deep" / "er", original, card="# A card\n"
    )


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    images = torch.randint(256, (2, 2, 3, 32, 32), dtype=torch.uint8, generator=random)
    return images, torch.randint(10, (2, 3, 6), generator=random)


@torch.inference_mode()
def logits(checkpoint: Checkpoint) -> torch.Tensor:
    out: torch.Tensor = checkpoint.captioner(*inputs())
    return out


def change_config(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_what_is_saved_comes_back(original: Checkpoint, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert torch.equal(logits(loaded), logits(original))
    assert loaded.settings == original.settings
    assert loaded.vocabulary == original.vocabulary
    assert loaded.training == {"epoch": 3, "val_bleu4": 61.5}
    assert loaded.path == saved
    assert not any(module.training for module in loaded.captioner.modules())
    state, kept = loaded.captioner.state_dict(), original.captioner.state_dict()
    assert list(state) == list(kept)
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_the_folder_holds_these_files_and_no_others(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == FILES
    assert (saved / "README.md").read_text(encoding="utf-8") == "# A card\n"
    config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    assert config["format"] == "sencap-captioner-1"
    assert config["vocabulary_size"] == 10


def test_loading_needs_only_the_path(
    original: Checkpoint, saved: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Moved, without its card, from another working directory, as a string."""
    moved = Path(shutil.copytree(saved, tmp_path / "elsewhere"))
    (moved / "README.md").unlink()
    monkeypatch.chdir(tmp_path)
    assert torch.equal(logits(load_checkpoint("elsewhere")), logits(original))


def test_half_storage_is_close_and_half_as_large(
    original: Checkpoint, saved: Path, tmp_path: Path
) -> None:
    half = save_checkpoint(tmp_path / "half", original, half=True)
    size, whole = (
        (path / "model.safetensors").stat().st_size for path in (half, saved)
    )
    assert size < 0.6 * whole
    assert {t.dtype for t in load_file(half / "model.safetensors").values()} == {
        torch.float16,
        torch.int64,
    }
    loaded = load_checkpoint(half)
    assert {p.dtype for p in loaded.captioner.parameters()} == {torch.float32}
    assert not torch.equal(logits(loaded), logits(original))
    torch.testing.assert_close(logits(loaded), logits(original), rtol=0, atol=0.02)
    assert {p.dtype for p in original.captioner.parameters()} == {torch.float32}, (
        "saving changes nothing"
    )


def test_saving_over_an_old_checkpoint_replaces_it(
    original: Checkpoint, folder: Path
) -> None:
    other = Checkpoint(
        original.captioner, original.vocabulary, original.settings, {"epoch": 4}
    )
    save_checkpoint(folder, other)
    assert load_checkpoint(folder).training == {"epoch": 4}
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "vocabulary.json"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"no whole checkpoint: {name} missing"):
        load_checkpoint(folder)


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"config\.json, model\.safetensors, vocabulary\.json missing",
    ):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_path_that_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=f"{name} is not a checkpoint folder"):
        load_checkpoint(tmp_path / name)


def test_the_vocabulary_of_another_model(folder: Path) -> None:
    Vocabulary.build(
        [["a", "road", "appears"], ["the", "haus", "vanish"]], minimum_count=1
    ).save(folder / "vocabulary.json")
    with pytest.raises(
        CheckpointError,
        match=r"vocabulary\.json is not the vocabulary that config\.json was",
    ):
        load_checkpoint(folder)


def test_a_vocabulary_in_another_order(folder: Path) -> None:
    path = folder / "vocabulary.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    table["a"], table["road"] = table["road"], table["a"]
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocabulary\.json"):
        load_checkpoint(folder)


BROKEN_STATES: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "decoder.output.bias": lambda state: state.update(
        {"decoder.output.bias": torch.zeros(11)}
    ),
    "extractor.P.bias": lambda state: state.pop("extractor.P.bias"),
    "decoder.surplus": lambda state: state.update({"decoder.surplus": torch.zeros(1)}),
}


@pytest.mark.parametrize("tensor", BROKEN_STATES)
def test_a_tensor_of_a_wrong_shape_missing_or_unknown(
    folder: Path, tensor: str
) -> None:
    state = load_file(folder / "model.safetensors")
    BROKEN_STATES[tensor](state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError,
        match=rf"(?s)model\.safetensors does not fit config\.json.*{tensor}",
    ):
        load_checkpoint(folder)


BROKEN_CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown part key": (
        lambda c: c["model"]["decoder"].update(layer=1),
        r"decoder\.layer is not a setting; did you mean 'layers'\?",
    ),
    "unknown model key": (
        lambda c: c["model"].update(dimensions=16),
        r"dimensions is not a setting; did you mean 'dimension'\?",
    ),
    "wrong value": (
        lambda c: c["model"]["extractor"].update(stage=7),
        r"extractor\.stage is 7",
    ),
    "wrong type": (
        lambda c: c["model"]["difference"].update(layers="two"),
        r"config\.json",
    ),
    "conflict": (
        lambda c: c["model"]["decoder"].update(heads=3),
        r"dimension=16 .* decoder\.heads=3",
    ),
    "unknown system": (
        lambda c: c["model"].update(system="son"),
        r"system='son' is unknown; did you mean 'sen'",
    ),
    "unknown backbone": (
        lambda c: c["model"]["extractor"].update(backbone="resnet1"),
        r"extractor\.backbone='resnet1'",
    ),
    "other format": (
        lambda c: c.update(format="sencap-captioner-9"),
        r"format 'sencap-captioner-9'; this version",
    ),
    "no format": (lambda c: c.pop("format"), r"format None"),
    "no model": (lambda c: c.pop("model"), r"lacks the key 'model'"),
    "no digest": (
        lambda c: c.pop("vocabulary_digest"),
        r"lacks the key 'vocabulary_digest'",
    ),
    "other width": (
        lambda c: c["model"].update(dimension=32),
        r"does not fit config\.json",
    ),
}


@pytest.mark.parametrize("case", BROKEN_CONFIGS)
def test_a_config_that_cannot_be_used(folder: Path, case: str) -> None:
    change, said = BROKEN_CONFIGS[case]
    change_config(folder, change)
    with pytest.raises(CheckpointError, match=rf"(?s)config\.json.*{said}|{said}"):
        load_checkpoint(folder)


ODD_CONFIGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "model is text": lambda c: c.update(model="sen"),
    "part is text": lambda c: c["model"].update(extractor="resnet18"),
    "mean of two channels": lambda c: c["model"].update(mean=[0.5, 0.5]),
    "half a layer": lambda c: c["model"]["decoder"].update(layers=1.5),
}


@pytest.mark.parametrize("case", ODD_CONFIGS)
def test_a_config_whose_values_are_of_another_kind(folder: Path, case: str) -> None:
    change_config(folder, ODD_CONFIGS[case])
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "no JSON", "[1, 2]", '"text"', "null", "{}", "\x00\x01"]
)
def test_a_config_that_is_no_json_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        CheckpointError, match=r"config\.json (is not readable JSON|has format)"
    ):
        load_checkpoint(folder)


def test_a_config_that_is_no_text(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(CheckpointError, match=r"config\.json is not readable JSON"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x00" * 64, b"text, no weights"]
)
def test_weights_that_are_no_safetensors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors is not a safetensors file"
    ):
        load_checkpoint(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors is not a safetensors file"
    ):
        load_checkpoint(folder)


class Trap:
    """Makes a folder when it is unpickled: the sign that code was run."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sign),)


def write_trap(path: Path, sign: Path, how: str) -> None:
    if how == "pickle":
        path.write_bytes(pickle.dumps({"weight": Trap(sign)}))
    else:
        torch.save(
            {"weight": Trap(sign)},
            path,
            _use_new_zipfile_serialization=how == "torch zip",
        )


TRAPS = ["pickle", "torch zip", "torch legacy"]


@pytest.mark.parametrize("how", TRAPS)
def test_the_trap_works_where_pickles_are_loaded(tmp_path: Path, how: str) -> None:
    """Otherwise the tests below would prove nothing."""
    write_trap(tmp_path / "trap", tmp_path / "sign", how)
    if how == "pickle":
        pickle.loads((tmp_path / "trap").read_bytes())
    else:
        torch.load(tmp_path / "trap", weights_only=False)
    assert (tmp_path / "sign").is_dir()


@pytest.mark.parametrize("how", TRAPS)
@pytest.mark.parametrize(
    "name", ["model.safetensors", "vocabulary.json", "config.json"]
)
def test_a_pickle_in_the_place_of_any_file_is_refused_and_not_run(
    folder: Path, name: str, how: str
) -> None:
    sign = folder / "sign"
    write_trap(folder / name, sign, how)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)
    assert not sign.exists()


def test_a_pickle_beside_the_files_is_not_touched(
    original: Checkpoint, folder: Path
) -> None:
    sign = folder / "sign"
    for name in ("model.bin", "pytorch_model.bin", "model.pt", "model.ckpt"):
        write_trap(folder / name, sign, "torch zip")
    assert torch.equal(logits(load_checkpoint(folder)), logits(original))
    assert not sign.exists()


# torch's word on plain pickles.
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("how", TRAPS)
def test_a_pickle_as_initial_weights_is_refused_and_not_run(
    tmp_path: Path, how: str
) -> None:
    extractor = FeatureExtractor(backbone="resnet18", stage=1, dimension=4)
    write_trap(tmp_path / "init.pth", tmp_path / "sign", how)
    with pytest.raises(CheckpointError, match=r"extractor\.init=.*init\.pth"):
        initialise_backbone(extractor, tmp_path / "init.pth")
    assert not (tmp_path / "sign").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 64])
@pytest.mark.parametrize("name", ["init.safetensors"])
def test_broken_initial_weights_are_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    extractor = FeatureExtractor(backbone="resnet18", stage=1, dimension=4)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"extractor\.init=.*{name}"):
        initialise_backbone(extractor, tmp_path / name)
