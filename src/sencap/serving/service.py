"""The weights of a server, and what is done with what it is sent."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from sencap.errors import SettingsError, nearest
from sencap.explain import Explanation, explain_pair, shown_and_sized
from sencap.figures.pages import photo_uri
from sencap.images import Reading
from sencap.predictor import Predictor, load
from sencap.rasters import import_rasterio
from sencap.serving.answers import Captions, Explained, Said, WeightsTold, Word
from sencap.serving.batching import Batcher
from sencap.serving.metrics import Metrics
from sencap.serving.settings import ServerSettings
from sencap.serving.uploads import UploadedPair
from sencap.structures import Caption, ImagePair
from sencap.weights import resolve_weights

_Result = TypeVar("_Result")

# Threads that read files: decoding a pair takes a fraction of captioning it.
_READERS = 2
# Digits behind the point of a map's values, so that answers stay small.
_DIGITS = 4


@dataclass(frozen=True)
class Choice:
    """What a request chose: weights by name, width of the search, threshold, how files
    are read."""

    weights: str
    predictor: Predictor
    beam: int
    reading: Reading


class Service:
    """The weights, loaded; the work, in threads. Use it with ``async with`` before it
    is asked.

    Raises:
        CheckpointError, SettingsError: as `sencap.load`; two folders of one name.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.predictors: dict[str, Predictor] = {}
        # No name at all means the weights that ship with sencap.
        for folder in (settings.weights or "").split(","):
            name = folder.strip() or None
            label = resolve_weights(name).label
            if label in self.predictors:
                raise SettingsError(
                    f"weights={settings.weights}: two folders are called "
                    f"{label}; requests name weights by that, so rename one"
                )
            # ONNX Runtime, so that a server needs no PyTorch.
            predictor = load(
                name, beam=settings.beam, precision=settings.precision, engine="onnx"
            )
            predictor.threshold = settings.threshold
            # What a server may spend on a pair goes before what the weights would like.
            predictor.beam = min(predictor.beam, settings.max_beam)
            self.predictors[label] = predictor
        self.batcher = Batcher(
            batch_size=settings.batch_size,
            wait=settings.batch_wait / 1000,
            seen=metrics.batches.observe,
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sencap-reader")
        self.ready = False

    def choose(
        self,
        weights: str | None,
        beam: int | None,
        threshold: float | None,
        reading: Reading,
    ) -> Choice:
        """What a request chose, or else what is usual here.

        Raises:
            SettingsError: weights that are not here, a search too wide, a threshold of
                weights that have no probability of change.
        """
        name = weights or next(iter(self.predictors))
        if name not in self.predictors:
            raise SettingsError(
                f"weights={name!r} are not here; {nearest(name, self.predictors)}"
            )
        predictor = self.predictors[name]
        beam = predictor.beam if beam is None else beam
        if beam > self.settings.max_beam:
            raise SettingsError(
                f"beam is {beam}; here it may be {self.settings.max_beam} at most"
            )
        # Weights that know no such probability go by what the sentence says, and a
        # threshold would have no effect.
        if threshold is not None and threshold != predictor.threshold:
            if predictor.decision == "search":
                raise SettingsError(
                    f"weights={name!r} tell no probability: leave threshold out"
                )
            # The copy shares the engine, so the weights are in memory once.
            predictor = copy.copy(predictor)
            predictor.threshold = threshold
        return Choice(name, predictor, beam, reading)

    async def captions(self, pairs: Sequence[UploadedPair], choice: Choice) -> Captions:
        """The captions of pairs; each is read and captioned by itself, as it is ready.

        Raises:
            SencapError: a pair cannot be read; then there are captions of none.
        """
        # A pair that is read early may be captioned while others are still being read.
        tasks = [asyncio.create_task(self._said(pair, choice)) for pair in pairs]
        try:
            said = await asyncio.gather(*tasks)
        finally:
            # Where one pair is refused, or the client has gone, nobody wants the
            # others.
            for task in tasks:
                task.cancel()
        return Captions(**_told(choice), pairs=list(said))

    async def _said(self, uploaded: UploadedPair, choice: Choice) -> Said:
        size, pixels = choice.predictor.size, self.settings.max_pixels
        pair = await self.in_thread(lambda: uploaded.read(size, choice.reading, pixels))
        caption = await self.batcher.caption(choice.predictor, choice.beam, pair)
        return _said(caption, pair)

    async def explained(self, uploaded: UploadedPair, choice: Choice) -> Explained:
        """The caption of one pair with its words' maps; errors as `captions`."""
        predictor = choice.predictor

        def read() -> tuple[ImagePair, ImagePair]:
            before, after = uploaded.before.source, uploaded.after.source
            with uploaded.within(self.settings.max_pixels):
                return shown_and_sized(before, after, predictor.size, choice.reading)

        def answer() -> Explained:
            images = [photo_uri(image) for image in found.pair.images]
            note = uploaded.without_paths(found.caption.note)
            said = _said(found.caption, found.pair).model_copy(update={"note": note})
            return Explained(
                **_told(choice),
                said=said,
                words=_words(found),
                before=images[0],
                after=images[1],
            )

        shown, sized = await self.in_thread(read)
        # A batch gives captions without maps, so the model runs for this pair alone.
        found = await self.batcher.alone(
            lambda: explain_pair(shown, sized, predictor, beam=choice.beam)
        )
        # Writing both images as PNG takes a while, too.
        return await self.in_thread(answer)

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Work in one of the few threads that read files; it is not begun if the
        request has gone."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def weights(self) -> list[WeightsTold]:
        """What there is to choose from."""
        found = []
        for name, predictor in self.predictors.items():
            loaded = predictor.loaded() or {}
            found.append(
                WeightsTold(
                    name=name,
                    commit=loaded.get("commit"),
                    sha256=loaded.get("sha256"),
                    size=predictor.size,
                    parameters=sum(predictor.parameters().values()),
                    vocabulary=len(predictor.checkpoint.vocabulary),
                    beam=predictor.beam,
                    decides_by=predictor.decision,
                )
            )
        return found

    async def __aenter__(self) -> Service:
        await self.batcher.__aenter__()
        # The first run of a graph takes longer than the others. A full batch takes at once
        # the memory that ONNX Runtime would else take bit by bit, and keep.
        for predictor in self.predictors.values():
            noise = np.random.default_rng(0).integers(
                0, 256, (2, 3, predictor.size, predictor.size), np.uint8
            )
            pair = ImagePair(noise, "warm-up")
            captions = [
                self.batcher.caption(predictor, predictor.beam, pair)
                for _ in range(self.settings.batch_size)
            ]
            await asyncio.gather(*captions)
        self.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ready = False
        await self.batcher.__aexit__()
        self._readers.shutdown(wait=True, cancel_futures=True)


def _told(choice: Choice) -> dict[str, Any]:
    return {
        "weights": choice.weights,
        "beam": choice.beam,
        "threshold": choice.predictor.threshold,
    }


def _said(caption: Caption, pair: ImagePair) -> Said:
    return Said.of_pair(caption, dict(pair.details), ground_of(pair.details))


def _words(explanation: Explanation) -> list[Word]:
    """The words with their maps, in multiples of an even share."""
    words = []
    for number, word in enumerate(explanation.words):
        looked, dates = None, None
        if explanation.word_maps is not None:
            # The shares of a map sum to 1; times the number of cells, 1 is an even look
            # at all of them.
            word_map = explanation.word_maps[number]
            shares = word_map * word_map.size
            looked = np.round(shares.astype(float), _DIGITS).tolist()
        if explanation.dates is not None:
            dates = np.round(explanation.dates[number].astype(float), _DIGITS).tolist()
        words.append(Word(word=word, looked=looked, dates=dates))
    return words


def ground_of(details: Any) -> dict[str, Any] | None:
    """The ground of a pair as a polygon of longitudes and latitudes; None where it is
    not known.

    ``details`` are those of its `ImagePair`.
    """
    crs, transform, pixels = (
        details.get(key) for key in ("crs", "transform", "pixels")
    )
    if crs is None or transform is None or pixels is None:
        return None
    a, b, c, d, e, f = transform
    width, height = pixels
    # From the upper left corner down, so that the ring runs against the clock, as
    # GeoJSON wants it; its last point is its first.
    places = ((0, 0), (0, height), (width, height), (width, 0), (0, 0))
    xs = [a * x + b * y + c for x, y in places]
    ys = [d * x + e * y + f for x, y in places]
    rasterio = import_rasterio("a georeference")
    # The affine transform takes columns and rows to coordinates of the file's
    # projection, this takes those to degrees.
    longitudes, latitudes = rasterio.warp.transform(crs, "EPSG:4326", xs, ys)
    ring = [
        [round(x, 7), round(y, 7)] for x, y in zip(longitudes, latitudes, strict=True)
    ]
    # A projection has no degrees for some places, such as beyond its horizon.
    if not np.isfinite(ring).all():
        return None
    return {"type": "Polygon", "coordinates": [ring]}
