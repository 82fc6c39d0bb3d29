"""Find which captions of LEVIR-CC belong to the views of LEVIR-CD's tiles, and cut the
views into captioned pairs.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping
    python scripts/match_views.py SOURCE runs/data runs/data/crops

SOURCE holds `levir_cd_views` (views of whole tiles, 256 pixels wide, laid in any of
eight ways, with change masks), `levir_cc` and `levir_cc_val` (captioned pairs of other
tiles, to learn from) and `captions` (all of LEVIR-CC's captions). A tile has 16 crops,
4 × 4, each with five captions; a view shows them 64 pixels wide.

Two things tell the tile of a view: its mask (a crop that changed has captions of
change), and how well the words of a tile's captions go with what its crops show. For
the second a model learns to tell, from the means of a backbone's maps, how often each of
160 words is said of a crop. The views that were matched are learnt from in turn, in
four rounds; no view is judged by a model that learnt from it.

A match is kept where the next best tile is far behind and no other view fits the tile
better. What is kept is written in LEVIR-CC's layout, all of it in the split train.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from prepare_shipping_data import CAPTIONS, tile
from tqdm import tqdm

from sencap.data.augmentation import PLACEMENTS
from sencap.foreign import initialise_backbone

Floats = NDArray[np.float32]

SIDE, CROP, CROPS = 4, 64, 16
CELLS = np.arange(CROPS).reshape(SIDE, SIDE)
# Which crop of the view stands where crop 0 … 15 of the tile is, for each placement.
LAID = [placement.place(CELLS).ravel() for placement in PLACEMENTS]
# Pixels that the backbone sees of a crop.
SEEN = 224
WORDS = 160
COMMON = (
    "a the of in on at is are and to with some many there has been have by . , this"
)
DIMENSIONS = 200
# Of a principal component, as a share of the largest.
SMALLEST = 1e-3
# Shares of changed building in a crop, and how often crops with so much are told to have
# changed: as counted on levir_cc_val.
SHARES = [0.0, 0.002, 0.01, 0.03]
TOLD = np.array([0.17, 0.44, 0.97, 0.95, 0.97])
# Five people say nearly the same of a crop, and neighbours are alike, so that evidence
# counts for less than if each word were told by itself.
WORD_WEIGHT, FLAG_WEIGHT = 0.35, 0.6
# How far the next best tile must be behind, as a difference of log-probabilities.
MARGIN = 4.5
ROUNDS, FOLDS = 4, 4
# Tiles of the train split whose images are in levir_cc: some were left for selection.
KNOWN = (0, 1, 3, 35, 385, 411)


@dataclass(frozen=True)
class Captions:
    """The captions of all crops of LEVIR-CC: ``rows[tile, crop]`` is a row of
    ``counts`` (crops, words), how many of the five people said each word, and of
    ``changed``."""

    rows: dict[tuple[int, int], int]
    counts: Floats
    changed: NDArray[np.bool_]
    entries: list[dict[str, Any]]

    def of(self, number: int) -> dict[int, int]:
        """The crops of a tile that have captions: crop → row."""
        found = ((crop, self.rows.get((number, crop))) for crop in range(CROPS))
        return {crop: row for crop, row in found if row is not None}


class Backbone:
    """A frozen EfficientNet-lite0 with ImageNet's weights."""

    def __init__(self, weights: Path) -> None:
        self.net = timm.create_model(
            "tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4)
        ).eval()
        initialise_backbone(SimpleNamespace(backbone=self.net), weights)  # type: ignore[arg-type]

    @torch.inference_mode()
    def __call__(self, before: Image.Image, after: Image.Image) -> Floats:
        """What a crop shows: means of both dates' maps and of their difference."""
        pixels = torch.stack([_as_tensor(image) for image in (before, after)])
        found = []
        for maps in self.net(pixels):
            a, b = maps
            found += [a.mean((1, 2)), b.mean((1, 2))]
            found += [(b - a).abs().mean((1, 2)), (b - a).amax((1, 2))]
        vector: Floats = torch.cat(found).numpy()
        return vector


