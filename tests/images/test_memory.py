"""Large images: the same pixels as ever, and only one of them in memory as a whole."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import SettingsError
from sencap.figures.sheet import LONGEST, SLIMMEST, ratio
from sencap.images import as_pair, join, read_pair, resize, scale, shrink, stretch
from sencap.images.scale import row_blocks
from sencap.structures import ImagePair

RNG = np.random.default_rng(5)


def literal_stretch(images: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """`stretch` as its docstring says it of values that are no picture of 8 bits, with
    whole copies."""
    data = images.any(axis=-3)
    by_pixel = np.moveaxis(images, -3, -1)
    counted = by_pixel[data].ravel() if data.any() else images.ravel()
    low, high = np.percentile(counted, [2, 98], method="inverted_cdf")
    least, most = counted.min(), counted.max()
    if least < most <= 1.9 * high:
        start, end = 0 if least <= 0.11 * most else least, most
    else:
        more = (high - low) / 2
        start, end = max(least, low - more), min(most, high + more)
    steps = (images - float(start)) * (255 / max(end - start, 1))
    result: NDArray[np.uint8] = steps.clip(0, 255).round().astype(np.uint8)
    return result


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    least=st.sampled_from([0, 1, 500]),
    span=st.sampled_from([1, 2, 3000, 65_000]),
    empty=st.sampled_from([0.0, 0.3, 0.99, 1.0]),
    places=st.sampled_from([(), (1,), (2,), (2, 2)]),
    block=st.sampled_from([1, 7, 64, 1 << 20]),
)
def test_stretch_is_what_it_says(
    seed: int, least: int, span: int, empty: float, places: tuple[int, ...], block: int
) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(
        least, least + span, (*places, 3, 9, 11), dtype=np.uint16
    )
    holes = generator.random((*places, 1, 9, 11)) < empty
    images = np.where(holes, np.uint16(0), images)
    wanted = literal_stretch(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "_BLOCK", block)
        np.testing.assert_array_equal(stretch(images), wanted)


@pytest.mark.parametrize("height", [1, 5, 4096, 5000])
@pytest.mark.parametrize("width", [1, 300, 3_000_000])
def test_blocks_cover_all_rows_once(height: int, width: int) -> None:
    blocks = list(row_blocks(height, width))
    rows = [row for block in blocks for row in range(block.start, block.stop)]
    assert rows == list(range(height))
    assert all(
        len(range(block.start, block.stop)) * width <= 1 << 20 or width > 1 << 20
        for block in blocks
    )


SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)).resize((110, 90))
)
DEEP = SMOOTH.astype(np.uint16) * 17 + 3


def turned(path: Path, image: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(path, format="PNG", exif=exif)


WRITERS: dict[str, Callable[[Path, NDArray[np.uint8]], object]] = {
    "png": lambda path, image: Image.fromarray(image).save(path, format="PNG"),
    "jpeg": lambda path, image: Image.fromarray(image).save(path, format="JPEG"),
    "progressive jpeg": lambda path, image: Image.fromarray(image).save(
        path, format="JPEG", progressive=True
    ),
    "webp": lambda path, image: Image.fromarray(image).save(path, format="WEBP"),
    "lossless webp": lambda path, image: Image.fromarray(image).save(
        path, format="WEBP", lossless=True
    ),
    "grey": lambda path, image: Image.fromarray(image[..., 0]).save(path, format="PNG"),
    "palette": lambda path, image: (
        Image.fromarray(image).quantize(20).save(path, format="PNG")
    ),
    "alpha": lambda path, image: Image.fromarray(
        np.dstack([image, image[..., 0]])
    ).save(path, format="PNG"),
    "webp with alpha": lambda path, image: Image.fromarray(
        np.dstack([image, image[..., 0]])
    ).save(path, "WEBP"),
    "turned": turned,
    "deep png": lambda path, image: path.write_bytes(
        imagecodecs.png_encode(image.astype(np.uint16) * 17)
    ),
    "deep png with alpha": lambda path, image: path.write_bytes(
        imagecodecs.png_encode(
            np.dstack([image, image[..., 0]]).astype(np.uint16) * 257
        )
    ),
    "tiff": lambda path, image: tifffile.imwrite(
        path, image, photometric="rgb", compression="zlib"
    ),
    "tiff, bands first": lambda path, image: tifffile.imwrite(
        path, image.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
    ),
    "deep tiff": lambda path, image: tifffile.imwrite(
        path, image.astype(np.uint16) * 17, photometric="rgb"
    ),
    "signed tiff": lambda path, image: tifffile.imwrite(
        path, image.astype(np.int16) - 40, photometric="rgb"
    ),
    "other byte order": lambda path, image: tifffile.imwrite(
        path, image.astype(">u2") * 17, photometric="rgb", byteorder=">"
    ),
    "floats": lambda path, image: tifffile.imwrite(
        path, (image / 255).astype(np.float32), photometric="rgb"
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("large", [False, True])
def test_a_pair_reduced_as_it_is_read_is_the_pair_resized(
    tmp_path: Path, kind: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small blocks, and (large) with the first image read twice."""
    before, after = tmp_path / "before", tmp_path / "after"
    WRITERS[kind](before, SMOOTH)
    WRITERS[kind](after, np.ascontiguousarray(SMOOTH[::-1]))
    whole = read_pair(before, after)
    wanted = [
        np.asarray(
            Image.fromarray(image.transpose(1, 2, 0)).resize(
                (64, 64), Image.Resampling.BILINEAR
            )
        )
        for image in whole.images
    ]
    monkeypatch.setattr(scale, "_BLOCK", 500)
    if large:
        monkeypatch.setattr(join, "_LARGE", 100)
    pair = read_pair(before, after, size=64)
    assert pair.name == "before"
    np.testing.assert_array_equal(pair.images, np.stack(wanted).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(read_pair(before, after).images, whole.images)
    np.testing.assert_array_equal(resize(whole.images, 64), pair.images)


def test_arrays_are_reduced_too() -> None:
    wanted = resize(as_pair(DEEP, DEEP[::-1]), 48).images
    np.testing.assert_array_equal(as_pair(DEEP, DEEP[::-1], size=48).images, wanted)
    with pytest.raises(SettingsError, match="size is 0 pixels, but must be at least 1"):
        as_pair(DEEP, DEEP, size=0)


@pytest.mark.parametrize(
    ("shape", "longest", "wanted"),
    [
        ((300, 200), 150, (150, 100)),
        ((200, 300), 150, (100, 150)),
        ((150, 100), 150, (150, 100)),
        ((32, 4000), 100, (1, 100)),
        ((40, 40), 1, (1, 1)),
    ],
)
def test_shrink_keeps_proportions_and_never_enlarges(
    shape: tuple[int, int], longest: int, wanted: tuple[int, int]
) -> None:
    pair = ImagePair(np.full((2, 3, *shape), 90, np.uint8), "place")
    small = shrink(pair, longest)
    assert small.images.shape == (2, 3, *wanted)
    assert (small.images == 90).all()
    assert small.name == "place"
    assert shrink(pair.images, 5000) is pair.images


def test_what_is_very_slim_is_shown_squeezed() -> None:
    assert ratio(np.zeros((3, 60, 40), np.uint8)) == 1.5
    assert ratio(np.zeros((3, 1024, 1), np.uint8)) == SLIMMEST
    assert ratio(np.zeros((3, 1, 1024), np.uint8)) == 1 / SLIMMEST


# --- peaks, each in a process of its own


# getrusage would tell the peak of pytest itself, which a new process inherits; this
# line of Linux does not
PEAK = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024"
needs_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak"
)


