"""A STAC item of weights, by the extension for machine learning models (MLM): what goes
in, what comes out and where the files lie, so that catalogues find them.

Facts: STAC 1.1.0, MLM 1.4.0 and the extension `file` 2.1.0.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sencap.checkpoint_folder import BANDS, CheckpointFolder, count_stored_parameters
from sencap.publishing.about import AboutWeights
from sencap.weights.names import CARD, CONFIG, ENCODER_INT8, GRAPHS, VOCABULARY, WEIGHTS

ITEM = "item.json"
EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_WHITE = 255  # mean and deviation are told for pixels of 0 to 1, MLM's for those given
_SHA256 = "1220"  # of a multihash: the function, and the bytes of its result


def stac_item(
    folder: CheckpointFolder,
    repository: str,
    *,
    about: AboutWeights,
    now: datetime | None = None,
) -> dict[str, Any]:
    """The item as JSON values. Its links are relative: they hold in every commit, and in
    a copied folder. ``now`` is the time that it bears."""
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    owner, _, name = repository.partition("/")
    settings = folder.settings
    outputs = _outputs(folder)
    # A dict keeps the order, and each task once.
    tasks: dict[str, None] = {}
    for output in outputs:
        tasks |= dict.fromkeys(output["tasks"])
    backbone = settings.extractor.backbone
    properties = {
        "datetime": moment,
        "title": repository,
        "description": about.intended_use,
        "license": about.licence,
        "bands": _bands(),
        "mlm:name": _name(name),
        "mlm:architecture": f"{settings.system}{f' on {backbone}' if backbone else ''}",
        "mlm:tasks": list(tasks),
        "mlm:framework": "ONNX",
        "mlm:total_parameters": count_stored_parameters(folder.tensors)["total"],
        "mlm:pretrained": True,
        "mlm:pretrained_source": " ".join(about.data.split()),
        "mlm:input": [_input(folder)],
        "mlm:output": outputs,
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [*EXTENSIONS],
        "id": f"{owner}-{name}-{_digest(folder.path / WEIGHTS)[:12]}",
        "geometry": None,  # of no place: the data are told in words
        "properties": properties,
        "links": [],
        "assets": _assets(folder),
    }


def _name(name: str) -> str:
    """A name as MLM takes it: it begins with a letter, and ends with one or a digit."""
    return re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9]+$", "", name) or "captioner"


def _bands() -> list[dict[str, str]]:
    return [{"name": band, "data_type": "uint8"} for band in BANDS]


def _input(folder: CheckpointFolder) -> dict[str, Any]:
    """The pair: two dates of three bands, as the files hold them; the graphs normalise
    by themselves."""
    settings = folder.settings
    scaling = []
    for mean, deviation in zip(settings.mean, settings.std, strict=True):
        scaled = {"mean": mean * _WHITE, "stddev": deviation * _WHITE}
        scaling.append({"type": "z-score", **scaled})
    return {
        "name": "before and after",
        "description": (
            "Two images of one place, the older first, as pixels of 0 to 255. The "
            "graphs do the scaling that value_scaling tells, band by band, themselves."
        ),
        "bands": [*BANDS],
        "input": {
            "shape": [-1, 2, len(BANDS), settings.size, settings.size],
            "dim_order": ["batch", "time", "channel", "height", "width"],
            "data_type": "uint8",
        },
        "value_scaling": scaling,
        "resize_type": "interpolation-linear",
    }


def _outputs(folder: CheckpointFolder) -> list[dict[str, Any]]:
    settings = folder.settings
    words: dict[str, Any] = {
        "name": "caption",
        "description": f"Ids of the words in {VOCABULARY}, found by beam search.",
        "tasks": ["image-captioning"],
        "result": {
            "shape": [-1, settings.decoder.max_words],
            "dim_order": ["batch", "token"],
            "data_type": "int64",
        },
    }
    # Without a flag head the probability is reckoned from sentences: no output.
    if not settings.change.flag:
        return [words]
    flag: dict[str, Any] = {
        "name": "change-probability",
        "description": "The probability that anything changed.",
        "tasks": ["classification"],
        "result": {"shape": [-1], "dim_order": ["batch"], "data_type": "float32"},
        "classification:classes": [
            {"value": 0, "name": "unchanged", "description": "nothing changed"},
            {"value": 1, "name": "changed", "description": "something changed"},
        ],
    }
    return [words, flag]


def _assets(folder: CheckpointFolder) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        WEIGHTS: {
            "title": "all weights, once: the graphs point into this file",
            "type": "application/octet-stream; application=safetensors",
            "roles": ["mlm:model", "mlm:weights"],
            "mlm:artifact_type": "safetensors",
            "bands": _bands(),  # STAC wants them of a file before it takes the item's
        }
    }
    for name in (*GRAPHS, ENCODER_INT8):
        kinds[name] = {
            "title": f"graph for ONNX Runtime: {name.partition('.')[0]}",
            "type": "application/octet-stream; application=onnx",
            "roles": ["mlm:model"],
            "mlm:artifact_type": "onnx",
        }
    kinds[CONFIG] = {
        "title": "size, mean, deviation, bands, stretch; how it was trained",
        "type": "application/json",
        "roles": ["metadata"],
    }
    kinds[VOCABULARY] = {
        "title": "the words",
        "type": "application/json",
        "roles": ["metadata"],
    }
    assets: dict[str, Any] = {}
    for name, told in kinds.items():
        path = folder.path / name
        if path.is_file():
            size, digest = path.stat().st_size, _digest(path)
            content = {"file:size": size, "file:checksum": f"{_SHA256}{digest}"}
            assets[name.replace(".", "-")] = {"href": f"./{name}", **told, **content}
    card = {"title": "the card", "type": "text/markdown", "roles": ["metadata"]}
    return {**assets, "card": {"href": f"./{CARD}", **card}}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
