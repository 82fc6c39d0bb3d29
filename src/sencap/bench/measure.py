"""Runs the ways to caption, in turns, and measures them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sencap.bench.report import (
    FIELD,
    INT8_ENGINE,
    TIMED_PARTS,
    WORDS_OF_A_CAPTION,
    BenchReport,
    Measured,
)
from sencap.bounds import check_number, check_numbers
from sencap.checkpoint_folder import read_checkpoint_folder
from sencap.config import ModelSettings
from sencap.data.vocabulary import SPECIAL_WORDS, Vocabulary
from sencap.engines import graphs
from sencap.engines.contract import PairMemory
from sencap.engines.precisions import Precision, check_precision
from sencap.environment import environment
from sencap.errors import SettingsError
from sencap.images import read_pair, resize
from sencap.search import Markers, search

if TYPE_CHECKING:
    from sencap.models.captioner import Captioner

VOCABULARY_SIZE = 501  # of systems with random weights: the paper's
PADDED = 52  # tokens of a caption in the field's way: <start>, 50 words, <end>
SIDE = 2048  # of the square matrices of the product that shows the machine's limit
# Seconds before each turn, in which the threads of the engine before it go to sleep.
REST = 0.05
# No <end>, so that all captions are as long.
NEVER_SAID = (Vocabulary.pad, Vocabulary.unk, Vocabulary.start, Vocabulary.end)
STATUS = Path("/proc/self/status")  # where Linux tells a process's peak memory

_Pixels = NDArray[np.uint8]
_Captions = list[tuple[int, ...]]
_Files = tuple[Path, Path]  # before, after
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """One way to caption: pixels (B, 2, 3, S, S) → memory → the words' ids."""

    encode: Callable[[_Pixels], PairMemory]
    say: Callable[[PairMemory], _Captions]
    size: int  # S