def peak_of(prepare: str, work: str) -> int:
    """By how many MB the peak of a process grows in ``work``."""
    code = f"{prepare}\nbefore = {PEAK}\n{work}\nprint({PEAK} - before)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@needs_linux
@pytest.mark.parametrize("kind", ["alpha", "webp", "tiff", "deep tiff"])
def test_reading_large_pairs_needs_little_more_than_one_image(
    tmp_path: Path, kind: str
) -> None:
    """One image is 36 MB (72 with 16 bits), and Pillow's form of it 48; two pairs need
    no more than one."""
    image = np.ascontiguousarray(np.tile(SMOOTH, (34, 37, 1))[:3000, :4000])
    for date in ("before", "after"):
        WRITERS[kind](tmp_path / date, image)
    prepare = (
        "from sencap.images import read_pair\nbefore_file, after_file = "
        f"{str(tmp_path / 'before')!r}, {str(tmp_path / 'after')!r}"
    )
    work = "pairs = [read_pair(before_file, after_file, size=256) for _ in range(2)]"
    # measured 50 to 100, before 220 to 670; pixels without data are filled from the
    # other date, so that both have to be there
    assert peak_of(prepare, work) < (200 if kind == "alpha" else 130)


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="needs matplotlib (sencap[figures])",
)
@pytest.mark.parametrize("ending", [".png", ".html"])
def test_drawing_a_large_pair_needs_little_more_than_the_pair(
    tmp_path: Path, ending: str
) -> None:
    """12 megapixels twice are 72 MB; one of them as matplotlib's floats would be
    384."""
    prepare = (
        "import numpy as np\nimport matplotlib.figure, "
        "matplotlib.backends.backend_agg\nfrom sencap.figures import MapRow, "
        "ComparedPair, attention_by_stage, side_by_side\nfrom sencap.structures "
        "import ImagePair\npair = ImagePair(np.full((2, 3, 3000, 4000), 90, "
        "np.uint8))\nmaps = {name: np.ones((8, 8)) for name in ('sfe_bef', "
        f"'sfe_aft', 'cagd_aft')}}\npath = {str(tmp_path / 'x') + ending!r}"
    )
    work = "side_by_side([ComparedPair(pair, ['a house'], {'sen': 'a road'})], path)"
    if ending == ".png":
        work += "\nattention_by_stage([MapRow(pair, maps)], path)"
    assert peak_of(prepare, work) < 220  # measured 130; before 1370
    assert (
        max(shrink(np.zeros((3, 40, 3000), np.uint8), LONGEST).shape) == LONGEST == 1024
    )
