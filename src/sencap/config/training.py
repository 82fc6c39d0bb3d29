"""The settings of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, get_args

from sencap.bounds import check_amount, check_choice, check_fields, check_fraction
from sencap.config.model import ModelSettings
from sencap.config.parts import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChangeSettings,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    SearchSettings,
)
from sencap.errors import SettingsError

TrainingPrecision = Literal["32-true", "bf16-mixed"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class VocabularySettings:
    """Which words a model knows.

    Attributes:
        captions: A caption file, or a folder with one, whose words are counted
            (default: the training data).
        splits: Splits whose captions are counted.
        minimum_count: A word is kept if it is seen at least this often (6 is the
            paper's "more than 5").
    """

    captions: str | None = None
    # The paper counts the words of all splits, the test split included.
    splits: tuple[Split, ...] = ("train", "val", "test")
    minimum_count: int = 6

    def __post_init__(self) -> None:
        check_fields(self, "vocabulary", "minimum_count")
        if not self.splits:
            raise SettingsError(
                "vocabulary.splits is empty; name at least one of train, val, test"
            )
        for split in self.splits:
            check_choice("vocabulary.splits", split, get_args(Split))


@dataclass(frozen=True)
class LoadingSettings:
    """How pairs become batches.

    Attributes:
        batch_size: Captions in a batch over all devices; in the mode `one_pass` these
            are batch_size / captions-per-pair pairs with all their captions.
        one_pass: The captions of a pair share one pass through extractor and difference
            encoder (off: each caption is a sample of its own, as in the paper).
        workers: Processes that read images.
        cache: Keep the decoded images in memory (684 pairs of 256×256: 270 MB).
        colour: Strength of random colour changes, drawn per date (0 switches them off,
            1 is strong).
        geometry: Random flips and quarter turns; the position words of the captions
            turn with the image.
        same: Share of samples in which both dates become the same image, before or
            after, with the captions of no change: what everybody tries first.
        swap: The dates of unchanged pairs are swapped at random.
        reverse: Share of the changed pairs that are shown in reverse order, with
            captions turned by a rule (what was built is removed) or, where it knows
            none, for the change heads alone.
        features: Folder for the features of a frozen extractor, which are computed once
            and used in every epoch and every run that has the same ones (no colour
            changes then).
    """

    batch_size: int = 128
    one_pass: bool = False
    workers: int = 0
    cache: bool = False
    colour: float = 0.0
    geometry: bool = False
    same: float = 0.0
    swap: bool = False
    reverse: float = 0.0
    features: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, "loading", "batch_size", "workers")
        if not 0 <= self.colour <= 1:
            raise SettingsError(
                f"loading.colour is {self.colour}; it must be in [0, 1]"
            )
        check_fraction("loading.same", self.same)
        check_fraction("loading.reverse", self.reverse)
        if self.features is not None and self.colour:
            raise SettingsError(
                f"loading.colour={self.colour} changes images, and loading.features "
                "computes their features once; give one of them"
            )


@dataclass(frozen=True)
class OptimisationSettings:
    """The optimiser and its schedule (paper IV-B; its released code where the paper is
    silent).

    Attributes:
        epochs: Passes over the training split.
        learning_rate: Adam's learning rate of every part.
        extractor_learning_rate: Another one for the extractor's backbone, if given.
        weight_decay: Decoupled weight decay (0: plain Adam).
        clip_value: Gradient values of extractor and decoder are clamped to ± this.
        patience: After this many epochs in a row without a better val BLEU-4 …
        decay: … the decoder's learning rate is multiplied by this.
        schedule: constant (the paper's), or cosine: one warm-up epoch, then down to
            zero.
        label_smoothing: Share of the target probability spread over all words.
        average: Decay of a running average of the weights (0: none, 0.995: over the
            last 200 steps or so); the average is what is validated and kept.
    """

    epochs: int = 40
    learning_rate: float = 2e-4
    extractor_learning_rate: float | None = None
    weight_decay: float = 0.0
    clip_value: float = 5.0
    patience: int = 3
    decay: float = 0.7
    schedule: Literal["constant", "cosine"] = "constant"
    label_smoothing: float = 0.0
    average: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "optimisation", "epochs", "patience")
        check_fraction("optimisation.label_smoothing", self.label_smoothing)
        check_fraction("optimisation.average", self.average)
        check_amount("optimisation.weight_decay", self.weight_decay, zero=True)
        check_choice("optimisation.schedule", self.schedule, ("constant", "cosine"))
        if not self.clip_value > 0:
            raise SettingsError(
                f"optimisation.clip_value is {self.clip_value}; it must be above 0"
            )
        check_amount("optimisation.learning_rate", self.learning_rate)
        check_amount(
            "optimisation.extractor_learning_rate",
            self.extractor_learning_rate,
            why=" (to freeze the backbone say extractor.fine_tune_from=none)",
        )
        if not 0 < self.decay <= 1:
            raise SettingsError(
                f"optimisation.decay is {self.decay}; it must be in (0, 1]"
            )


@dataclass(frozen=True)
class HardwareSettings:
    """Where training runs; the values are Lightning's.

    Attributes:
        accelerator: cpu, gpu, or auto.
        devices: Devices per machine.
        nodes: Machines.
        precision: 32-true or bf16-mixed.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: TrainingPrecision = "32-true"

    def __post_init__(self) -> None:
        check_choice("hardware.precision", self.precision, get_args(TrainingPrecision))
        check_fields(self, "hardware", "devices", "nodes")


@dataclass(frozen=True)
class TrainingSettings:
    """One training run: everything that decides its result, and where it goes.

    Attributes:
        data: Folder of captioned pairs (see `sencap check --help`), or a list of
            folders, which are joined: '[A,B]'.
        out: Folder for logs, the resume file and the best checkpoint.
        selection_data: Folder whose val split selects the best checkpoint (the first of
            data if not given).
        start: A checkpoint, a folder or hub:OWNER/NAME@REVISION, whose weights and
            vocabulary the run starts from.
        system: The system's name, as `sencap info --list-systems` prints them.
        dimension: D, the embedding width shared by the parts; None is the system's own.
            (512 of all)
        size: Side of the square that images are resized to where they differ from it,
            in pixels.
        mean: Mean of R, G, B on the scale 0-1.
        std: Standard deviation of R, G, B on the scale 0-1.
        extractor: The feature extractor.
        difference: The difference encoder.
        decoder: The caption decoder.
        change: Heads that see change without words.
        search: How captions are searched for, where whoever captions does not say.
        domain: Keep what the training images look like, so that a pair of another kind
            is told to be one. (off)
        vocabulary: Which words are known.
        loading: How pairs become batches.
        optimisation: The optimiser and its schedule.
        hardware: Where it runs.
        seed: Seed of everything random.
        resume: Go on from the resume file in `out` if there is one (off: refuse a
            folder that has one).
        progress: Show progress bars.
    """

    data: str | list[str]
    out: str
    selection_data: str | None = None
    start: str | None = None
    system: str = "sen"
    dimension: int | None = None
    size: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    extractor: ExtractorSettings = field(default_factory=ExtractorSettings)
    difference: DifferenceSettings = field(default_factory=DifferenceSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    change: ChangeSettings = field(default_factory=ChangeSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    domain: bool = False
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    loading: LoadingSettings = field(default_factory=LoadingSettings)
    optimisation: OptimisationSettings = field(default_factory=OptimisationSettings)
    hardware: HardwareSettings = field(default_factory=HardwareSettings)
    seed: int = 42
    resume: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        if not self.data:
            raise SettingsError(
                "data is empty; name at least one folder of captioned pairs"
            )
        # Two sources of the same weights: which one won would depend on the order of
        # loading.
        if self.start is not None and self.extractor.init is not None:
            raise SettingsError(
                f"start={self.start} and extractor.init={self.extractor.init} both "
                "say where the extractor's weights come from; give one of them"
            )
        check_fields(self, "", "seed")
        if isinstance(self.data, str):
            # The way to set a field of a frozen dataclass in its own __post_init__.
            object.__setattr__(self, "data", [self.data])
        _ = self.model  # the settings that must go together are checked there

    @property
    def folders(self) -> list[str]:
        """The data folders."""
        return [self.data] if isinstance(self.data, str) else self.data

    @property
    def model(self) -> ModelSettings:
        """The part of the settings that makes up the model."""
        # The training settings repeat the model's fields by name, so that on the
        # command line they are flags without a prefix.
        names = [f.name for f in dataclasses.fields(ModelSettings)]
        return ModelSettings(**{name: getattr(self, name) for name in names})
