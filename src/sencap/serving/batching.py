"""The one thread that runs the model: it captions together what requests and scans ask
at about the same time, and explains a pair between two batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sencap.predictor import Predictor
from sencap.structures import Caption, ImagePair

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Asked:
    """A pair that waits for its caption, by which predictor and how wide a search."""

    predictor: Predictor
    beam: int
    pair: ImagePair
    caption: asyncio.Future[Caption]

    def goes_with(self, other: _Asked) -> bool:
        """Whether both may be captioned at once."""
        # The search of a batch has one width, and a threshold of a request's own makes
        # a predictor of its own.
        return self.predictor is other.predictor and self.beam == other.beam


class Batcher:
    """Captions pairs in batches of what is there.

    A pair waits ``wait`` seconds for others, less if the batch is full. A pair whose
    request has gone is left out. Use it with ``async with``.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        wait: float,
        seen: Callable[[int], object] | None = None,
    ) -> None:
        self._batch_size, self._wait, self._seen = batch_size, wait, seen
        self._waiting: deque[_Asked] = deque()
        # Set while a pair waits, and while a full batch does.
        self._some, self._full = asyncio.Event(), asyncio.Event()
        # One thread: the model uses all cores for one batch, and two batches at once
        # would only slow each other down.
        self._model = ThreadPoolExecutor(1, thread_name_prefix="sencap-model")
        self._loop: asyncio.Task[None] | None = None

    async def caption(
        self, predictor: Predictor, beam: int, pair: ImagePair
    ) -> Caption:
        """The caption of a pair, at the model's size; whoever stops waiting gives its
        place up."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(predictor, beam, pair, future))
        self._some.set()
        if len(self._waiting) >= self._batch_size:
            self._full.set()
        # A request that is cancelled cancels this future, and `_take` then leaves the
        # pair out.
        caption: Caption = await future
        return caption

    async def alone(self, work: Callable[[], _Result]) -> _Result:
        """What comes of work that has the model to itself, in its turn: after the batch
        that runs, and before the next. It is not begun if the request has gone."""
        return await asyncio.get_running_loop().run_in_executor(self._model, work)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            # The first pair is there; others get a little time to join it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait):
                    await self._full.wait()
            batch = self._take()
            if not batch:
                continue
            if self._seen is not None:
                self._seen(len(batch))
            try:
                # In the thread of the model, so that new requests are taken meanwhile.
                captions = await loop.run_in_executor(self._model, _caption, batch)
            except Exception as error:
                # An error is told to every request of the batch, and the next batch is
                # taken.
                for asked in batch:
                    if not asked.caption.done():
                        asked.caption.set_exception(error)
                continue
            for asked, caption in zip(batch, captions, strict=True):
                if not asked.caption.done():
                    asked.caption.set_result(caption)

    def _take(self) -> list[_Asked]:
        """The next batch: the first that waits, and those that go with it."""
        waiting = [asked for asked in self._waiting if not asked.caption.done()]
        # Those that do not go with the first keep their places in the queue.
        batch = [asked for asked in waiting if asked.goes_with(waiting[0])][
            : self._batch_size
        ]
        taken = {id(asked) for asked in batch}
        self._waiting = deque(asked for asked in waiting if id(asked) not in taken)
        if not self._waiting:
            self._some.clear()
        # What is left may be a full batch again, of other weights or another width.
        if len(self._waiting) < self._batch_size:
            self._full.clear()
        return batch

    async def __aenter__(self) -> Batcher:
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        self._model.shutdown(wait=True, cancel_futures=True)


def _caption(batch: list[_Asked]) -> list[Caption]:
    first = batch[0]
    return first.predictor.caption_pairs(
        [asked.pair for asked in batch], beam=first.beam
    )
