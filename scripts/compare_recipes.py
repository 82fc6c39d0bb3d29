"""Train the recipes that were compared for the weights that ship, several seeds each,
side by side.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping
    python scripts/worn_copies.py runs/data/shipping runs/data/worn
    python scripts/compare_recipes.py runs/recipes                      # trains: hours on a CPU
    python scripts/compare_recipes.py runs/recipes --table table.md     # scores what is there

Every recipe is `configs/siamese-best.yaml` with other flags. Runs that are there already
are left as they are, so the first command may be stopped and given again. Each run is
evaluated on the selection pairs (the split val), of which none was trained on, and with
``--test DATA`` on the val and test of DATA too. The table has both. Where a run was
evaluated without Java its captions are scored anew, for METEOR.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pack_runs import pack

CONFIG = "configs/siamese-best.yaml"
DATA, MASKS_ONLY = "runs/data/shipping", "runs/data/views"
# Crops of the views with the captions that were matched to them.
CROPS = "runs/data/crops"
# Compressed and shifted copies of the training pairs.
WORN = "runs/data/worn"
LITE0 = [
    "--extractor.backbone=tf_efficientnet_lite0",
    "--extractor.init=runs/data/efficientnet-lite0.pth",
]
# A backbone that is trained has other features in every epoch.
TUNED = [
    "--optimisation.extractor_learning_rate=1e-4",
    "--loading.features=null",
    "--loading.colour=0.3",
]
# The paper's structure: one stream of both dates, trained whole.
SINGLE_STREAM = [
    *("--system=sen", "--dimension=256", "--extractor.fine_tune_from=conv1", *TUNED),
    *("--extractor.frozen_statistics=fixed", "--extractor.pyramid=none"),
    *("--extractor.grid=null", "--optimisation.epochs=40"),
    *("--difference.dropout=0.3", "--decoder.dropout=0.3"),
]


def mixed(*more: str) -> str:
    """The flag that trains on the captioned pairs and these folders too."""
    return f"--data=[{','.join((DATA, *more))}]"


def of(system: str) -> list[str]:
    """The flags of another system on the same frozen features."""
    return [
        *(f"--system={system}", "--dimension=256"),
        *("--extractor.fine_tune_from=none", "--extractor.frozen_statistics=fixed"),
    ]


# The usual weights: fewer pixels, a smaller backbone, a finer grid.
USUAL = [
    *(*LITE0, "--size=192", "--extractor.stage=3", "--extractor.grid=12"),
    *("--extractor.pyramid=coarser", "--optimisation.epochs=20"),
]
WITH_CROPS = mixed(MASKS_ONLY, CROPS)

RECIPES: dict[str, list[str]] = {
    "the recipe": [],
    "crops of views, 14 epochs": [WITH_CROPS, "--optimisation.epochs=14"],
    "crops of views, 26 epochs": [WITH_CROPS],
    "crops of views, EfficientNet-lite0 at 192 pixels": [*USUAL, WITH_CROPS],
    "SEN single stream trained whole": SINGLE_STREAM,
    "SEN single stream trained whole, crops of views": [
        *(*SINGLE_STREAM, WITH_CROPS, "--optimisation.epochs=10"),
    ],
    "worn copies, 18 epochs": [mixed(MASKS_ONLY, WORN), "--optimisation.epochs=18"],
    "40 epochs": ["--optimisation.epochs=40"],
    "EfficientNet-lite0": LITE0,
    "EfficientNet-lite0 at 192 pixels": USUAL,
    "SEN-dual": [*of("sen-dual"), "--extractor.grid=null"],
    "MCCFormer-S": of("mccformer-s"),
    "MCCFormer-D": of("mccformer-d"),
    "RSICCformer_c": of("rsiccformer-c"),
    "no masks": ["--change.mask=0"],
    "no change heads": ["--change.mask=0", "--change.flag=0"],
    "without pairs that have masks alone": [mixed()],
    "1200 synthetic pairs in the mix": [mixed(MASKS_ONLY, "runs/data/synthetic-1200")],
    "160 pixels": ["--size=160", "--extractor.grid=5"],
    "extractor tuned": ["--extractor.fine_tune_from=conv1", *TUNED],
    "last stage tuned": ["--extractor.fine_tune_from=conv5_x", *TUNED],
    "no pyramid": ["--extractor.pyramid=none"],
    "changed pairs reversed (0.15)": ["--loading.reverse=0.15"],
    "more dropout": ["--difference.dropout=0.4", "--decoder.dropout=0.5"],
}


def folder(out: Path, recipe: str, seed: int) -> Path:
    name = "".join(letter if letter.isalnum() else "-" for letter in recipe.lower())
    return out / f"{name.strip('-')}-{seed}"


def sencap(*words: str) -> str:
    """Run a verb; returns what went wrong, empty if nothing did."""
    command = [sys.executable, "-m", "sencap", *words]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout + told.stderr if told.returncode else ""


def evaluate(run: Path, name: str, data: str, split: str) -> str:
    return sencap(
        "evaluate",
        f"--weights={run / 'best'}",
        f"--data={data}",
        f"--split={split}",
        f"--json={run / name}.json",
    )


def train(out: Path, recipe: str, seed: int, more: list[str], asked: Any) -> str:
    """Train and evaluate one run; returns a line about it."""
    run = folder(out, recipe, seed)
    if (run / "done").is_file():
        return f"{run.name}: was there"
    if time.time() > asked.deadline:
        return f"{run.name}: left out, no time"
    began = time.time()
    settings = [f"--config={CONFIG}", *RECIPES[recipe], *more]
    wrong = sencap(
        "train", *settings, f"--out={run}", f"--seed={seed}", "--progress=false"
    )
    seconds = time.time() - began
    wrong = wrong or evaluate(run, "selection", DATA, "val")
    if asked.test and not wrong:
        wrong = evaluate(run, "test", asked.test, "val+test")
    run.mkdir(parents=True, exist_ok=True)
    if wrong:
        (run / "log.txt").write_text(wrong, encoding="utf-8")
        return f"{run.name}: FAILED: {wrong[-300:]}"
    (run / "done").write_text(f"{seconds:.0f}\n", encoding="utf-8")
    if asked.results is not None:
        pack(run, asked.results)
    return f"{run.name}: {seconds:.0f} s"


def scored(run: Path, name: str, data: str, split: str) -> dict[str, float] | None:
    """The scores of a run's report; None where it was not evaluated so."""
    path = run / f"{name}.json"
    if not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    right = report["change_accuracy"]
    if report["ids"]["all"]["S*m"] is None:
        report = with_meteor(run, name, report, data, split)
    scores = report["ids"]
    return {
        "S*m": scores["all"]["S*m"],
        "changed apart": scores["changed"]["S*m"],
        "told right": right,
        "captions": report["diversity"]["different"],
    }


