"""Train the recipes that were compared for the weights that ship, several seeds each,
side by side.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping
    python scripts/compare_recipes.py runs/recipes                      # trains: hours on a CPU
    python scripts/compare_recipes.py runs/recipes --table table.md     # scores what is there

Every recipe is `configs/siamese.yaml` with other flags. Runs that are there already are
left as they are, so the first command may be stopped and given again. The table scores
every run on the selection pairs (the split val), of which none was trained on.
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

CONFIG = "configs/siamese.yaml"
DATA, MASKS_ONLY, SYNTHETIC = (
    "runs/data/shipping",
    "runs/data/views",
    "runs/data/synthetic",
)
LITE2 = [
    "--extractor.backbone=tf_efficientnet_lite2",
    "--extractor.init=runs/data/efficientnet-lite2.pth",
]
TUNED = [
    "--extractor.fine_tune_from=conv1",
    "--optimisation.extractor_learning_rate=1e-4",
    "--loading.features=null",
    "--loading.colour=0.3",
]
# the paper's structure: one stream, trained whole
SINGLE_STREAM = [
    *(
        "--system=sen",
        "--dimension=256",
        *TUNED,
        "--extractor.frozen_statistics=fixed",
        "--extractor.grid=null",
    ),
    *("--extractor.stage=4", "--extractor.pyramid=none", "--optimisation.epochs=40"),
    *("--difference.dropout=0.3", "--decoder.dropout=0.3"),
]

RECIPES: dict[str, list[str]] = {
    "the recipe": [],
    "grid 6 (finer pyramid)": [
        *("--extractor.stage=4", "--extractor.grid=6", "--extractor.pyramid=finer"),
    ],
    "no masks": ["--change.mask=0"],
    "without pairs that have masks alone": [f"--data={DATA}"],
    "160 pixels": ["--size=160", "--extractor.grid=10"],
    "EfficientNet-lite2": LITE2,
    "SEN single stream trained whole": SINGLE_STREAM,
    "changed pairs reversed (0.15)": ["--loading.reverse=0.15"],
    "40 epochs": ["--optimisation.epochs=40"],
    "12 epochs": ["--optimisation.epochs=12"],
    "more dropout": ["--difference.dropout=0.4", "--decoder.dropout=0.5"],
    "synthetic pairs in the mix": [f"--data=[{DATA},{MASKS_ONLY},{SYNTHETIC}]"],
    "extractor tuned": TUNED,
    "no change heads": ["--change.mask=0", "--change.flag=0"],
    "MCCFormer-S": ["--system=mccformer-s", "--dimension=256"],
    "RSICCformer_c": ["--system=rsiccformer-c", "--dimension=256"],
}


def folder(out: Path, recipe: str, seed: int) -> Path:
    name = "".join(letter if letter.isalnum() else "-" for letter in recipe.lower())
    return out / f"{name.strip('-')}-{seed}"


def train(out: Path, recipe: str, seed: int, more: list[str], deadline: float) -> str:
    run = folder(out, recipe, seed)
    if (run / "done").is_file():
        return f"{run.name}: was there"
    if time.time() > deadline:
        return f"{run.name}: left out, no time"
    began = time.time()
    command = [sys.executable, "-m", "sencap", "train", f"--config={CONFIG}"]
    flags = [
        *RECIPES[recipe],
        *more,
        f"--out={run}",
        f"--seed={seed}",
        "--progress=false",
    ]
    told = subprocess.run(
        [*command, *flags], capture_output=True, text=True, check=False
    )
    run.mkdir(parents=True, exist_ok=True)
    (run / "log.txt").write_text(told.stdout + told.stderr, encoding="utf-8")
    if told.returncode:
        return f"{run.name}: FAILED: {told.stderr[-300:]}"
    (run / "done").write_text(f"{time.time() - began:.0f}\n", encoding="utf-8")
    return f"{run.name}: {time.time() - began:.0f} s"


def score(run: Path) -> dict[str, float]:
    report = run / "selection.json"
    if not report.is_file():
        command = [
            sys.executable,
            "-m",
            "sencap",
            "evaluate",
            f"--weights={run / 'best'}",
        ]
        flags = [f"--data={DATA}", "--split=val", f"--json={report}"]
        subprocess.run([*command, *flags], check=True, capture_output=True)
    content = json.loads(report.read_text(encoding="utf-8"))
    scores = content["ids"]
    return {
        "S*m": scores["all"]["S*m"],
        "changed apart": scores["changed"]["S*m"],
        "told right": content["change_accuracy"],
    }


def table(out: Path, seeds: list[int]) -> str:
    lines = [
        "| recipe | runs | S\\*m | changed apart | told right |",
        "|---|---|---|---|---|",
    ]
    for recipe in RECIPES:
        runs = [folder(out, recipe, seed) for seed in seeds]
        found = [score(run) for run in runs if (run / "done").is_file()]
        if not found:
            continue
        cells = [recipe, str(len(found))]
        for name, digits in (("S*m", 1), ("changed apart", 1), ("told right", 3)):
            values = [scores[name] for scores in found]
            least, most = min(values), max(values)
            cells.append(
                f"{statistics.mean(values):.{digits}f} "
                f"({least:.{digits}f}–{most:.{digits}f})"
            )
        lines.append("| " + " | ".join(cells) + " |")
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
        "--only", default=",".join(RECIPES), help="recipes, joined by commas"
    )
    parser.add_argument("--table", type=Path, help="write the table of what is there")
    asked, more = parser.parse_known_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    if asked.table is not None:
        asked.table.write_text(table(asked.out, seeds), encoding="utf-8")
        return
    deadline = time.time() + asked.seconds
    recipes = [recipe for recipe in RECIPES if recipe in asked.only.split(",")]
    # seed by seed, so that every recipe has a run before any has two
    jobs = [(recipe, seed) for seed in seeds for recipe in recipes]
    with ThreadPoolExecutor(asked.at_once) as pool:
        waiting = [
            pool.submit(train, asked.out, recipe, seed, more, deadline)
            for recipe, seed in jobs
        ]
        for job in waiting:
            print(job.result(), flush=True)


if __name__ == "__main__":
    main()
