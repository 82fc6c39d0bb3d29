"""`sencap explain`: where the model looked as it chose each word."""

from __future__ import annotations

import sys

from sencap.flags import LoadFlags, ReadingFlags


def command(
    before: str,
    after: str,
    *,
    out: str,
    model: LoadFlags,
    pixels: ReadingFlags,
) -> str:
    """Show where the model looked as it chose each word of its caption.

    Input: two image files of one place, PNG, JPEG, WebP or TIFF.
    Output: OUT: a page to point at words on (.html), or a picture (.png, .pdf, .svg;
    needs matplotlib). The sentence is printed.

    Args:
        before: The image before.
        after: The image after.
        out: The file to write; its ending, .html, .png, .pdf or .svg, names the kind.
    """
    from sencap.figures.files import check_path
    from sencap.images import read_pair
    from sencap.weights import checkpoint_files

    # all that can be refused is refused before a model is loaded
    check_path(out, inputs=[before, after, *checkpoint_files(model.weights)])
    reading = pixels.parsed()
    read_pair(before, after, reading=reading)

    from sencap.explain import explain, save

    explanation = explain(before, after, model.load(), reading=reading)
    # Said, whatever becomes of the file.
    sys.stdout.write(explanation.caption.text + "\n")
    if explanation.caption.note:
        sys.stderr.write(f"sencap: note: {explanation.caption.note}\n")
    return f"where it looked: {save(explanation, out)}"
