"""A folder downloaded from a hub is read as the weights that it holds, and nothing
outside of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sencap.errors import CheckpointError
from sencap.foreign.hub_folder import weight_files
from sencap.foreign.read import read

State = dict[str, Tensor]
TENSORS = {"conv1.weight": torch.ones(2, 3), "fc.bias": torch.zeros(4)}
ONE, TWO = {"conv1.weight": TENSORS["conv1.weight"]}, {"fc.bias": TENSORS["fc.bias"]}
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
CONFIG = (
    '{"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5], "std": [0.25]}}'
)


def write_parts(folder: Path) -> None:
    save_file(ONE, folder / PARTS[0])
    save_file(TWO, folder / PARTS[1])


def write_index(folder: Path, places: object) -> None:
    index = {"metadata": {"total_size": 40}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def with_index(folder: Path) -> None:
    write_parts(folder)
    write_index(folder, {"conv1.weight": PARTS[0], "fc.bias": PARTS[1]})


def in_cache(folder: Path) -> None:
    """As Hugging Face's cache has it: links into a folder of blobs."""
    revision = folder / "snapshots" / "abc"
    revision.mkdir(parents=True)
    (folder / "blobs").mkdir()
    save_file(TENSORS, folder / "blobs" / "123")
    (revision / "model.safetensors").symlink_to("../../blobs/123")


def with_others(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin")
    torch.save({"lr": torch.ones(1)}, folder / "optimizer.pt")


FOLDERS: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda folder: save_file(TENSORS, folder / "model.safetensors"),
    "PyTorch's file": with_others,
    "one file of another name": lambda folder: torch.save(
        TENSORS, folder / "moco_resnet50.pth"
    ),
    "parts with an index": with_index,
    "parts alone": write_parts,
    "the cache": in_cache,
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_its_weights_are_read(kind: str, tmp_path: Path) -> None:
    FOLDERS[kind](tmp_path)
    (tmp_path / "config.json").write_text(CONFIG)
    (tmp_path / "README.md").touch()
    found = read(str(tmp_path))
    assert found.name == str(tmp_path)
    assert found.remark == "it saw images normalised with mean [0.5] and std [0.25]"
    held = found.containers[""]
    assert sorted(held) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(held[name], tensor)


def with_two_files(folder: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save(TENSORS, folder / name)


def with_two_revisions(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "snapshots" / name).mkdir(parents=True)


def without_a_part(folder: Path) -> None:
    with_index(folder)
    (folder / PARTS[1]).unlink()


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: None, "holds no weights: looked for .* and saw nothing"),
    "no weights": (
        lambda folder: (folder / "x.txt").touch(),
        r"holds no weights.* saw x\.txt",
    ),
    "a part lacks": (
        without_a_part,
        r"lacks 1 of 2 parts of its weights: model-00002-of-00002",
    ),
    "most parts lack": (
        lambda folder: save_file(ONE, folder / "m-00001-of-00009.safetensors"),
        r"lacks 8 of 9 parts of its weights: m-00002-of-00009\.safetensors, .* and 3 more",
    ),
    "several files": (
        with_two_files,
        r"several files that may be weights \(a\.pth, b\.pth\); name one of them",
    ),
    "a part elsewhere": (
        lambda folder: write_index(folder, {"conv1.weight": "../model.safetensors"}),
        r"names the part '\.\./model\.safetensors', which is no plain name",
    ),
    "an absolute part": (
        lambda folder: write_index(folder, {"conv1.weight": "/etc/passwd"}),
        "names the part '/etc/passwd', which is no plain name",
    ),
    "an index without tensors": (
        lambda folder: write_index(folder, []),
        "lists no tensors",
    ),
    "several revisions": (with_two_revisions, "holds a, b; name one of them"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_whole_folder_is_told(kind: str, tmp_path: Path) -> None:
    write, reason = REFUSED[kind]
    write(tmp_path)
    with pytest.raises(CheckpointError, match=rf"extractor\.init=.*{reason}"):
        read(str(tmp_path))


def test_one_of_several_parts_is_sent_to_its_folder(tmp_path: Path) -> None:
    write_parts(tmp_path)
    with pytest.raises(CheckpointError, match="is one of 2 parts; name the folder"):
        read(str(tmp_path / PARTS[0]))


def test_the_usual_file_comes_before_another(tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin", "other.pth"):
        (tmp_path / name).touch()
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
