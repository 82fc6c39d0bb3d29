"""What ``extractor.init`` names, read into tensors: a file, a folder of ours or of a
hub, or timm's weights.

Nothing in a file is run: PyTorch's safe reader has the first word, and
`sencap.foreign.inert` reads what it refuses. What a file is, is told by its content;
its name plays no part.
"""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from sencap.checkpoint_folder import CONFIG, WEIGHTS, read_header
from sencap.errors import CheckpointError, SettingsError
from sencap.files import not_a_file
from sencap.foreign.hub_folder import check_no_part, weight_files
from sencap.foreign.inert import StoredTensor, read_torch_file
from sencap.json_files import read_json, shortened, shown
from sencap.models.extractors import check_backbone
from sencap.weights import weights_path

HUB = "timm:"
OURS = {
    "sencap-backbone-1": "a backbone pre-trained by sencap",
    "sencap-captioner-1": "a sencap captioner",
}
OFFICIAL = {"encoder_image", "encoder_feat", "decoder"}
_DEEPEST = 8  # dicts within dicts; a hostile file may hold one that holds itself
# What training programs store beside the weights, and what does no more than hold
# values.
HARMLESS = frozenset(
    {
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.slice",
        "collections.deque",
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "torch.device",
    }
)


@dataclass(frozen=True)
class Source:
    """Tensors by the dict that holds them ("" is the outermost) and their names there.

    ``name`` is the source as it was given; ``others`` names what else the file holds;
    ``kind`` and ``remark`` are what a folder says of itself.
    """

    name: str
    containers: Mapping[str, Mapping[str, Tensor]]
    others: tuple[str, ...] = ()
    kind: str = ""
    remark: str = ""


def read(init: str) -> Source:
    """The tensors that ``init`` names: a path, ``local:FOLDER``, ``timm:NAME``, or a
    checkpoint of sencap on Hugging Face's hub, ``hub:OWNER/NAME@REVISION``.

    Raises:
        CheckpointError: nothing there, nothing that holds tensors, a file that would
            run code, or no hub.
    """
    if init.startswith(HUB):
        return _from_hub(init)
    path = weights_path(init)
    try:
        if path.is_dir():
            return _read_folder(path)
        check_no_part(path)
        return _read_file(path)
    except CheckpointError as error:
        raise CheckpointError(f"extractor.init={error}") from error


def _read_file(path: Path) -> Source:
    if reason := not_a_file(path):
        raise CheckpointError(
            f"{path}: {reason}; name a file or a folder (weights of timm's hub are "
            f"named {HUB}resnet50)"
        )
    try:
        return Source(str(path), {"": load_file(path)})
    except SafetensorError:
        pass  # no safetensors file: perhaps PyTorch's
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror or error})"
        ) from error
    content = _by_pytorch(path)
    if not isinstance(content, dict):
        content = _by_hand(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds {type(content).__name__}, not a dict of tensors"
        )
    containers = dict(_containers(content, path))
    if not containers:
        raise CheckpointError(
            f"{path} holds no tensors; its keys: {_first(map(str, content))}"
        )
    held = {name.partition(".")[0] for name in containers if name} | set(
        containers.get("", ())
    )
    others = tuple(str(key) for key in content if str(key) not in held)
    return Source(str(path), containers, others)