@contextlib.contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the time that the block takes to its part."""
    begin = time.perf_counter()
    yield
    seconds[part] += time.perf_counter() - begin


def bench(
    systems: Mapping[str, ModelSettings],
    weights: Mapping[str, Path] | None = None,
    *,
    batches: Sequence[int] = (1, 4, 16),
    rounds: int = 5,
    threads: int = 0,
    memory: bool = True,
    precision: Precision = "fp32",
) -> BenchReport:
    """Measure systems with random weights and checkpoint folders, each under a name of
    its own.

    Each is run by both engines at every batch (1 is always among them) and in the
    field's way: PyTorch, one pair at a time, for each word the whole padded caption
    through the decoder. A turn captions as many pairs as the largest batch has, from
    PNG files of drawn pairs to 12 words. ``threads``: 0 is one for each core.
    ``memory``: also the peak of each engine at batch 1 and at its fastest batch, each
    in a fresh process. ``precision`` int8: ONNX Runtime also with the encoder in int8,
    which is written, calibrated on drawn pairs, where a checkpoint has none.

    Raises:
        SettingsError: an unknown system, a number out of its bounds, a model of shorter
            captions, a precision that this processor does not have.
        CheckpointError: a folder that is not a whole checkpoint with graphs.
    """
    # All that can be wrong is told before the minutes of measuring begin.
    check_precision(precision)
    check_numbers(rounds=rounds, threads=threads)
    for batch in batches:
        check_number("batches", batch)
    import torch  # noqa: PLC0415  (the core does without)

    sizes = sorted({1, *batches})
    threads = threads or os.cpu_count() or 1
    before = torch.get_num_threads()
    # Windows tells no load.
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    for folder in (weights or {}).values():
        # What is wrong with it is told before graphs are written.
        _open(folder, "onnx", threads)
    with tempfile.TemporaryDirectory(prefix="sencap-bench-") as name:
        # Speed does not depend on the weights' values, so systems are measured without
        # training; captions are of random words.
        folders = _checkpoints(Path(name), systems) | dict(weights or {})
        engines = ["onnx", "torch", FIELD]
        if precision == "int8":
            engines.insert(1, INT8_ENGINE)
            folders = {
                system: _with_int8(one, Path(name)) for system, one in folders.items()
            }
        files = _draw_pairs(Path(name), max(sizes))
        torch.set_num_threads(threads)
        try:
            measured, products = _take_turns(
                folders, engines, files, sizes, rounds=rounds, threads=threads
            )
        finally:
            torch.set_num_threads(before)
        report = BenchReport(
            measured, products, len(files), threads, load, environment()
        )
        # After the rounds: processes that start beside them would take cores from what
        # is measured.
        for way in report.notable() if memory else []:
            _log.info("measuring the memory of %s: %s", way.system, way.name)
            folder = folders[way.system]
            way.peak_megabytes = _peak_megabytes(folder, way.engine, way.batch, threads)
    return report


def _take_turns(
    folders: Mapping[str, Path],
    engines: list[str],
    files: list[_Files],
    batches: list[int],
    *,
    rounds: int,
    threads: int,
) -> tuple[list[Measured], list[float]]:
    """What was measured of each way, and the rates of the matrix product, one a
    round."""
    # Everything is opened and run once before the first round: memory is taken and
    # caches are filled then.
    turns: list[tuple[Way, Measured]] = []
    for system, folder in folders.items():
        flops = _encoder_flops(folder)
        for engine in engines:
            way = _open(folder, engine, threads)
            for batch in [1] if engine == FIELD else batches:
                _log.info("warming up: %s, %s, batch %d", system, engine, batch)
                _caption(way, files[:batch], batch)
                turns.append((way, Measured(system, engine, batch, flops)))
    products = []
    # In each round every way has its turn: what else the machine does, and how warm it
    # is, meets all of them alike.
    for number in range(1, rounds + 1):
        _log.info("round %d of %d", number, rounds)
        rates = []
        for way, measured in turns:
            # As often as all ways, so that other work meets it alike.
            rates.append(_product_rate())
            time.sleep(REST)
            # The captions of the last round are kept, to compare what the ways say.
            seconds, measured.captions = _caption(way, files, measured.batch)
            for part, spent in seconds.items():
                measured.seconds[part].append(spent / len(files))
        products.append(statistics.median(rates))
    return [measured for _, measured in turns], products


def _caption(
    way: Way, files: Sequence[_Files], batch: int
) -> tuple[dict[str, float], _Captions]:
    """Caption pairs of files in batches; the seconds of each part, and what was
    said."""
    seconds = dict.fromkeys(TIMED_PARTS, 0.0)
    captions: _Captions = []
    for first in range(0, len(files), batch):
        # The four parts of a caption, from files to words, each timed as a whole.
        with _timed(seconds, "reading"):
            pairs = [read_pair(*pair) for pair in files[first : first + batch]]
        with _timed(seconds, "resizing"):
            images = np.stack([resize(pair.images, way.size) for pair in pairs])
        with _timed(seconds, "encoder"):
            memory = way.encode(images)
        with _timed(seconds, "search"):
            captions += way.say(memory)
    return seconds, captions


def _open(folder: Path, engine: str, threads: int) -> Way:
    """A way to caption with a checkpoint; engines are imported when they are asked
    for."""
    network: Any
    model: Any
    if engine in ("onnx", INT8_ENGINE):
        from sencap.engines import onnx  # noqa: PLC0415

        precision: Precision = "int8" if engine == INT8_ENGINE else "fp32"
        network, model = onnx.open_onnx(folder, threads=threads, precision=precision)
    else:
        from sencap.engines import torch  # noqa: PLC0415

        network, model = torch.open_torch(folder, device="cpu")
    _check_length(str(folder), model.settings)

    def say(memory: PairMemory) -> _Captions:
        markers = Markers(Vocabulary.start, Vocabulary.end, NEVER_SAID)
        found = search(network, memory, markers, max_words=WORDS_OF_A_CAPTION)
        return [best[0].ids for best in found]

    def say_like_the_field(memory: PairMemory) -> _Captions:
        return [_padded_search(network.captioner, memory)]

    return Way(
        network.encode,
        say_like_the_field if engine == FIELD else say,
        model.settings.size,
    )


def _check_length(name: str, settings: ModelSettings) -> None:
    """Refuse a model that may not say as many words as all captions here have."""
    if settings.decoder.max_words < WORDS_OF_A_CAPTION:
        raise SettingsError(
            f"{name} has decoder.max_words={settings.decoder.max_words}; captions "
            f"here have {WORDS_OF_A_CAPTION} words, so measure one that may say as many"
        )


def _padded_search(captioner: Captioner, memory: PairMemory) -> tuple[int, ...]:
    """Greedy search for one pair: for every word all PADDED tokens go through the
    decoder."""
    import torch  # noqa: PLC0415

    from sencap.structures import Memory  # noqa: PLC0415

    words: list[int] = []
    with torch.inference_mode():
        # As published captioning code does it: the caption is padded to its full
        # length, and all of it goes through the decoder again for every word.
        looked_at = Memory(torch.from_numpy(memory.tokens), memory.grid)
        tokens = torch.full((1, 1, PADDED), Vocabulary.pad)
        tokens[..., 0] = Vocabulary.start
        # The last pass is the one in which <end> would come.
        for length in range(WORDS_OF_A_CAPTION + 1):
            # (1, 1, PADDED, V): the scores after the words so far, at the place of the
            # last one.
            log_p = captioner.decoder(looked_at, tokens)[0, 0, length].log_softmax(-1)
            log_p[list(NEVER_SAID)] = -torch.inf
            word = int(log_p.argmax())
            if length < WORDS_OF_A_CAPTION:
                words.append(word)
                tokens[0, 0, length + 1] = word
    return tuple(words)


def _checkpoints(parent: Path, systems: Mapping[str, ModelSettings]) -> dict[str, Path]:
    """A checkpoint folder with random weights and graphs for each system."""
    import torch  # noqa: PLC0415

    from sencap.models.checkpoint import Checkpoint, save_checkpoint  # noqa: PLC0415
    from sencap.models.export import export_graphs  # noqa: PLC0415
    from sencap.models.variants import build, check  # noqa: PLC0415

    for name, settings in systems.items():
        check(settings)
        _check_length(name, settings)
    words = [f"word{number}" for number in range(len(SPECIAL_WORDS), VOCABULARY_SIZE)]
    vocabulary = Vocabulary((*SPECIAL_WORDS, *words))
    folders = {}
    for number, (name, settings) in enumerate(systems.items()):
        _log.info("writing the graphs of %s with random weights", name)
        # The same random weights in every run; the caller's random numbers go on as
        # before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            captioner = build(settings, VOCABULARY_SIZE).eval()
        folder = parent / f"system{number}"
        save_checkpoint(
            folder, Checkpoint(captioner, vocabulary, captioner.settings, {})
        )
        export_graphs(
            captioner, folder, size=settings.size, max_words=settings.decoder.max_words
        )
        folders[name] = folder
    return folders


def _with_int8(folder: Path, parent: Path) -> Path:
    """The folder, or, where it has no encoder in int8, a copy of it below ``parent``
    that has."""
    if (folder / graphs.ENCODER_INT8).is_file():
        return folder
    from sencap.engines.quantise import PAIRS, drawn_pairs, write_int8  # noqa: PLC0415

    _log.info("writing the encoder of %s in int8", folder.name)
    copy = Path(tempfile.mkdtemp(dir=parent)) / folder.name
    shutil.copytree(folder, copy)
    size = read_checkpoint_folder(copy).settings.size
    write_int8(copy, drawn_pairs(size), f"{PAIRS} drawn pairs")
    return copy


def _draw_pairs(folder: Path, count: int) -> list[_Files]:
    """Synthetic pairs as PNG files, 256 × 256 pixels."""
    from PIL import Image  # noqa: PLC0415

    from sencap.synthetic import render_pair  # noqa: PLC0415

    _log.info("drawing %d pairs", count)
    files = []
    for number in range(count):
        drawn = render_pair(0, number)
        before, after = folder / f"{number}_before.png", folder / f"{number}_after.png"
        Image.fromarray(drawn.before).save(before)
        Image.fromarray(drawn.after).save(after)
        files.append((before, after))
    return files


def _encoder_flops(folder: Path) -> dict[str, int]:
    """Operations of extractor and difference encoder for one pair, counted on shapes
    alone."""
    import torch  # noqa: PLC0415
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from sencap.models.variants import build  # noqa: PLC0415

    checkpoint = read_checkpoint_folder(folder)
    side = checkpoint.settings.size
    # Tensors of the device "meta" have shapes and no values: operations are counted,
    # and not done.
    with torch.device("meta"), torch.no_grad():
        captioner = build(checkpoint.settings, len(checkpoint.vocabulary)).eval()
        images = captioner.normalise(
            torch.zeros(1, 2, 3, side, side, dtype=torch.uint8)
        )
        with FlopCounterMode(display=False) as extractor:
            features = captioner.extractor(images)
        with FlopCounterMode(display=False) as difference:
            captioner.difference(features, images)
    return {
        "extractor": int(extractor.get_total_flops()),
        "difference": int(difference.get_total_flops()),
    }


def _product_rate() -> float:
    """Operations a second of a plain matrix product in float32."""
    import torch  # noqa: PLC0415

    # A multiplication and an addition for each of SIDE³ products: 2 · SIDE³ operations.
    a, b = torch.rand(2, SIDE, SIDE)
    begin = time.perf_counter()
    torch.mm(a, b)
    return 2 * SIDE**3 / (time.perf_counter() - begin)


def _peak_megabytes(
    folder: Path, engine: str, batch: int, threads: int
) -> float | None:
    """The peak of a fresh process that captions one batch; None where no system tells
    it."""
    if not STATUS.exists():
        return None
    # A process of its own: the peak of this one holds all that ran before.
    code = "import sys; from sencap.bench.measure import print_peak; print_peak(*sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        code,
        str(folder),
        engine,
        str(batch),
        str(threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        _log.warning("no memory of %s at batch %d: %s", engine, batch, done.stderr)
        return None
    return float(done.stdout)


def print_peak(folder: str, engine: str, batch: str, threads: str) -> None:
    """What `_peak_megabytes` runs in a process of its own."""
    # The ONNX engine must not load PyTorch, which alone takes some hundred megabytes.
    if engine not in ("onnx", INT8_ENGINE):
        import torch  # noqa: PLC0415

        torch.set_num_threads(int(threads))
    way = _open(Path(folder), engine, int(threads))
    # What the pixels show does not matter: every caption has as many words.
    pixels = np.zeros((int(batch), 2, 3, way.size, way.size), np.uint8)
    way.say(way.encode(pixels))
    # VmHWM ("high water mark") is the largest memory that the process ever had, in kB.
    kilobytes = STATUS.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]
    print(int(kilobytes) / 1024)
