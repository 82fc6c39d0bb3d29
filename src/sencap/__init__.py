"""sencap: what changed between two images of one place, in a sentence.

    from sencap import load
    captioner = load()                  # the weights that ship, or load("checkpoint/folder")
    captioner("before.png", "after.png").text

What a verb of the command line does is a function of the verb's name here.
`import_dataset` is ``sencap import``, `caption_files` with `load` and `find_pairs` is
``sencap caption``; ``sencap explain`` is in `sencap.explain`. Names are imported when
first used, so that ``import sencap`` is quick.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sencap.extras import missing_extra
from sencap.version import __version__ as __version__

# ONNX Runtime reports to its maker what it is used for; it asks for this as it is
# loaded, and for nothing later
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from sencap.archive import ArchiveSettings, write_archive
    from sencap.captioning import caption_files, caption_windows
    from sencap.config import ModelSettings, TrainingSettings
    from sencap.data.check import check_dataset as check
    from sencap.data.importing import import_dataset
    from sencap.demonstration import demo
    from sencap.diagnosis import doctor
    from sencap.errors import SencapError
    from sencap.evaluating import evaluate
    from sencap.evaluation.compare import compare
    from sencap.foreign.convert import convert
    from sencap.images import Reading, find_pairs, read_pair
    from sencap.models.counting import info
    from sencap.models.export import export_checkpoint as export
    from sencap.places import open_places, pack
    from sencap.predictor import Predictor, load
    from sencap.pretraining.fit import pretrain
    from sencap.pretraining.settings import PretrainingSettings
    from sencap.publishing import push
    from sencap.scenes import ScanSettings, scan, write_scan, write_series
    from sencap.score_predictions import score
    from sencap.serving.app import serve
    from sencap.serving.settings import ServerSettings
    from sencap.structures import Caption, ImagePair
    from sencap.synthetic import write_dataset as synth
    from sencap.training.fit import train

# Where each public name lives: module, colon, the name it has there.
_HOMES = {
    "ArchiveSettings": "sencap.archive:ArchiveSettings",
    "Caption": "sencap.structures:Caption",
    "ImagePair": "sencap.structures:ImagePair",
    "ModelSettings": "sencap.config:ModelSettings",
    "Predictor": "sencap.predictor:Predictor",
    "PretrainingSettings": "sencap.pretraining.settings:PretrainingSettings",
    "Reading": "sencap.images:Reading",
    "ScanSettings": "sencap.scenes:ScanSettings",
    "SencapError": "sencap.errors:SencapError",
    "ServerSettings": "sencap.serving.settings:ServerSettings",
    "TrainingSettings": "sencap.config:TrainingSettings",
    "caption_files": "sencap.captioning:caption_files",
    "caption_windows": "sencap.captioning:caption_windows",
    "check": "sencap.data.check:check_dataset",
    "compare": "sencap.evaluation.compare:compare",
    "convert": "sencap.foreign.convert:convert",
    "demo": "sencap.demonstration:demo",
    "doctor": "sencap.diagnosis:doctor",
    "evaluate": "sencap.evaluating:evaluate",
    "export": "sencap.models.export:export_checkpoint",
    "find_pairs": "sencap.images:find_pairs",
    "import_dataset": "sencap.data.importing:import_dataset",
    "info": "sencap.models.counting:info",
    "load": "sencap.predictor:load",
    "open_places": "sencap.places:open_places",
    "pack": "sencap.places:pack",
    "pretrain": "sencap.pretraining.fit:pretrain",
    "push": "sencap.publishing:push",
    "read_pair": "sencap.images:read_pair",
    "scan": "sencap.scenes:scan",
    "score": "sencap.score_predictions:score",
    "serve": "sencap.serving.app:serve",
    "synth": "sencap.synthetic:write_dataset",
    "train": "sencap.training.fit:train",
    "write_archive": "sencap.archive:write_archive",
    "write_scan": "sencap.scenes:write_scan",
    "write_series": "sencap.scenes:write_series",
}

__all__ = [
    "ArchiveSettings",
    "Caption",
    "ImagePair",
    "ModelSettings",
    "Predictor",
    "PretrainingSettings",
    "Reading",
    "ScanSettings",
    "SencapError",
    "ServerSettings",
    "TrainingSettings",
    "caption_files",
    "caption_windows",
    "check",
    "compare",
    "convert",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "find_pairs",
    "import_dataset",
    "info",
    "load",
    "open_places",
    "pack",
    "pretrain",
    "push",
    "read_pair",
    "scan",
    "score",
    "serve",
    "synth",
    "train",
    "write_archive",
    "write_scan",
    "write_series",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sencap' has no attribute {name!r}")
    module, _, name_there = _HOMES[name].partition(":")
    try:
        return getattr(import_module(module), name_there)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, f"sencap.{name}")
        if missing is None:
            raise
        raise missing from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
