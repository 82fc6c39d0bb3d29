"""Draw docs/examples.png: some example pairs with what the shipped weights say of them.

python scripts/make_readme_picture.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sencap import load, read_pair
from sencap.demonstration import EXAMPLES
from sencap.figures.pair import draw_pair

SHOWN = (
    "synthetic-road",
    "synthetic-parking",
    "synthetic-unchanged",
    "sentinel2-abudhabi",
)
WIDTH = 520  # of one pair, in pixels


def main() -> None:
    predictor = load()
    tiles = []
    for name in SHOWN:
        pair = read_pair(
            EXAMPLES / f"{name}_before.png", EXAMPLES / f"{name}_after.png", name
        )
        drawn = draw_pair(pair, predictor.caption_pairs([pair])[0].text)
        tiles.append(
            drawn.resize(
                (WIDTH, round(drawn.height * WIDTH / drawn.width)),
                Image.Resampling.LANCZOS,
            )
        )
    height = max(tile.height for tile in tiles)
    canvas = Image.new("RGB", (2 * WIDTH, 2 * height), "white")
    for number, tile in enumerate(tiles):
        canvas.paste(tile, (number % 2 * WIDTH, number // 2 * height))
    path = Path(__file__).parents[1] / "docs" / "examples.png"
    canvas.save(path, optimize=True)
    print(path.name, canvas.size)


if __name__ == "__main__":
    main()
