"""What the tests of the site's commands know of single commands: which are not run, and
why, and which flags make the others small enough for a test."""

from __future__ import annotations

import re
import shutil

import torch

# What begins so is given to its parser only. The reason stands behind it.
NOT_RUN = {
    "sencap reproduce table1 --scale paper": (
        "weeks, and timm fetches its weights from a network; tests/reproduce runs every "
        "table"
    ),
    "sencap archive LIST.parquet -o OUT --address": "needs the cluster before it",
    "ray": "starts a cluster that outlives the command, for machines beside this one",
    "srun": "needs Slurm",
    "torchrun": "needs two machines",
    "docker": "needs a container engine; tests/serving checks the files",
    "pip": "needs a network; tests/site/test_package.py installs",
    "make": "is what CI runs",
    "git": "is what a release does",
    "mkdocs": "tests/site/test_build.py builds the site",
    "jupyter": "opens a browser; tests/site/test_notebook.py runs the notebook",
    "python -m build": "tests/site/test_package.py does it",
    "python scripts/match_views.py": (
        "needs views that may not be passed on; tests/scripts runs it on drawn ones"
    ),
}
GPUS = re.compile(r"accelerator gpu|--device cuda")
# Commands that need a program beside sencap.
NEEDED = {
    "sencap export": "java",
    "sencap caption before.png after.png --weights CHECKPOINT --precision int8": "java",
    "python benchmarks/pairs_and_seeds.py --captions": "java",
    "python scripts/compare_recipes.py": "java",
    "openssl": "openssl",
    "curl": "curl",
}
FOUND = {name: shutil.which(name) for name in {*NEEDED.values()}}

# A network of a few thousand weights, which sees 64 pixels, for one epoch.
TINY = (
    "--dimension 32 --size 64 --extractor.backbone test_resnet --extractor.stage 4 "
    "--difference.layers 1 --difference.heads 4 --decoder.heads 4 "
    "--decoder.max_words 20 --vocabulary.minimum_count 1 --optimisation.epochs 1 "
    "--loading.workers 0 "
    "--progress false"
)
TINY_SIAMESE = (
    "--dimension 32 --size 64 --extractor.backbone test_efficientnet "
    "--extractor.grid 2 --difference.layers 1 --difference.heads 4 --decoder.heads 4 "
    "--decoder.max_words 20 --vocabulary.minimum_count 1 --optimisation.epochs 1 "
    "--progress false"
)
TINY_PRETRAINING = (
    "--backbone test_resnet --views.crop 32 --contrast.queue 16 "
    "--contrast.dimension 8 --contrast.groups 1 --contrast.mask_own true "
    "--optimisation.epochs 1 --optimisation.batch_size 4 --watch.held_out 0 --workers 0"
)
# Flags put behind a command that begins so, the first that fits: of two that
# contradict each other, the later counts.
SMALLER = {
    "sencap train --config configs/ten-pairs.yaml": "--optimisation.epochs 1",
    "sencap train --system siamese": TINY_SIAMESE,
    "sencap train --data DATA --out OUT --system mccformer-d": (
        f"{TINY} --extractor.grid 2"
    ),
    "sencap train": TINY,
    "sencap pretrain --data synthetic:12": "",
    "sencap pretrain": TINY_PRETRAINING,
    "sencap reproduce table5 --data drawn --scale smoke": "",
    "sencap reproduce": "--scale smoke",
    "sencap bench": "--rounds 1 --batches 1 --threads 1",
    "sencap compare": "--resamples 200",
    "sencap synth": "--workers 1",
    # the reports here were made without Java, which S*m needs
    "python benchmarks/pairs_and_seeds.py --system": "--resamples 100 --metric CIDEr",
    "python benchmarks/pairs_and_seeds.py": "--resamples 100 --trials 2",
    "python benchmarks/scene.py": "--pixels 512",
    "python benchmarks/search.py": "--ways 3:0 10:1 --rounds 1",
    "python scripts/compare_recipes.py": (
        f"--only 'the recipe' --seeds 1 {TINY_SIAMESE} --size 64 --extractor.init null"
    ),
    "python benchmarks/pretraining.py": "--crop 64 --batch 4 --rounds 1",
}
# Words of a command that others stand for.
FEWER = {
    "--pairs 1000": "--pairs 12",
    "--pairs 800": "--pairs 16",
    "--pairs 600": "--pairs 12",
    "--pairs 300": "--pairs 10",
    "--seeds 1 2 3": "--seeds 1 --epochs 1 --starts 'as published'",
    "--seeds 1 2": "--seeds 1 --epochs 1 --starts 'as published'",
    "--pixels 10000": "--pixels 600",
    "synthetic:1000": "synthetic:4",
    "synthetic:800": "synthetic:8",
    "synthetic:60": "synthetic:8",
    "--size 192": "--size 64",
    "runs/places-real --size 256": "runs/places-real --size 64",
    "--size 264 --stride 132": "--size 64 --stride 32",
    "--systems sen,rsiccformer-c,mccformer-s,mccformer-d": "--systems sen",
    # of DUDA's trial, which is of one backbone
    "--imagenet runs/data/efficientnet-lite0.pth --captions runs": (
        "--imagenet runs/data/lite0.pth --captions runs"
    ),
    # that of the smaller backbone
    "--imagenet runs/data/efficientnet-lite0.pth": "--imagenet runs/data/resnet.pth",
}


def plain(command: str) -> str:
    """A command without settings of its environment before it (``A=1 …``)."""
    return re.sub(r"^([A-Z_]+=\S+ )+", "", command)


def reason(command: str) -> str | None:
    """Why a command is not run on any machine; None if it is."""
    words = plain(command)
    return next((why for like, why in NOT_RUN.items() if words.startswith(like)), None)


def missing(command: str) -> str | None:
    """What this machine lacks for a command; None if nothing."""
    devices = re.search(r"--hardware\.devices (\d+)", command)
    wanted = int(devices[1]) if devices else 1
    if GPUS.search(command) and torch.cuda.device_count() < wanted:
        return f"needs {wanted} GPUs"
    for like, name in NEEDED.items():
        if command.startswith(like) and FOUND[name] is None:
            return f"needs {name}"
    return None


def made_smaller(command: str) -> str:
    """The command as the page says it, with sizes that take a second."""
    for long, short in FEWER.items():
        command = command.replace(long, short)
    words = plain(command)
    flags = next((f for like, f in SMALLER.items() if words.startswith(like)), "")
    if " > " in command:
        assert not flags, command
        return command
    return f"{command} {flags}".strip()