def _as_tensor(image: Image.Image) -> torch.Tensor:
    resized = image.resize((SEEN, SEEN), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(resized, np.float32) / 255)
    return ((pixels - 0.498) / 0.502).permute(2, 0, 1)


def _number(filename: str) -> int:
    """The crop of a tile, from a name ``{split}_{k:06d}``, k from 1."""
    return (int(Path(filename).stem.split("_")[1]) - 1) % CROPS


def read_entries(path: Path) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[
        "images"
    ]
    return images


def said(entry: dict[str, Any]) -> list[set[str]]:
    """The words of each of an entry's captions."""
    return [set(sentence["tokens"]) for sentence in entry["sentences"]]


def frequent_words(entries: Iterable[dict[str, Any]]) -> list[str]:
    left_out = set(COMMON.split())
    counts: Counter[str] = Counter()
    for entry in entries:
        for words in said(entry):
            counts.update(words - left_out)
    return [word for word, _ in counts.most_common(WORDS)]


def count(entry: dict[str, Any], words: Sequence[str]) -> list[int]:
    captions = said(entry)
    return [sum(word in caption for caption in captions) for word in words]


def read_captions(entries: list[dict[str, Any]], words: Sequence[str]) -> Captions:
    train = [entry for entry in entries if entry["split"] == "train"]
    keys = [(tile(one["filename"])[1], _number(one["filename"])) for one in train]
    return Captions(
        {key: row for row, key in enumerate(keys)},
        np.array([count(entry, words) for entry in train], np.float32),
        np.array([entry["changeflag"] == 1 for entry in train]),
        train,
    )


def learn(seen: Floats, shares: Floats) -> Any:
    """A model that tells, of what a crop shows (n, features), the share of people who
    say each word (n, words): logistic regression on principal components."""
    mean, deviation = seen.mean(0), seen.std(0) + 1e-4
    _, sizes, axes = np.linalg.svd((seen - mean) / deviation, full_matrices=False)
    # Of few examples there are fewer components than asked for; the rest is noise.
    kept = min(DIMENSIONS, int((sizes > SMALLEST * sizes[0]).sum()))
    scale = sizes[:kept] / np.sqrt(len(seen))
    components = axes[:kept].T / scale
    x = torch.from_numpy(((seen - mean) / deviation) @ components).float()
    y = torch.from_numpy(shares).float()
    weights = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.logit(y.mean(0).clamp(1e-3, 1 - 1e-3)).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weights, bias], max_iter=60, line_search_fn="strong_wolfe"
    )
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = loss_of(x @ weights + bias, y, reduction="none").sum(1).mean()
        loss = loss + 0.005 * weights.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    w, b = weights.detach().numpy(), bias.detach().numpy()

    def predict(crops: Floats) -> Floats:
        logits = ((crops - mean) / deviation) @ components @ w + b
        told: Floats = 1 / (1 + np.exp(-logits))
        return told

    return predict


def word_evidence(told: Floats, captions: Captions) -> Floats:
    """How much likelier the words of each caption row are of a crop than of any crop:
    told (n, words) → log-ratios (n, rows)."""
    p = np.clip(told, 0.005, 0.995)
    usual = np.clip(captions.counts.mean(0) / 5, 0.005, 0.995)
    yes, no = np.log(p / usual), np.log((1 - p) / (1 - usual))
    evidence: Floats = yes @ captions.counts.T + no @ (5 - captions.counts).T
    return evidence


def flag_evidence(shares: Floats) -> tuple[Floats, Floats]:
    """The same of the flags: of "changed" and of "not changed", each (views, 16)."""
    p = TOLD[np.searchsorted(SHARES, shares)]
    return np.log(p / 0.5), np.log((1 - p) / 0.5)


def score(words: Floats, shares: Floats, captions: Captions) -> Floats:
    """Of each view, tile and placement, (views, tiles, 8); words (views, 16, rows)."""
    changed, same = flag_evidence(shares)
    numbers = sorted({number for number, _ in captions.rows})
    scores = np.zeros((len(words), max(numbers) + 1, len(LAID)), np.float32)
    for number in numbers:
        crops = captions.of(number)
        rows = list(crops.values())
        flags = captions.changed[rows]
        for placement, laid in enumerate(LAID):
            cells = laid[list(crops)]
            told = words[:, cells, rows].sum(1)
            agrees = np.where(flags, changed[:, cells], same[:, cells]).sum(1)
            scores[:, number, placement] = WORD_WEIGHT * told + FLAG_WEIGHT * agrees
    return scores


