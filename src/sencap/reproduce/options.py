"""Where and how an experiment is run. Nothing heavy is imported, so that what is wrong
is refused at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sencap.bounds import check_number
from sencap.config import HardwareSettings, Split
from sencap.errors import SettingsError
from sencap.reproduce.scales import RunScale, scale_named


@dataclass(frozen=True)
class Options:
    """Where and how an experiment is run.

    data: a folder of captioned pairs. out: the folder of all runs and tables; use one
    for all experiments. scale: paper, medium, small or smoke. test_data, split: the
    pairs that are scored (data's test split). places: dated images for pre-training.
    imagenet: ImageNet weights: a file, a folder of one file per backbone
    (``resnet101.pth``), or ``timm``. seco: SeCo's published weights, of Table III.
    init: weights that every extractor starts from in the tables that are not about it
    (else: the scale's default). captions: the captions whose words are known. seeds:
    instead of the scale's. pairs: the file names of the pairs that Fig. 3, 4 and 5
    show. workers: loading processes. hardware: one device; see `reproduce` for several.

    Raises:
        SettingsError: an unknown scale or split, more than one device, an empty text,
            or a seed that is none, or twice the same.
    """

    data: str
    out: str
    scale: str = "small"
    test_data: str | None = None
    split: str = "test"
    places: str | None = None
    imagenet: str | None = None
    seco: str | None = None
    init: str | None = None
    captions: str | None = None
    seeds: tuple[int, ...] = ()
    pairs: tuple[str, ...] = ()
    hardware: HardwareSettings = dataclasses.field(default_factory=HardwareSettings)
    workers: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        scale_named(self.scale)
        for name in (
            "data",
            "out",
            "test_data",
            "places",
            "imagenet",
            "seco",
            "init",
            "captions",
        ):
            # An empty text would be taken for the current folder, or for no value.
            if getattr(self, name) == "":
                raise SettingsError(f"{name} is empty; give a value, or leave it out")
        check_number("workers", self.workers)
        for seed in self.seeds:
            check_number("seeds", seed)
        if len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(
                f"seeds={','.join(map(str, self.seeds))}: one comes twice; a run of "
                "it is the same run"
            )
        # A run over several devices would be another run: its batches are shared out.
        if self.hardware.devices * self.hardware.nodes != 1:
            raise SettingsError(
                f"hardware.devices={self.hardware.devices}, "
                f"nodes={self.hardware.nodes}: each run of an experiment has one "
                "device; give the same command once per device "
                "(CUDA_VISIBLE_DEVICES=0, =1, …), and they share the runs out"
            )
        known: tuple[Split, ...] = ("train", "val", "test")
        for name in self.splits:
            if name not in known:
                raise SettingsError(
                    f"split={self.split}: {name!r} is none of {', '.join(known)}"
                )

    @property
    def splits(self) -> list[str]:
        """The splits that are scored."""
        return self.split.split("+")

    @property
    def chosen(self) -> RunScale:
        """The scale itself."""
        return scale_named(self.scale)
