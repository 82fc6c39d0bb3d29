"""Ctrl-C and SIGTERM in a run: it stops where nothing is half done.

Python would raise in the middle of anything: with a lock of a logger held, so that
closing the logger waits for ever, or in a clean-up of its own, where the interrupt is
lost.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.callbacks import Callback

from sencap.errors import Terminated

SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class StopAtBatch(Callback):
    """Raises, before the next batch, what a signal has asked for; a second signal does
    not wait."""

    def __init__(self) -> None:
        self.asked: KeyboardInterrupt | None = None
        self.listens = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals in the block, and raise at its end what came too late for a
        batch."""
        # Put back at the end: whoever called may have handlers of its own.
        before = {number: signal.getsignal(number) for number in SIGNALS}
        # Python lets no other thread take signals.
        self.listens = threading.current_thread() is threading.main_thread()
        self._listen()
        try:
            yield
        except Exception as error:
            # What fails as the run is being stopped, such as a loading process that got
            # the signal too.
            if self.asked is not None:
                raise self.asked from error
            raise
        finally:
            if self.listens:
                for number, handler in before.items():
                    signal.signal(number, handler)
        self.raise_if_asked()

    def raise_if_asked(self) -> None:
        """Raise KeyboardInterrupt or Terminated if a signal came."""
        if self.asked is not None:
            raise self.asked

    def _listen(self) -> None:
        for number in SIGNALS:
            # A signal that is ignored stays so, as Ctrl-C is by a job in the background of
            # a script.
            is_ignored = signal.getsignal(number) == signal.SIG_IGN
            if self.listens and not is_ignored:
                signal.signal(number, self._take)

    def _take(self, number: int, _: object) -> None:
        # A first signal is only noted; `raise_if_asked` raises it between two batches.
        again = self.asked is not None
        self.asked = SIGNALS[signal.Signals(number)]()
        if again:
            raise self.asked

    def on_train_start(self, *_: object) -> None:
        """Listen again: Lightning has put a handler of its own in our place."""
        self._listen()

    def on_train_batch_start(self, *_: object) -> None:
        """See the class."""
        self.raise_if_asked()

    def on_validation_batch_start(self, *_: object) -> None:
        """See the class."""
        self.raise_if_asked()