@dataclass(frozen=True)
class Matches:
    """The tile of each group of views of one place, and whether it is kept; the
    placement of each view if it is of that tile."""

    tiles: NDArray[np.int64]
    kept: NDArray[np.bool_]
    placements: list[list[int]]


def match(scores: Floats, groups: list[list[int]], shares: Floats) -> Matches:
    by_tile = np.logaddexp.reduce(scores, axis=2)
    # Views of one place are not independent: n of them count as √n.
    joint = np.stack([by_tile[g].sum(0) / np.sqrt(len(g)) for g in groups])
    tiles = joint.argmax(1)
    ranked = np.sort(joint, axis=1)
    margin = ranked[:, -1] - ranked[:, -2]
    # Of the groups that lean to one tile, the one that it fits best may have it.
    fits = joint[np.arange(len(groups)), tiles]
    best = np.array([fits[i] == fits[tiles == t].max() for i, t in enumerate(tiles)])
    # Views that hardly changed say little: their captions are the five fixed sentences.
    tells = np.array([(shares[g] > 0).sum(1).max() >= 3 for g in groups])
    placements = [
        [int(scores[view, tiles[i]].argmax()) for view in g]
        for i, g in enumerate(groups)
    ]
    return Matches(tiles, (margin > MARGIN) & best & tells, placements)


def examples(
    found: Matches, groups: list[list[int]], seen: Floats, captions: Captions, fold: int
) -> tuple[list[Floats], list[Floats]]:
    """What the matched views of the other folds teach: crops and shares of words."""
    crops: list[Floats] = []
    shares: list[Floats] = []
    for i, group in enumerate(groups):
        if not found.kept[i] or i % FOLDS == fold:
            continue
        rows = captions.of(int(found.tiles[i]))
        for view, placement in zip(group[:2], found.placements[i][:2], strict=True):
            crops.append(seen[view, LAID[placement][list(rows)]])
            said_by: Floats = captions.counts[list(rows.values())] / np.float32(5)
            shares.append(said_by)
    return crops, shares


def write(
    out: Path,
    views: list[Path],
    groups: list[list[int]],
    found: Matches,
    captions: Captions,
) -> tuple[int, int]:
    """The crops of the matched views with their captions; at most two views a place.
    Returns how many places and crops."""
    images = []
    places = 0
    for name in ("A", "B", "label"):
        (out / "images" / "train" / name).mkdir(parents=True, exist_ok=True)
    for i, group in enumerate(groups):
        number = int(found.tiles[i])
        if not found.kept[i] or number in KNOWN:
            continue
        places += 1
        for view, placement in zip(group[:2], found.placements[i][:2], strict=True):
            before = views[view]
            paths = {
                "A": before,
                "B": before.parents[1] / "B" / before.name,
                "label": before.parents[1] / "label" / f"{before.stem}.png",
            }
            for crop, row in captions.of(number).items():
                stem = f"{before.stem}_{crop:02d}"
                for name, path in paths.items():
                    laid = PLACEMENTS[placement].place(_pixels(path))
                    r, c = divmod(crop, SIDE)
                    cut = laid[
                        ..., CROP * r : CROP * (r + 1), CROP * c : CROP * (c + 1)
                    ]
                    _save(cut, out / "images" / "train" / name / stem)
                entry = captions.entries[row]
                images.append(
                    {
                        "filename": f"{stem}.jpg",
                        "filepath": "train",
                        "split": "train",
                        "changeflag": entry["changeflag"],
                        "sentences": [
                            {"tokens": one["tokens"]} for one in entry["sentences"]
                        ],
                    }
                )
    text = json.dumps({"dataset": "crops", "images": images})
    (out / CAPTIONS).write_text(text, encoding="utf-8")
    return places, len(images)


