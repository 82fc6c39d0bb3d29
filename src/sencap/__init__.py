"""sencap: what changed between two images of one place, in a sentence.

    from sencap import load
    captioner = load()                                # the weights that ship, or load("checkpoint/folder")
    captioner("before.png", "after.png").text

The verbs of the command line are functions here: `caption_files`' parts are `load` and `find_pairs`; `evaluate`,
`train`, `synth`, `check`, `import_dataset`, `info`, `demo` take what their flags take. Names are imported when first
used, so that ``import sencap`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sencap.extras import missing_extra

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sencap.config import ModelSettings, TrainingSettings
    from sencap.errors import SencapError
    from sencap.images import find_pairs, read_pair
    from sencap.predictor import Predictor, load
    from sencap.structures import Caption, ImagePair
    from sencap.verbs.check import check
    from sencap.verbs.demo import demo
    from sencap.verbs.evaluate import evaluate
    from sencap.verbs.import_ import import_dataset
    from sencap.verbs.info import info
    from sencap.verbs.synth import synth
    from sencap.verbs.train import train

_HOMES = {
    "Caption": "sencap.structures",
    "ImagePair": "sencap.structures",
    "ModelSettings": "sencap.config",
    "Predictor": "sencap.predictor",
    "SencapError": "sencap.errors",
    "TrainingSettings": "sencap.config",
    "check": "sencap.verbs.check",
    "demo": "sencap.verbs.demo",
    "evaluate": "sencap.verbs.evaluate",
    "find_pairs": "sencap.images",
    "import_dataset": "sencap.verbs.import_",
    "info": "sencap.verbs.info",
    "load": "sencap.predictor",
    "read_pair": "sencap.images",
    "synth": "sencap.verbs.synth",
    "train": "sencap.verbs.train",
}

__all__ = [
    "Caption",
    "ImagePair",
    "ModelSettings",
    "Predictor",
    "SencapError",
    "TrainingSettings",
    "check",
    "demo",
    "evaluate",
    "find_pairs",
    "import_dataset",
    "info",
    "load",
    "read_pair",
    "synth",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sencap' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, f"sencap.{name}")
        if missing is None:
            raise
        raise missing from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
