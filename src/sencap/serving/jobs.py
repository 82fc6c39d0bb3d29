"""Work that takes longer than a request may: it is started, asked after, fetched,
cancelled.

Jobs are worked off one after the other, in a thread of their own. Nothing of them is on
the disk under a name. Their ids cannot be guessed.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from sencap.errors import SencapError
from sencap.serving.problems import Refused

_log = logging.getLogger(__name__)

_State = Literal["waiting", "running", "finished", "failed", "cancelled"]


class Cancelled(Exception):  # noqa: N818  (no error: it was asked for)
    """Raised in a job's work where it notices that it was cancelled."""


@dataclass
class Job:
    """A piece of work, how far it is, and what came of it."""

    # 128 random bits: who knows the id may see and cancel the job.
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: _State = "waiting"
    done: int = 0
    total: int = 0
    problem: str = ""
    result: Any = None
    # By time.monotonic(), which no correction of the clock moves; None: not ended yet.
    ended: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def goes_on(self, done: int, total: int) -> None:
        """Told by the work, piece by piece.

        Raises:
            Cancelled: nobody wants it any more.
        """
        self.done, self.total = done, total
        if self._stop.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Let the work end at its next piece, or not begin."""
        # A thread cannot be ended from outside; the work looks at this now and then.
        self._stop.set()
        if self.state == "waiting":
            self.state = "cancelled"

    def run(self, work: Callable[[Job], Any]) -> None:
        """Do the work, whatever comes of it."""
        try:
            # It may have been cancelled while it waited.
            self.goes_on(0, 0)
            self.state = "running"
            self.result = work(self)
            self.state = "finished"
        except Cancelled:
            self.state = "cancelled"
        # What the client can mend is told; other errors are ours, and go to the log.
        except SencapError as error:
            self.state, self.problem = "failed", str(error)
        except Exception as error:
            _log.exception("error: a job failed", exc_info=error)
            self.state, self.problem = "failed", "the server failed; its log says why"
        finally:
            self.ended = time.monotonic()


class Jobs:
    """The jobs of a server. ``most`` may wait or run; of those that ended as many are
    kept, the newest, for ``keep`` seconds."""

    def __init__(self, *, most: int, keep: float) -> None:
        self._most, self._keep = most, keep
        self._jobs: dict[str, Job] = {}
        # One scan at a time; its pairs share the model with those of requests.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sencap-job")

    def start(self, work: Callable[[Job], Any]) -> Job:
        """Put work into the queue.

        Raises:
            Refused: there are too many jobs.
        """
        # Old results go when somebody asks for a job; no clock is needed.
        self._forget()
        if self.unfinished >= self._most:
            raise Refused(
                503,
                f"{self._most} jobs are waiting: cancel one, or try again",
                retry_after=60,
            )
        job = Job()
        self._jobs[job.id] = job
        self._worker.submit(job.run, work)
        return job

    def get(self, job_id: str) -> Job:
        """A job.

        Raises:
            Refused: there is none, or none any more.
        """
        self._forget()
        if job_id not in self._jobs:
            minutes = round(self._keep / 60)
            raise Refused(
                404, f"there is no such job; results are kept for {minutes} minutes"
            )
        return self._jobs[job_id]

    def cancel(self, job_id: str) -> None:
        """Let a job end, and forget it with its result; errors as `get`."""
        self.get(job_id).cancel()
        # A job that still runs ends at its next piece, and its result is nobody's.
        del self._jobs[job_id]

    @property
    def unfinished(self) -> int:
        """How many wait or run."""
        return sum(job.ended is None for job in self._jobs.values())

    def close(self) -> None:
        """End all of them."""
        for job in self._jobs.values():
            job.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _forget(self) -> None:
        now = time.monotonic()
        ended = [
            (job.ended, key) for key, job in self._jobs.items() if job.ended is not None
        ]
        # Latest end first: the oldest results go when there are too many.
        newest = sorted(ended, reverse=True)
        for place, (moment, key) in enumerate(newest):
            if place >= self._most or now - moment > self._keep:
                del self._jobs[key]