def _pixels(path: Path) -> NDArray[np.uint8]:
    """A picture as (3, H, W), a mask as (H, W)."""
    if path.parent.name == "label":
        return np.asarray(Image.open(path).convert("L"))
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    if pixels.ndim == 2:
        mask = np.where(pixels > 127, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(path.with_suffix(".png"))
    else:
        picture = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        Image.fromarray(picture).save(path.with_suffix(".jpg"), quality=95)


def see_pairs(
    source: Path, backbone: Backbone, words: Sequence[str]
) -> tuple[Floats, Floats]:
    """The captioned pairs that were there before, as small as the views show crops:
    what they show, and how often each word is said of them."""
    seen, shares = [], []
    for name in ("levir_cc", "levir_cc_val"):
        folder = source / name / "images" / "train"
        for entry in tqdm(read_entries(source / name / CAPTIONS), name):
            if entry["split"] != "train":
                continue
            dates = [
                Image.open(folder / date / entry["filename"])
                .convert("RGB")
                .resize((CROP, CROP), Image.Resampling.BOX)
                for date in "AB"
            ]
            seen.append(backbone(*dates))
            shares.append(np.array(count(entry, words)) / 5)
    return np.stack(seen), np.stack(shares).astype(np.float32)


def see_views(views: list[Path], backbone: Backbone) -> tuple[Floats, Floats]:
    """What each crop of each view shows, (views, 16, features), and how much of it is
    changed building, (views, 16)."""
    seen, shares = [], []
    for path in tqdm(views, "views"):
        before = Image.open(path).convert("RGB")
        after = Image.open(path.parents[1] / "B" / path.name).convert("RGB")
        boxes = [
            (CROP * c, CROP * r, CROP * (c + 1), CROP * (r + 1))
            for r in range(SIDE)
            for c in range(SIDE)
        ]
        seen.append([backbone(before.crop(box), after.crop(box)) for box in boxes])
        mask = _pixels(path.parents[1] / "label" / f"{path.stem}.png") > 127
        cells = mask.reshape(SIDE, CROP, SIDE, CROP).mean((1, 3))
        shares.append(cells.ravel())
    return np.array(seen, np.float32), np.array(shares, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("data", type=Path, help="holds efficientnet-lite0.pth")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    torch.manual_seed(0)
    entries = read_entries(asked.source / "captions" / "LevirCCcaptions_all.json")
    words = frequent_words(entries)
    captions = read_captions(entries, words)
    backbone = Backbone(asked.data / "efficientnet-lite0.pth")
    views = sorted((asked.source / "levir_cd_views" / "A").iterdir())
    # Names are tileNNN_viewN.jpg; NNN counts places, and is not the tile's number.
    by_place: dict[str, list[int]] = defaultdict(list)
    for number, path in enumerate(views):
        by_place[path.stem.split("_")[0]].append(number)
    groups = list(by_place.values())
    pairs, said_of_pairs = see_pairs(asked.source, backbone, words)
    seen, shares = see_views(views, backbone)

    told = learn(pairs, said_of_pairs)(seen.reshape(-1, seen.shape[-1]))
    evidence = word_evidence(told, captions).reshape(*seen.shape[:2], -1)
    found = match(score(evidence, shares, captions), groups, shares)
    for round_number in range(ROUNDS):
        print(f"round {round_number}: {found.kept.sum()} of {len(groups)} places")
        for fold in range(FOLDS):
            crops, said_of_crops = examples(found, groups, seen, captions, fold)
            predict = learn(
                np.concatenate([pairs, *crops]),
                np.concatenate([said_of_pairs, *said_of_crops]),
            )
            judged = [view for g in groups[fold::FOLDS] for view in g]
            told = predict(seen[judged].reshape(-1, seen.shape[-1]))
            evidence[judged] = word_evidence(told, captions).reshape(
                len(judged), CROPS, -1
            )
        found = match(score(evidence, shares, captions), groups, shares)
    places, written = write(asked.out, views, groups, found, captions)
    print(f"{asked.out}: {places} places, {written} captioned crops")


if __name__ == "__main__":
    main()
