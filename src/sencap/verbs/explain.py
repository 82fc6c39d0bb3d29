"""`sencap explain`: where the model looked as it chose each word."""

from __future__ import annotations

import sys
from typing import Literal


def command(
    before: str,
    after: str,
    *,
    out: str,
    weights: str | None = None,
    beam: int = 3,
    device: str = "auto",
    engine: Literal["auto", "onnx", "torch"] = "auto",
    precision: Literal["fp32", "int8", "bf16"] = "fp32",
    decision: Literal["probability", "search"] = "probability",
    bands: str | None = None,
    scale: str | None = None,
    empty: float = 0.5,
) -> str:
    """Show where the model looked as it chose each word of its caption.

    Input: two image files of one place, PNG, JPEG, WebP or TIFF.
    Output: OUT: a page to point at words on (.html), or a picture (.png, .pdf, .svg;
    needs matplotlib). The sentence is printed.

    Args:
        before: The image before.
        after: The image after.
        out: The file to write; its ending, .html, .png, .pdf or .svg, names the kind.
        weights: A checkpoint folder, best, or hub:OWNER/NAME@REVISION (default: the
            weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
        device: cpu, cuda, or auto.
        engine: onnx (ONNX Runtime), torch (PyTorch), or auto: onnx where the checkpoint
            has graphs and no GPU is named.
        precision: fp32 (exact), or int8 (faster), where the checkpoint and the
            processor offer it; bf16 is refused, as ONNX Runtime lacks it.
        decision: What makes a pair changed: the model's probability of change (all
            sentences of no change counted together), or whatever the best caption of
            the search says.
        bands: The bands that are red, green and blue, by number from 1 or by name,
            joined by commas: 4,3,2 (default: by their names, else the first three).
        scale: LOW,HIGH: the values that become black and white (default: 8 bits as they
            are, more by what is in both images). A negative one is written
            --scale=-25,0.
        empty: A pair of which more than this share holds no data gets no caption.
    """
    from sencap.figures.files import check_path
    from sencap.images import Reading, read_pair
    from sencap.weights import checkpoint_files

    # all that can be refused is refused before a model is loaded
    check_path(out, inputs=[before, after, *checkpoint_files(weights)])
    reading = Reading.of_texts(bands, scale, empty)
    read_pair(before, after, reading=reading)

    from sencap.explain import explain, save
    from sencap.predictor import load

    predictor = load(
        weights,
        beam=beam,
        device=device,
        engine=engine,
        precision=precision,
        decision=decision,
    )
    explanation = explain(before, after, predictor, reading=reading)
    sys.stdout.write(
        explanation.caption.text + "\n"
    )  # said, whatever becomes of the file
    if explanation.caption.note:
        sys.stderr.write(f"sencap: note: {explanation.caption.note}\n")
    return f"where it looked: {save(explanation, out)}"