def _by_pytorch(path: Path) -> Any:
    """The content of a file that PyTorch's safe reader takes: tensors in plain
    containers, an optimiser's state, a namespace of settings. None where it refuses."""
    try:
        # it also warns of what it may not read
        with (
            safe_globals([argparse.Namespace]),
            warnings.catch_warnings(action="error"),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # PyTorch has no one error for it; what is wrong is told by `_by_hand`.
        return None
    if zipfile.is_zipfile(path):  # PyTorch compares no checksums
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise CheckpointError(
                    f"{path} is damaged: its {damaged} is not what was written"
                )
    return content


def _by_hand(path: Path) -> Any:
    """The content of a file that PyTorch's safe reader refuses, if it only holds
    values.

    Raises:
        CheckpointError: it is damaged, holds whole modules, or would call what does
            more.
    """
    reading = read_torch_file(path)
    if isinstance(reading.content, dict) and set(reading.content) >= OFFICIAL:
        raise CheckpointError(
            f"{path} holds whole modules ({', '.join(sorted(OFFICIAL))}), as the SEN "
            f"authors' checkpoints do; `sencap convert {path} OUT --vocabulary "
            "WORDMAP.json` reads them without running them, and extractor.init takes "
            "the folder OUT"
        )
    unsafe = sorted(reading.asked - HARMLESS)
    if unsafe:
        raise CheckpointError(
            f"{path} is no file of tensors only: loaded as a pickle it would run "
            f"{_first(unsafe)}. Nothing of it was run. If you trust whoever made it, take the "
            'tensors out once, on a machine that may be lost: python -c "import torch; m = '
            f"torch.load('{path.name}', weights_only=False, map_location='cpu'); s = "
            "m.state_dict() if hasattr(m, 'state_dict') else m.get('state_dict', m.get('model', "
            "m)); torch.save({k: v for k, v in s.items() if torch.is_tensor(v)}, "
            "'tensors.pth')\" and give extractor.init that tensors.pth"
        )
    return reading.content


def _containers(
    table: Mapping[Any, Any], path: Path, name: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors of every dict within ``table``, by the keys that lead there, joined
    by dots."""
    found = {
        key: value
        for key, value in table.items()
        if isinstance(value, Tensor | StoredTensor)
    }
    if found:
        yield (
            name,
            {str(key): _tensor(path, str(key), value) for key, value in found.items()},
        )
    for key, value in table.items():
        if isinstance(value, dict) and depth < _DEEPEST and isinstance(key, str | int):
            inner = f"{name}.{key}" if name else str(key)
            yield from _containers(value, path, inner, depth + 1)


def _tensor(path: Path, key: str, value: Tensor | StoredTensor) -> Tensor:
    if isinstance(value, StoredTensor):
        try:
            return value.tensor()
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {key} cannot be read: {error}") from error
    if (
        value.layout is not torch.strided
        or value.device.type != "cpu"
        or value.is_nested
    ):
        raise CheckpointError(
            f"{path}: {key} is no plain tensor (sparse, nested, without numbers)"
        )
    # steps of 0 show few numbers as a tensor of any size, which would fill the memory
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(f"{path}: {key} does not lie within its storage")
    return value


def _read_folder(path: Path) -> Source:
    """A folder of ours, told by the format that its config.json has, or anybody's."""
    config: Any = None
    if (path / CONFIG).is_file():
        config = read_json(path / CONFIG)
    form = config.get("format") if isinstance(config, dict) else None
    if form is None:
        return _read_hub_folder(path, config)
    if not isinstance(form, str) or form not in OURS:
        raise CheckpointError(
            f"{path} is no folder of sencap's: its {CONFIG} is of format "
            f"{shown(form)}, and this version reads {' and '.join(OURS)}"
        )
    kind = OURS[form]
    # Refuses what is not sound, and types that no weights have.
    read_header(path / WEIGHTS)
    try:
        tensors = load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path / WEIGHTS} is not a safetensors file: {error}"
        ) from error
    described = config["model"] if isinstance(config.get("model"), dict) else config
    known = [
        shortened(str(config[key]), 60)
        for key in ("backbone", "method")
        if key in config
    ]
    if known:
        kind = f"{kind} ({', '.join(known)})"
    return Source(str(path), {"": tensors}, (), kind, _normalised(described))


def _normalised(described: Mapping[str, Any]) -> str:
    """How the images were normalised that the weights saw, if it is told."""
    if "mean" not in described or "std" not in described:
        return ""
    mean, std = shown(described["mean"]), shown(described["std"])
    return f"it saw images normalised with mean {mean} and std {std}"


def _read_hub_folder(path: Path, config: Any) -> Source:
    """A folder as of Hugging Face's hub: a file of weights or parts of one, and what
    tells of them."""
    files = weight_files(path)
    sources = [_read_file(file) for file in files]
    if len(sources) == 1:
        whole = sources[0]
    else:
        tensors: dict[str, Tensor] = {}
        for source in sources:
            tensors.update(source.containers.get("", {}))
        whole = Source(str(path), {"": tensors})
    told = config.get("pretrained_cfg") if isinstance(config, dict) else None
    remark = _normalised(told) if isinstance(told, dict) else ""
    return replace(whole, name=str(path), remark=remark)


def _from_hub(init: str) -> Source:
    name = init.removeprefix(HUB)
    try:
        check_backbone(name, setting="name")
    except SettingsError as error:
        raise CheckpointError(
            f"extractor.init={shortened(init, 100)} names no model of timm "
            f"{timm.__version__} ({error}); say for example {HUB}resnet50 or "
            f"{HUB}resnet50.a1_in1k (timm.list_pretrained() lists them)"
        ) from error
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever the hub's client raises where there is no net
        raise CheckpointError(
            f"extractor.init={init}: timm's weights could not be fetched "
            f"({shortened(str(error), 200)}). Without a way to the hub, fetch them "
            f"elsewhere (timm.create_model({name!r}, pretrained=True), torch.save "
            "its state_dict()) and give that file"
        ) from error
    return Source(
        init, {"": model.state_dict()}, (), f"timm's own pretrained weights of {name}"
    )


def _first(words: Any, most: int = 5) -> str:
    """The first of some words, and how many there are more."""
    words = [shortened(word, 60) for word in words]
    said = ", ".join(words[:most])
    return said if len(words) <= most else f"{said} and {len(words) - most} more"
