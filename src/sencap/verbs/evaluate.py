"""`sencap evaluate`: how good a checkpoint is on captioned pairs."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sencap.config import Split
from sencap.errors import SettingsError

if TYPE_CHECKING:
    from sencap.data.levir_cc import CaptionedPair
    from sencap.predictor import Predictor
    from sencap.structures import Caption, ImagePair


def evaluate(
    data: str | Path,
    *,
    split: Split | Sequence[Split] = "test",
    weights: str | Path | None = None,
    beam: int = 3,
    batch_size: int = 16,
    device: str = "auto",
    decision: Literal["probability", "search"] = "probability",
    limit: int | None = None,
    page: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Caption the pairs of one or more splits and score the captions under both protocols.

    Returns the report that the command line writes as JSON (see docs/evaluation.md); with ``page`` also writes
    a page of pictures. ``limit`` takes the first pairs only.

    Raises:
        DataError, CheckpointError, SettingsError: what cannot be used, and why.
    """
    from sencap.data.levir_cc import read_dataset
    from sencap.environment import environment
    from sencap.evaluation.protocol import CaptionedPair as Scored
    from sencap.evaluation.protocol import evaluate as score
    from sencap.evaluation.report import as_dict
    from sencap.predictor import load

    splits = [split] if isinstance(split, str) else list(split)
    pairs = read_dataset(data, splits=splits)[:limit]
    predictor = load(weights, beam=beam, device=device, decision=decision)
    captions, seconds = _caption(predictor, pairs, batch_size=batch_size, progress=progress)
    scored = [
        Scored(pair.name, pair.captions, caption.text.split(), caption.log_prob, pair.changed)
        for pair, caption in zip(pairs, captions, strict=True)
    ]
    evaluation = score(scored, predictor.checkpoint.vocabulary)
    report = as_dict(
        evaluation,
        beam=beam,
        decision=decision,
        environment=environment(),
        parameters=predictor.parameters(),
        pairs_per_second=len(pairs) / seconds,
    )
    if page is not None:
        _write_page(Path(page), pairs, report)
    return report


def command(
    *,
    data: str,
    split: str = "test",
    weights: str | None = None,
    beam: int = 3,
    json: str | None = None,
    markdown: str | None = None,
    page: str | None = None,
    batch_size: int = 16,
    device: str = "auto",
    decision: Literal["probability", "search"] = "probability",
    limit: int | None = None,
    quiet: bool = False,
) -> str:
    """Score a checkpoint on captioned pairs: BLEU-1..4, METEOR, ROUGE-L, CIDEr and S*m under both protocols.

    Input: a data folder (see sencap check --help) and a checkpoint folder. Output: a Markdown report, printed;
    and as files what is asked for. METEOR needs Java; without it the other metrics still come.

    Args:
        data: The folder of captioned pairs.
        split: train, val or test; or several, joined by a plus sign: val+test.
        weights: A checkpoint folder (default: the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
        json: Write the report, with every pair's caption and scores, to this JSON file.
        markdown: Write the printed report to this file too.
        page: Write a page of pictures (best, worst and random pairs) to this HTML file.
        batch_size: Pairs captioned at once.
        device: cpu, cuda, or auto.
        decision: What makes a pair changed: the model's probability of change (all sentences of no change
            counted together), or whatever the best caption of the search says, as in the literature.
        limit: Evaluate the first pairs only.
        quiet: No progress bar.
    """
    from typing import get_args

    from sencap.evaluation.report import as_json, as_markdown
    from sencap.models.checkpoint import write_text

    splits = split.split("+")
    for name in splits:
        if name not in get_args(Split):
            raise SettingsError(f"split={split}: {name!r} is none of train, val, test")
    for path in (json, markdown, page):
        if path is not None and not Path(path).parent.is_dir():
            raise SettingsError(f"{path}: the folder {Path(path).parent} does not exist; make it first")
    report = evaluate(
        data,
        split=splits,  # type: ignore[arg-type]  # checked above
        weights=weights,
        beam=beam,
        batch_size=batch_size,
        device=device,
        decision=decision,
        limit=limit,
        page=page,
        progress=not quiet,
    )
    text = as_markdown(report)
    if json is not None:
        write_text(Path(json), as_json(report))
    if markdown is not None:
        write_text(Path(markdown), text + "\n")
    return text


def _caption(
    predictor: Predictor, pairs: Sequence[CaptionedPair], *, batch_size: int, progress: bool
) -> tuple[list[Caption], float]:
    """The captions of all pairs, and the seconds they took, reading included."""
    from tqdm import tqdm

    from sencap.images import read_pair

    def images() -> Iterator[ImagePair]:
        for pair in tqdm(pairs, desc="captioning", unit="pair", disable=not progress):
            yield read_pair(pair.before, pair.after, pair.name)

    begin = time.perf_counter()
    captions = list(predictor.stream(images(), batch_size=batch_size))
    return captions, time.perf_counter() - begin


ORDER = {
    "best": "The pairs with the highest CIDEr",
    "worst": "The pairs with the lowest CIDEr",
    "random": "Pairs drawn at random",
}


def _write_page(path: Path, pairs: Sequence[CaptionedPair], report: dict[str, Any], each: int = 8) -> None:
    from sencap.data.vocabulary import NO_CHANGE_SENTENCES
    from sencap.evaluation.page import Picture, Section, choose, write_page

    found = report["pairs"]

    def picture(index: int) -> Picture:
        return Picture(
            title=found[index]["filename"],
            before=_picture_bytes(pairs[index].before),
            after=_picture_bytes(pairs[index].after),
            caption=found[index]["hypothesis"],
            references=[" ".join(words) for words in pairs[index].captions],
            scores=found[index]["scores"]["words"],
            changed=pairs[index].changed,
            told=found[index]["hypothesis"] not in NO_CHANGE_SENTENCES,
        )

    chosen = choose([one["scores"]["words"]["CIDEr"] for one in found], each)
    sections = [
        Section(
            f"{name.capitalize()} pairs",
            [picture(i) for i in indices],
            f"{ORDER[name]}; scores under the protocol words.",
        )
        for name, indices in chosen.items()
    ]
    write_page(path, sections, title="Evaluation", footer="\n".join(report["signatures"].values()))


def _picture_bytes(path: Path) -> bytes:
    """An image as a JPEG that every browser shows, whatever it was."""
    from PIL import Image

    from sencap.images import read_image, stretch

    buffer = io.BytesIO()
    image = stretch(read_image(path))
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