def with_meteor(
    run: Path, name: str, report: dict[str, Any], data: str, split: str
) -> dict[str, Any]:
    """The report of the same captions, scored where there is Java."""
    path = run / f"{name}-scored.json"
    if not path.is_file():
        captions = {pair["filename"]: pair["hypothesis"] for pair in report["pairs"]}
        file = run / f"{name}-captions.json"
        file.write_text(json.dumps(captions), encoding="utf-8")
        vocabulary = f"--vocabulary={run / 'best'}"
        told = sencap(
            *("score", str(file), f"--data={data}", f"--split={split}"),
            *(vocabulary, f"--json={path}"),
        )
        assert not told, told
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# The columns of the table: what they are called, and their digits.
COLUMNS = {"S*m": 1, "changed apart": 1, "told right": 3, "captions": 0}


def cells(found: list[dict[str, float]]) -> list[str]:
    """Mean and range of some runs' scores, a cell for each column."""
    written = []
    for name, digits in COLUMNS.items():
        values = [scores[name] for scores in found]
        mean, least, most = statistics.mean(values), min(values), max(values)
        cell = f"{mean:.{digits}f}"
        if len(values) > 1:
            cell += f" ({least:.{digits}f}–{most:.{digits}f})"
        written.append(cell)
    return written


def table(out: Path, seeds: list[int], name: str, data: str, split: str) -> str:
    """The runs that are there, as Markdown."""
    titles = ["recipe", "runs", "S\\*m", *list(COLUMNS)[1:-1], "different captions"]
    lines = ["| " + " | ".join(titles) + " |", "|---|---:|---:|---:|---:|---:|"]
    for recipe in RECIPES:
        runs = [folder(out, recipe, seed) for seed in seeds]
        scores = [
            scored(run, name, data, split) for run in runs if (run / "done").is_file()
        ]
        found = [one for one in scores if one is not None]
        if found:
            row = [recipe, str(len(found)), *cells(found)]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--at-once", type=int, default=1, help="runs side by side")
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="begin no run after so many"
    )
    parser.add_argument(
        "--only", default=";".join(RECIPES), help="recipes, joined by semicolons"
    )
    parser.add_argument("--test", help="evaluate on the val and test of this data too")
    parser.add_argument("--results", type=Path, help="pack each run into this folder")
    parser.add_argument("--table", type=Path, help="write the table of what is there")
    asked, more = parser.parse_known_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    if asked.table is not None:
        text = table(asked.out, seeds, "selection", DATA, "val")
        if asked.test:
            text += "\n" + table(asked.out, seeds, "test", asked.test, "val+test")
        asked.table.write_text(text, encoding="utf-8")
        return
    asked.deadline = time.time() + asked.seconds
    names = asked.only.split(";")
    recipes = [recipe for recipe in RECIPES if recipe in names]
    # Seed by seed, so that every recipe has a run before any has two.
    jobs = [(recipe, seed) for seed in seeds for recipe in recipes]
    with ThreadPoolExecutor(asked.at_once) as pool:
        waiting = [
            pool.submit(train, asked.out, recipe, seed, more, asked)
            for recipe, seed in jobs
        ]
        for job in waiting:
            print(job.result(), flush=True)


if __name__ == "__main__":
    main()
