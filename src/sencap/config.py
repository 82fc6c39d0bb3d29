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

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sencap.bounds import check_amount, check_choice, check_fraction, check_number
from sencap.errors import SettingsError, nearest
from sencap.json_files import shortened, shown

Structure = Literal["single-cat", "single-sub", "dual"]
Pyramid = Literal["none", "finer", "coarser"]
FineTuneFrom = Literal["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "none"]
FrozenStatistics = Literal["moving", "fixed"]
Projection = Literal["always", "where-needed"]
MatrixStart = Literal["xavier", "layers"]
WordStart = Literal["uniform", "normal"]
TrainingPrecision = Literal["32-true", "bf16-mixed"]
Split = Literal["train", "val", "test"]

# Backbones that were pretrained on ImageNet expect images normalised by its statistics.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Attention compares all positions of the grid: its cost grows with the fourth power of
# the side
LARGEST_SIZE, LARGEST_GRID = 1024, 64

LARGEST_HEAD = 1000.0  # weight of a head's loss
SMALLEST_TEMPERATURE = 0.01

# Of `DifferenceSettings`, before its systems had their own. Older checkpoints and runs,
# of any system, hold these
FORMER_DEFAULTS = {
    "reduction": 16,
    "kernel_size": 1,
    "shared_convolution": True,
    "channel_attention": True,
    "cross_attention": True,
    "self_attention": True,
}


def _numbers(settings: Any, owner: str, *names: str) -> None:
    """Check whole numbers of a settings object by the table in `sencap.bounds`; None is
    the system's own."""
    for name in names:
        check_number(f"{owner}.{name}" if owner else name, getattr(settings, name))


def check_backbone_name(name: str, value: str) -> None:
    """Refuse a backbone that is no plain name: timm takes ``hf-hub:…`` to the network
    and ``local-dir:…`` to a folder.

    ``name`` is the setting's. Whether timm knows the network is for
    `sencap.models.extractors` to say.

    >>> check_backbone_name("extractor.backbone", "resnet50")

    Raises:
        SettingsError: with the setting, the value, and what a name may hold.
    """
    # A config file may come from a stranger, and must lead neither to the network nor to
    # a folder: only plain names pass.
    plain = isinstance(value, str) and re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value
    )
    if not plain or ".." in value:
        raise SettingsError(
            f"{name}={shown(value)} is not a timm model: its name holds letters, "
            "digits, '_', '.' and '-' only, no colon and no slash, for example "
            "resnet50. What weights it starts from is said by `init`"
        )


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a mean or deviation of R, G and B that is not on the scale 0-1 of the
    pixels.

    Raises:
        SettingsError: not three numbers, NaN, infinite, or out of range.
    """
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, list | tuple) or len(values) != 3:
            raise SettingsError(
                f"{name} is {shown(values)}; it must hold three values, for R, G and B"
            )
        for value in values:
            # In Python True is an int.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value):
                raise SettingsError(
                    f"{name} is {shown(values)}; each value must be a number"
                )
    if min(std) <= 0:
        raise SettingsError(f"std is {shown(std)}; each value must be above 0")
    if min(mean) < 0 or max(mean) > 1:
        raise SettingsError(
            f"mean is {shown(mean)}; each value must be from 0 to 1 (pixels are "
            "divided by 255 before)"
        )
    if min(std) < 0.001 or max(std) > 10:
        raise SettingsError(
            f"std is {shown(std)}; each value must be from 0.001 to 10 (pixels are "
            "divided by 255 before)"
        )


@dataclass(frozen=True)
class ExtractorSettings:
    """The bi-temporal feature extractor, Eq. (2) and (3); None is the system's own.

    Attributes:
        backbone: Any timm model with a feature map, by timm's name: resnet18/34/50/101,
            tf_efficientnet_lite0, convnext_tiny, … (sen: resnet50)
        stage: Stage whose features are used: 4 (stride 32) or 3 (stride 16); 2 and 1
            exist too. (sen: 4)
        structure: single-cat: the two dates' channels concatenated into one stream
            (SEN); single-sub: the difference image (after - before) in one stream;
            dual: each date through one shared stream. (sen: single-cat; the compared
            systems are dual and take no other)
        grid: Side of the square grid that the compared systems pool the features to.
            (14; psnet: 7)
        pyramid: Whose maps stand beside the stage's own channels, brought to its grid:
            finer (those of the stage before, folded), coarser (those of the stage
            after, enlarged) or none. (none; siamese: finer)
        init: Weights the backbone starts from: a file or folder, recognised by its
            content, or timm:NAME (see docs/weights.md); nothing for random ones.
        fine_tune_from: The first stage that is trained; all before it is frozen. conv1:
            nothing is frozen; none: everything is (the projection P is always trained).
            (sen: conv2_x; the compared systems: none)
        frozen_statistics: Whether the BatchNorm statistics of the frozen part go on
            moving in training (moving, as in SEN's released code) or stay (fixed).
            (sen, MCCFormers and RSICCformers: moving; the others: fixed)
        projection: P, the 1x1 convolution to D: always, or only where the backbone's
            channels are not D already (where-needed, as in SEN's released code). Of
            SEN's systems. (sen: always)
        zero_last_norm: A ResNet that starts from random weights begins with the last
            BatchNorm weight of each block at zero, as timm's do; off: at one, as
            torchvision's do. Other networks have no such weight. (on)
    """

    backbone: str | None = None
    stage: int | None = None
    structure: Structure | None = None
    grid: int | None = None
    pyramid: Pyramid | None = None
    init: str | None = None
    fine_tune_from: FineTuneFrom | None = None
    frozen_statistics: FrozenStatistics | None = None
    projection: Projection | None = None
    zero_last_norm: bool | None = None

    def __post_init__(self) -> None:
        if self.backbone is not None:
            check_backbone_name("extractor.backbone", self.backbone)
        if self.stage not in (None, 1, 2, 3, 4):
            raise SettingsError(
                f"extractor.stage is {self.stage}; it must be 1, 2, 3 or 4"
            )
        check_choice("extractor.structure", self.structure, get_args(Structure))
        check_choice("extractor.pyramid", self.pyramid, get_args(Pyramid))
        check_choice(
            "extractor.fine_tune_from", self.fine_tune_from, get_args(FineTuneFrom)
        )
        check_choice(
            "extractor.frozen_statistics",
            self.frozen_statistics,
            get_args(FrozenStatistics),
        )
        check_choice("extractor.projection", self.projection, get_args(Projection))
        _numbers(self, "extractor", "grid")
        if self.stage is not None and (self.fine_tune_from or "").startswith("conv"):
            assert self.fine_tune_from is not None
            # "conv3_x" is the third group of a ResNet's layers and the output of stage
            # 2, since conv1 comes before the four stages.
            start = int(self.fine_tune_from[4])
            if start - 1 > self.stage:
                raise SettingsError(
                    f"extractor.fine_tune_from={self.fine_tune_from} starts after "
                    f"extractor.stage={self.stage}, the last stage used; "
                    f"say conv{self.stage + 1}_x or earlier, or none"
                )


@dataclass(frozen=True)
class DifferenceSettings:
    """The difference encoder; None is the system's own. (sen: SFE, Eq. (4)-(5), then
    N_e layers of CAGD, Eq. (6)-(14))

    The settings from `reduction` to `self_attention` are SEN's alone. Its four switches
    are on. `norm_groups`, `coordinates` and `map_penalty` are DUDA's.

    Attributes:
        layers: N_e, the number of layers. (sen: 2 of CAGD)
        heads: Attention heads. (sen: 8)
        dropout: Dropout inside the layers. (sen: 0.5)
        position_dropout: Dropout after the positions are added. (sen: 0.1)
        reduction: The channel attention's bottleneck is D / reduction wide. (sen: 16)
        kernel_size: Kernel of SFE's shared convolution, which is at the extractor's
            stride. (sen: 1)
        shared_convolution: SFE's convolution shared by the dates. Off: the channel
            attention looks at F itself.
        channel_attention: SFE's channel attention per date. Off: the embedded image is
            added to F instead. Both off: both dates' features are F (of a dual
            extractor: that date's F).
        cross_attention: CAGD's cross attention per date. Off: the dates' features go on
            as they are.
        self_attention: CAGD's self attention. Off: the difference itself is added to
            the running feature.
        start: How the matrices of MCCFormers, RSICCformers and PSNet start: xavier
            (Xavier-uniform, all of them), or layers (as PyTorch's layers do by
            themselves). (mccformer-s: layers; the others: xavier)
        norm_groups: Groups of the GroupNorm inside the spatial attention; 0: no such
            norm. (duda: 32)
        coordinates: Append the column and the row of each cell, both from -1 to 1, to
            the features. (duda: on)
        map_penalty: What the sum of an attention map adds to the loss is multiplied by
            this. (duda: 0.0025)
    """

    layers: int | None = None
    heads: int | None = None
    dropout: float | None = None
    position_dropout: float | None = None
    reduction: int | None = None
    kernel_size: int | None = None
    shared_convolution: bool | None = None
    channel_attention: bool | None = None
    cross_attention: bool | None = None
    self_attention: bool | None = None
    start: MatrixStart | None = None
    norm_groups: int | None = None
    coordinates: bool | None = None
    map_penalty: float | None = None

    def __post_init__(self) -> None:
        _numbers(self, "difference", "layers", "heads", "reduction", "kernel_size")
        _numbers(self, "difference", "norm_groups")
        check_choice("difference.start", self.start, get_args(MatrixStart))
        check_amount("difference.map_penalty", self.map_penalty, zero=True)
        check_fraction("difference.dropout", self.dropout)
        check_fraction("difference.position_dropout", self.position_dropout)
        # A setting without effect would be reported with a result that it had no part
        # in.
        if self.kernel_size not in (None, 1) and self.shared_convolution is False:
            raise SettingsError(
                f"difference.kernel_size={self.kernel_size} has no effect with "
                "difference.shared_convolution=false; leave one of them out"
            )


@dataclass(frozen=True)
class DecoderSettings:
    """The caption decoder; None is the system's own. (sen: a transformer, Eq.
    (15)-(17))

    Attributes:
        layers: N_d, the number of decoder layers. (sen: 1)
        heads: Attention heads. (sen: 8)
        expansion: The feed-forward network is this many times as wide as the decoder.
            (sen: 4)
        dropout: Dropout inside the layers and before the output. (sen: 0.5)
        position_dropout: Dropout after the positions are added. (sen: 0.1)
        max_words: The longest caption, <start> and <end> not counted.
        words_start: How the word vectors start: uniform (in ±0.1) or normal (N(0, 1)).
            Of DUDA. (duda: normal)
        word_relu: ReLU on the word vectors. Of DUDA. (duda: on)
        seen_dropout: Dropout on v, what was seen of the pair. Of DUDA. (duda: 0.5)
    """

    layers: int | None = None
    heads: int | None = None
    expansion: int | None = None
    dropout: float | None = None
    position_dropout: float | None = None
    max_words: int = 50
    words_start: WordStart | None = None
    word_relu: bool | None = None
    seen_dropout: float | None = None

    def __post_init__(self) -> None:
        check_choice("decoder.words_start", self.words_start, get_args(WordStart))
        check_fraction("decoder.seen_dropout", self.seen_dropout)
        _numbers(self, "decoder", "layers", "heads", "expansion", "max_words")
        check_fraction("decoder.dropout", self.dropout)
        check_fraction("decoder.position_dropout", self.position_dropout)


@dataclass(frozen=True)
class ChangeSettings:
    """Heads on the memory that see change without words; trained beside the decoder,
    never needed.

    Attributes:
        flag: Weight of the loss of the flag head: did the pair change? 0: no such head.
        mask: Weight of the loss of the mask head: what share of each cell of the grid
            is changed building? 0: no such head. Data without masks train without it.
        temperature: What the flag head's logit is divided by before it becomes a
            probability, so that 0.9 means right in nine of ten. Training finds it on
            the selection pairs.
    """

    flag: float = 0.0
    mask: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("flag", "mask"):
            if not 0 <= getattr(self, name) <= LARGEST_HEAD:
                raise SettingsError(
                    f"change.{name} is {getattr(self, name)}; it must be from 0 to "
                    f"{LARGEST_HEAD}"
                )
        if not SMALLEST_TEMPERATURE <= self.temperature <= 1 / SMALLEST_TEMPERATURE:
            raise SettingsError(
                f"change.temperature is {self.temperature}; it must be from "
                f"{SMALLEST_TEMPERATURE} to {1 / SMALLEST_TEMPERATURE:g}"
            )


@dataclass(frozen=True)
class ModelSettings:
    """A whole captioner.

    Attributes:
        system: The system's name, as `sencap info --list-systems` prints them.
        dimension: D, the embedding width shared by the parts; None is the system's own.
            (512 of all)
        size: Side of the square that images are resized to where they differ from it,
            in pixels.
        mean: Mean of R, G, B on the scale 0-1 that both images are normalised with.
        std: Standard deviation of R, G, B on the scale 0-1.
        extractor: The feature extractor.
        difference: The difference encoder.
        decoder: The caption decoder.
        change: Heads that see change without words.
        domain: Keep what the training images look like, so that a pair of another kind
            is told to be one. (off)
    """

    system: str = "sen"
    dimension: int | None = None
    size: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    extractor: ExtractorSettings = field(default_factory=ExtractorSettings)
    difference: DifferenceSettings = field(default_factory=DifferenceSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    change: ChangeSettings = field(default_factory=ChangeSettings)
    domain: bool = False

    def __post_init__(self) -> None:
        _numbers(self, "", "dimension", "size")
        check_normalisation(self.mean, self.std)
        # Where a number is None the system's own counts, which is not known here: what
        # depends on it is checked when the model is built.
        self._check_grid()
        if self.dimension is not None:
            self._check_width(self.dimension)

    def _check_grid(self) -> None:
        """Sizes whose attention takes memory and minutes without bound."""
        if self.size > LARGEST_SIZE:
            raise SettingsError(
                f"size is {self.size}; a model sees at most {LARGEST_SIZE} × "
                f"{LARGEST_SIZE} pixels (the paper's sees 256): cut larger images "
                "into tiles"
            )
        grid = self.extractor.grid
        if grid is not None and grid > LARGEST_GRID:
            raise SettingsError(
                f"extractor.grid is {grid}; it must be at most {LARGEST_GRID}"
            )

    def _check_width(self, dimension: int) -> None:
        # Attention splits the width into equal heads.
        for part in ("difference", "decoder"):
            heads = getattr(self, part).heads
            if heads is not None and dimension % heads:
                raise SettingsError(
                    f"dimension={dimension} cannot be split into "
                    f"{part}.heads={heads} heads; choose a multiple"
                )
        # The sinusoidal positions fill the width with pairs of sine and cosine.
        if dimension % 2:
            raise SettingsError(
                f"dimension={dimension} is odd; positions need an even one"
            )


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
        _numbers(self, "vocabulary", "minimum_count")
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
        _numbers(self, "loading", "batch_size", "workers")
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
        _numbers(self, "optimisation", "epochs", "patience")
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
        _numbers(self, "hardware", "devices", "nodes")


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
        _numbers(self, "", "seed")
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


def as_dict(settings: Any) -> dict[str, Any]:
    """A settings object as plain lists, dicts and numbers, ready for JSON or YAML."""

    def plain(value: Any) -> Any:
        # Tuples become lists, as JSON and YAML would make them.
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    result: dict[str, Any] = plain(dataclasses.asdict(settings))
    return result


def model_from_dict(
    values: dict[str, Any], source: str = "model settings"
) -> ModelSettings:
    """The inverse of `as_dict` for a model; an unknown key fails with the nearest known
    one.

    Raises:
        SettingsError: an unknown key or a wrong value; the message starts with
            ``source``.
    """
    parts = {
        "extractor": ExtractorSettings,
        "difference": DifferenceSettings,
        "decoder": DecoderSettings,
        "change": ChangeSettings,
    }
    try:
        top = _checked(ModelSettings, values, "")
        for name, part in parts.items():
            top[name] = part(**_checked(part, top.get(name, {}), f"{name}."))
        for name in ("mean", "std"):
            # JSON has no tuples.
            if isinstance(top.get(name), list):
                top[name] = tuple(top[name])
        return ModelSettings(**top)
    except SettingsError as error:
        raise SettingsError(f"{source}: {shortened(str(error))}") from error


def _checked(owner: Any, values: Any, prefix: str) -> dict[str, Any]:
    """The values of one settings class, if they are an object, its keys known, and each
    of the right kind."""
    if not isinstance(values, dict):
        what = prefix.removesuffix(".") or "the model"
        raise SettingsError(
            f"{what} is {shown(values)}; it must be an object of settings by name"
        )
    known = {f.name for f in dataclasses.fields(owner)}
    hints = get_type_hints(owner)
    # Every key is looked at before anything is made of it: a wrong type would fail deep
    # inside PyTorch.
    for key, value in values.items():
        if key not in known:
            raise SettingsError(
                f"{prefix}{shortened(key, 60)} is not a setting; {nearest(key, known)}"
            )
        kinds = _kinds(hints[key])
        if kinds and not any(_is(value, kind) for kind in kinds):
            words = " or ".join(_KINDS[kind] for kind in kinds if kind in _KINDS)
            raise SettingsError(f"{prefix}{key} is {shown(value)}; it must be {words}")
    return dict(values)


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _kinds(hint: Any) -> list[Any]:
    """The simple types that a field's annotation allows; none for what is checked
    elsewhere (parts, mean, std)."""
    # The words of a choice are checked by the settings class itself; here it has to be
    # a text.
    if get_origin(hint) is Literal:
        return [str]
    if hint in (*_KINDS, type(None)):
        return [hint]
    if get_origin(hint) is tuple:
        return []
    kinds = []
    # What is left is a choice, such as ``int | None``: a value of any of its types
    # passes.
    for choice in get_args(hint):
        kinds += _kinds(choice)
    return kinds


def _is(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool  # to Python, true is a whole number
    # In JSON and YAML 1 is as good as 1.0.
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)
