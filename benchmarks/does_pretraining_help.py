"""Does contrastive pre-training help? The same captioner from several starts, several seeds each, on one data set.

    python benchmarks/does_pretraining_help.py runs/help/real --data runs/data/levir_cc_selection \\
        --test ../shared/data/levir_cc --split val+test --start Random --start ImageNet=runs/efficientnet-lite0.pth \\
        --start 3C=runs/help/moco-3c/backbone --start 6C=runs/help/moco-6c/backbone --seeds 1 2 3

Writes OUT/<start>/seed-<n>/ (the training run and report.json), and OUT/table.json and OUT/table.md, anew after each
run. What is finished is not run again; a run that was cut off goes on. Settings: `SETTINGS`, the same for all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    HardwareSettings,
    LoadingSettings,
    OptimisationSettings,
    TrainingSettings,
    VocabularySettings,
)
from sencap.environment import environment
from sencap.training.fit import fit
from sencap.verbs.evaluate import evaluate

METRICS = ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m")
HALF = (0.5, 0.5, 0.5)


def settings(
    data: str, *, out: Path, init: str | None, seed: int, epochs: int, captions: str | None
) -> TrainingSettings:
    """What every run shares; only the start and the seed differ."""
    return TrainingSettings(
        data=data,
        out=str(out),
        dimension=256,
        size=96,
        mean=HALF,
        std=HALF,
        extractor=ExtractorSettings(backbone="tf_efficientnet_lite0", fine_tune_from="conv1", init=init),
        difference=DifferenceSettings(dropout=0.3),
        decoder=DecoderSettings(dropout=0.3),
        vocabulary=VocabularySettings(captions=captions),
        loading=LoadingSettings(batch_size=40, one_pass=True, cache=True, colour=0.5, geometry=True),
        optimisation=OptimisationSettings(
            epochs=epochs, learning_rate=5e-4, weight_decay=0.05, schedule="cosine", average=0.98
        ),
        hardware=HardwareSettings(accelerator="cpu"),
        seed=seed,
        progress=False,
    )


def summary(values: list[float]) -> dict[str, float]:
    """Mean and the sample's standard deviation (0 for one value)."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": deviation}


def tabulate(out: Path, starts: dict[str, str | None], seeds: list[int]) -> None:
    """OUT/table.json and OUT/table.md from the reports that are there."""
    rows: dict[str, Any] = {}
    for name in starts:
        files = [out / name / f"seed-{seed}" / "report.json" for seed in seeds]
        reports = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        if not reports:
            continue
        rows[name] = {metric: summary([r["ids"]["all"][metric] for r in reports]) for metric in METRICS}
        rows[name]["change accuracy"] = summary([r["change_accuracy"] for r in reports])
        rows[name]["seeds"] = len(reports)
        last = reports[-1]
    table = {"rows": rows, "reference_rows": last["reference_rows"], "environment": environment()}
    (out / "table.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    lines = [f"| start | seeds | {' | '.join(METRICS)} | change accuracy |", "|---" * 8 + "|"]
    for name, row in rows.items():
        cells = [f"{row[m]['mean']:.2f} ± {row[m]['std']:.2f}" for m in METRICS]
        accuracy = row["change accuracy"]
        cells.append(f"{accuracy['mean']:.3f} ± {accuracy['std']:.3f}")
        lines.append(f"| {name} | {row['seeds']} | {' | '.join(cells)} |")
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True, help="captioned pairs: train, and val for selection")
    parser.add_argument("--test", help="captioned pairs that are scored (default: those of --data)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--captions", help="the captions whose words are known (default: those of --data)")
    parser.add_argument("--start", action="append", required=True, help="NAME or NAME=WEIGHTS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    starts = {name: init or None for name, _, init in (text.partition("=") for text in arguments.start)}
    for seed in arguments.seeds:  # seeds outermost: a table of all starts is there early
        for name, init in starts.items():
            run = arguments.out / name / f"seed-{seed}"
            if (run / "report.json").is_file():
                continue
            began = time.monotonic()
            best = fit(
                settings(
                    arguments.data,
                    out=run,
                    init=init,
                    seed=seed,
                    epochs=arguments.epochs,
                    captions=arguments.captions,
                )
            )
            report = evaluate(
                arguments.test or arguments.data,
                split=arguments.split.split("+"),  # type: ignore[arg-type]
                weights=best,
                decision="search",
                device="cpu",
            )
            partial = run / "report.json.part"
            partial.write_text(json.dumps(report), encoding="utf-8")
            partial.replace(run / "report.json")
            tabulate(arguments.out, starts, arguments.seeds)
            score = report["ids"]["all"]["S*m"]
            print(f"{name}, seed {seed}: S*m {score:.2f}, {time.monotonic() - began:.0f} s", flush=True)
    print((arguments.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
