"""The settings of a captioner and of its training: typed, checked at birth, torch-free.

A field here is a flag of the command line (``--extractor.backbone``), a key of the YAML
file and a line of the help; its default is the paper's value. Where each system has its
own, the default is None, and the number stands in the system's function in
`sencap.models.variants`. A value out of range, or two that do not go together, fail as
soon as the object is made, with a message that names each setting involved; what
depends on a system's own numbers fails when the model is built, which `sencap train`
does before it reads data.
"""

from __future__ import annotations

from sencap.config.model import (
    LARGEST_GRID,
    LARGEST_SIZE,
    ModelSettings,
)
from sencap.config.parts import (
    FORMER_DEFAULTS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LARGEST_HEAD,
    SMALLEST_TEMPERATURE,
    ChangeSettings,
    Decision,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    FineTuneFrom,
    FrozenStatistics,
    MatrixStart,
    Projection,
    Pyramid,
    SearchSettings,
    Structure,
    WordStart,
    check_backbone_name,
    check_normalisation,
)
from sencap.config.stored import (
    as_dict,
    model_from_dict,
)
from sencap.config.training import (
    HardwareSettings,
    LoadingSettings,
    OptimisationSettings,
    Split,
    TrainingPrecision,
    TrainingSettings,
    VocabularySettings,
)

__all__ = [
    "FORMER_DEFAULTS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LARGEST_GRID",
    "LARGEST_HEAD",
    "LARGEST_SIZE",
    "SMALLEST_TEMPERATURE",
    "ChangeSettings",
    "Decision",
    "DecoderSettings",
    "DifferenceSettings",
    "ExtractorSettings",
    "FineTuneFrom",
    "FrozenStatistics",
    "HardwareSettings",
    "LoadingSettings",
    "MatrixStart",
    "ModelSettings",
    "OptimisationSettings",
    "Projection",
    "Pyramid",
    "SearchSettings",
    "Split",
    "Structure",
    "TrainingPrecision",
    "TrainingSettings",
    "VocabularySettings",
    "WordStart",
    "as_dict",
    "check_backbone_name",
    "check_normalisation",
    "model_from_dict",
]
