"""`sencap reproduce`: a table or figure of the paper."""

from __future__ import annotations

import sys
from typing import Literal

from sencap.config import HardwareSettings
from sencap.errors import SettingsError
from sencap.json_files import shown


def command(
    name: str,
    *,
    data: str,
    out: str = "runs/reproduce",
    scale: Literal["paper", "medium", "small", "smoke"] = "small",
    test_data: str | None = None,
    split: str = "test",
    places: str | None = None,
    imagenet: str | None = None,
    seco: str | None = None,
    init: str | None = None,
    captions: str | None = None,
    seeds: str | None = None,
    pairs: str | None = None,
    workers: int = 0,
    hardware: HardwareSettings = HardwareSettings(),  # noqa: B008  (frozen)
    dry_run: bool = False,
    quiet: bool = False,
) -> str:
    """Run a table or figure of the paper on your data, and render it with the paper's
    figures beside yours.

    Input: captioned pairs, and what the table's rows start from. Output: OUT/NAME.md
    and OUT/NAME.json, written anew after every run, and OUT/NAME.png of a figure; the
    runs themselves under OUT/training and OUT/pretraining, shared by all tables and
    figures. A command that was stopped or killed goes on when it is given again. The
    plan is shown first. The same command given in several shells shares the runs out:
    one to a GPU (CUDA_VISIBLE_DEVICES) or to a CPU core (OMP_NUM_THREADS=1).

    Args:
        name: table1 to table10, fig3 to fig6, or starts (Table II, and pre-training
            that starts from ImageNet).
        data: The folder of captioned pairs: train, val for selection, test.
        out: The folder of all runs and tables of one kind of data and one scale.
        scale: paper: its recipe; small: EfficientNet-lite0 at 96 pixels, 8 epochs, for
            a CPU; medium: the same with 40 epochs, for a night of it; smoke: does it
            run.
        test_data: Another folder whose pairs are scored.
        split: The split that is scored; several are joined by a plus sign: val+test.
        places: Dated images of places for pre-training (see docs/seasons.md): Tables
            II, III, VII and VIII, and at the paper's scale every other.
        imagenet: ImageNet weights: a file, a folder of one file per backbone
            (resnet101.pth), or timm for its own.
        seco: SeCo's published weights, the first row of Table III, which is left out
            without them.
        init: Weights that the extractor starts from in the tables that are not about it
            (default: the scale's). Table IV needs those of a network of 3 channels.
        captions: The captions whose words are known (default: those of data).
        seeds: Seeds joined by commas, instead of the scale's: 1,2,3.
        pairs: File names of the pairs that Fig. 3, 4 and 5 show, joined by commas
            (default: three changed and one unchanged, evenly spread over the split).
        workers: Loading processes of each run.
        hardware: Where it runs: one device.
        dry_run: Show the plan only.
        quiet: No progress bars.
    """
    from sencap.environment import check_hardware
    from sencap.files import check_inputs, check_output_folder
    from sencap.reproduce.experiments import experiment_named
    from sencap.reproduce.options import Options

    experiment = experiment_named(name)
    options = Options(
        data=data,
        out=out,
        scale=scale,
        test_data=test_data,
        split=split,
        places=places,
        imagenet=imagenet,
        seco=seco,
        init=init,
        captions=captions,
        seeds=_whole_numbers(seeds),
        pairs=() if pairs is None else tuple(pairs.split(",")),
        workers=workers,
        hardware=hardware,
        progress=not quiet,
    )
    check_output_folder("out", out)
    check_hardware(hardware)
    weights = {"imagenet": imagenet, "seco": seco, "init": init}
    check_inputs(
        {
            "data": data,
            "test_data": test_data,
            "places": places,
            "captions": captions,
            **weights,
        }
    )
    # only now what loads PyTorch
    from sencap.reproduce.estimate import describe_plan
    from sencap.reproduce.plan import check_starts, plan
    from sencap.reproduce.run import reproduce

    trainings = plan(experiment, options)
    planned = describe_plan(trainings, options)
    if dry_run:
        check_starts(trainings)
        return planned
    sys.stderr.write(planned + "\n")
    return reproduce(name, options).read_text(encoding="utf-8")


def _whole_numbers(seeds: str | None) -> tuple[int, ...]:
    """The seeds of a text like 1,2,3; none of None, which is the scale's."""
    if seeds is None:
        return ()
    try:
        return tuple(int(text) for text in seeds.split(","))
    except ValueError as error:  # of a number with thousands of digits too
        raise SettingsError(
            f"seeds={shown(seeds)} are not whole numbers joined by commas, like 1,2,3"
        ) from error
