"""The settings of a pre-training run: typed, checked at birth, torch-free; the paper's
recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from sencap.bounds import (
    check_amount,
    check_choice,
    check_fraction,
    check_number,
    check_numbers,
)
from sencap.config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    HardwareSettings,
    check_backbone_name,
    check_normalisation,
)
from sencap.errors import SettingsError

Method = Literal["moco-6c", "moco-3c", "seco"]
Order = Literal["ordered", "unordered"]
SeasonUse = Literal["augment", "random"]
Colour = Literal["shared", "per-date"]

# Images in one input of the network, and embedding sub-spaces.
DATES_PER_INPUT: dict[Method, int] = {"moco-6c": 2, "moco-3c": 1, "seco": 1}
SPACES: dict[Method, int] = {"moco-6c": 1, "moco-3c": 1, "seco": 3}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _probability(owner: str, name: str, value: float) -> None:
    _require(0 <= value <= 1, f"{owner}.{name} is {value}; it must be in [0, 1]")


@dataclass(frozen=True)
class ViewSettings:
    """Γ, the random changes of a view. The geometry is always one draw for both dates
    of an input.

    Attributes:
        crop: Side of the square view in pixels.
        smallest: The smallest area of the random crop, as a share of the image.
        colour: Whether brightness, contrast, grey and blur are one draw for both dates
            of an input (shared) or one for each (per-date).
        brightness: Brightness is multiplied by 1 ± this.
        contrast: Contrast about each channel's mean is multiplied by 1 ± this.
        colour_probability: How often brightness and contrast are changed.
        grey_probability: How often a view loses its colours.
        blur_probability: How often a view is blurred.
        blur: The range of the blur's σ, in pixels of the view.
        flip_probability: How often a view is mirrored left to right, and how often top
            to bottom.
    """

    crop: int = 224
    smallest: float = 0.2
    colour: Colour = "shared"
    brightness: float = 0.4
    contrast: float = 0.4
    colour_probability: float = 0.8
    grey_probability: float = 0.2
    blur_probability: float = 0.5
    blur: tuple[float, float] = (0.1, 2.0)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        check_number("views.crop", self.crop)
        _require(
            0 < self.smallest <= 1,
            f"views.smallest is {self.smallest}; it must be in (0, 1]",
        )
        check_choice("views.colour", self.colour, get_args(Colour))
        for name in (
            "brightness",
            "contrast",
            "colour_probability",
            "grey_probability",
            "blur_probability",
        ):
            _probability("views", name, getattr(self, name))
        _probability("views", "flip_probability", self.flip_probability)
        low, high = self.blur
        _require(
            0 < low <= high,
            f"views.blur is {self.blur}; it must be two numbers above 0, in order",
        )


@dataclass(frozen=True)
class ContrastSettings:
    """Momentum contrast, Eq. (1).

    Attributes:
        queue: Keys of earlier batches that serve as negatives.
        dimension: Width of an embedding.
        momentum: Share of its weights that the key encoder keeps in a step.
        temperature: The similarities are divided by this.
        groups: Parts of a process's batch that BatchNorm normalises apart; the keys are
            dealt out to them in a random order, so that a place's statistics do not
            give it away (1: off).
        mask_own: Leave out of a place's negatives the older keys of the place itself.
            Off in the paper's recipe, where the queue is a quarter of the places;
            wanted where the queue is longer than an epoch.
    """

    queue: int = 65_536
    dimension: int = 128
    momentum: float = 0.999
    temperature: float = 0.2
    groups: int = 4
    mask_own: bool = False

    def __post_init__(self) -> None:
        for name in ("queue", "dimension", "groups"):
            check_number(f"contrast.{name}", getattr(self, name))
        check_fraction("contrast.momentum", self.momentum)
        check_amount("contrast.temperature", self.temperature)


@dataclass(frozen=True)
class SgdSettings:
    """SGD with a cosine over the epochs, as MoCo-v2 has it.

    Attributes:
        epochs: Passes over the places.
        batch_size: Places in a batch, over all devices.
        learning_rate: The learning rate of the first epoch; it is used as given, for
            any batch size.
        momentum: SGD's momentum.
        weight_decay: Weight decay of every parameter.
    """

    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 0.03
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        check_number("optimisation.epochs", self.epochs)
        check_number("optimisation.batch_size", self.batch_size)
        _require(
            self.batch_size > 1,
            "optimisation.batch_size is 1; a place needs others to be told from",
        )
        check_amount("optimisation.learning_rate", self.learning_rate)
        check_fraction("optimisation.momentum", self.momentum)
        check_amount("optimisation.weight_decay", self.weight_decay, zero=True)


@dataclass(frozen=True)
class WatchSettings:
    """How a run is watched without labels.

    Attributes:
        held_out: Places that are not trained on: in them, recall@1 and spread are
            measured (0: none; nothing given: a tenth of the places, at most 1000).
        every: Epochs between two measurements; before the first and after the last
            there is always one.
    """

    held_out: int | None = None
    every: int = 5

    def __post_init__(self) -> None:
        if self.held_out is not None:
            check_number("watch.held_out", self.held_out)
            _require(
                self.held_out != 1,
                "watch.held_out is 1; a place cannot be found again among itself",
            )
        check_number("watch.every", self.every)


@dataclass(frozen=True)
class PretrainingSettings:
    """One pre-training run: everything that decides its result, and where it goes.

    Attributes:
        data: Dated images of places: a folder or a packed file, as
            `sencap.places.open_places` takes it.
        out: Folder for logs, the resume file, the watching figures and the backbone.
        kind: What `data` is; auto: recognised by its content.
        method: moco-6c: two dates of a place in one input (SEN's); moco-3c: one date;
            seco: seasonal contrast, three sub-spaces, one date.
        order: Combinations of two dates i, j (moco-6c): ordered (i not after j) or
            unordered (any).
        season: augment: query and key draw their dates independently; random: one draw
            for both.
        backbone: Any timm model with a feature map, by timm's name.
        init: Weights the backbone starts from (a path), or nothing for random ones.
        mean: Mean of R, G, B on the scale 0-1; the same for each date.
        std: Standard deviation of R, G, B on the scale 0-1.
        views: Γ.
        contrast: Queue, momentum encoder and loss.
        optimisation: The optimiser and its schedule.
        watch: How the run is watched.
        workers: Processes that read images.
        checkpoint_every: Epochs between two backbones that are kept in `out` as
            epoch-NNNN (0: none).
        hardware: Where it runs.
        seed: Seed of everything random.
        resume: Go on from the resume file in `out` if there is one (off: refuse a
            folder that has one).
        progress: Show progress bars.
    """

    data: str
    out: str
    kind: str = "auto"
    method: Method = "moco-6c"
    order: Order = "ordered"
    season: SeasonUse = "augment"
    backbone: str = "resnet50"
    init: str | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    views: ViewSettings = field(default_factory=ViewSettings)
    contrast: ContrastSettings = field(default_factory=ContrastSettings)
    optimisation: SgdSettings = field(default_factory=SgdSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    workers: int = 0
    checkpoint_every: int = 50
    hardware: HardwareSettings = field(default_factory=HardwareSettings)
    seed: int = 42
    resume: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        _require(bool(self.data), "data is empty; name the dated images of places")
        for name, kind in (("method", Method), ("order", Order), ("season", SeasonUse)):
            check_choice(name, getattr(self, name), get_args(kind))
        self._check_method()
        check_backbone_name("backbone", self.backbone)
        check_normalisation(self.mean, self.std)
        check_numbers(
            workers=self.workers, checkpoint_every=self.checkpoint_every, seed=self.seed
        )
        # What one setting cannot see of another.
        batch, queue = self.optimisation.batch_size, self.contrast.queue
        _require(
            batch <= queue,
            f"optimisation.batch_size={batch} does not fit into "
            f"contrast.queue={queue}; a batch's keys would push each other out",
        )
        processes = self.hardware.devices * self.hardware.nodes
        _require(
            batch % processes == 0,
            f"optimisation.batch_size={batch} cannot be shared out evenly among "
            f"hardware.devices × hardware.nodes = {processes} processes; choose a "
            "multiple",
        )

    # A setting without effect is refused: whoever gave it expects one.
    def _check_method(self) -> None:
        one_date = DATES_PER_INPUT[self.method] == 1
        _require(
            not (one_date and self.order == "unordered"),
            f"order=unordered has no effect with method={self.method}, whose inputs "
            "show one date; leave it out, or say method=moco-6c",
        )
        _require(
            not (one_date and self.views.colour == "per-date"),
            f"views.colour=per-date has no effect with method={self.method}, whose "
            "inputs show one date; leave it out, or say method=moco-6c",
        )
        _require(
            not (self.method == "seco" and self.season == "random"),
            "season=random has no effect with method=seco, which says itself what "
            "date each view shows; leave it out, or say method=moco-3c",
        )
