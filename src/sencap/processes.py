"""Work in several processes that never outlive this one: what `sencap synth` and
`sencap pack` share.

The processes are new ones (spawned on every system). They do not run the user's script
again, so a script needs no ``if __name__ == "__main__":`` for them. They leave Ctrl-C
to this process and end with it, even if it is killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context, parent_process
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from sencap.errors import SencapError, SettingsError, Terminated

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

# Jobs per process that may be worked on before their turn: results that wait for an
# earlier one take memory.
_AHEAD = 4
_PATIENCE = 5  # seconds that a process which has ended may take to be gone
_CONTEXT = get_context("spawn")  # the one way to start processes that every system has


@dataclass(frozen=True)
class _Worker:
    """A process, and our end of the pipe to it."""

    process: BaseProcess
    pipe: Any  # of another class on Windows


@dataclass(frozen=True)
class _Outcome:
    """What came of a job: a result or an error."""

    result: Any = None
    error: BaseException | None = None


def map_in_order(
    function: Callable[[_Job], _Result], jobs: Sequence[_Job], *, workers: int
) -> Generator[_Result, None, None]:
    """``function(job)`` for each job, in the order of the jobs, worked out by
    ``workers`` processes.

    ``workers`` is the number of processes; 0 is one per core, 1 is this process. What
    cannot be handed to another process is worked on in this one, which is logged. Close
    the iterator (`contextlib.closing`) when it is not read to its end: that ends the
    processes, as do an error, Ctrl-C and SIGTERM in this process.

    Raises:
        SencapError: a process ended before its work did; and whatever ``function``
            raises.
        SettingsError: this is a process that someone else started and that is still
            loading the user's script.
        Terminated: a process was ended by SIGTERM, so this one is to end too.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    handed = _handed_over(function) if count > 1 else None
    if handed is None:
        yield from map(function, jobs)
        return
    with _team(count, handed) as team:
        yield from _results(team, jobs)


# -- here: hand out, collect, end ------------------------------------------------------


def _handed_over(function: Callable[..., Any]) -> bytes | None:
    """The function as bytes; None, and a line in the log, where other processes cannot
    be used."""
    here = current_process()
    # multiprocessing sets this while a new process loads the script that started it. A
    # script that starts processes as it is loaded would start them without end.
    if getattr(here, "_inheriting", False):
        raise SettingsError(
            "this script is being loaded by a process that it started itself; put "
            "what it does below `if __name__ == '__main__':`"
        )
    log = logging.getLogger(__name__)
    if here.daemon:
        log.warning(
            "working in one process: this one was started by another, and may start "
            "none"
        )
        return None
    try:
        with _main_hidden():
            return pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        log.warning(
            "working in one process, since others cannot load what is to be worked "
            "on (%s); for several, put its class into a module of its own and import "
            "it",
            error,
        )
        return None


@contextlib.contextmanager
def _team(count: int, handed: bytes) -> Iterator[list[_Worker]]:
    """Processes that have the function; at the end of the block they are ended,
    whatever they do."""
    team: list[_Worker] = []
    try:
        for _ in range(count):
            # All processes are started before the function is sent: they load side by
            # side.
            team.append(_start())
        for worker in team:
            _send(worker, handed)
        yield team
    finally:
        for worker in team:
            # Kill and not terminate: a process may be deep in a library that heeds no
            # signal. Results are whole by then or not wanted.
            worker.process.kill()
        for worker in team:
            worker.process.join(_PATIENCE)
            worker.pipe.close()


def _start() -> _Worker:
    ours, theirs = _CONTEXT.Pipe()
    # A daemon: Python ends it as this process ends in the usual way.
    process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
    with _main_hidden(), _interrupts_held():
        process.start()
    theirs.close()  # so that reading ours ends when the process does
    return _Worker(process, ours)


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep the user's script from being run again by each new process, and from being
    pickled by name."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits to the end of the block; a process started in it never gets one, not
    even as it loads."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415  (not on Windows)

    resource_tracker.ensure_running()  # starting it later would let interrupts in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _results(team: list[_Worker], jobs: Sequence[Any]) -> Iterator[Any]:
    """The results in the order of the jobs; each process has one job at a time."""
    idle = list(team)
    working: dict[Any, tuple[_Worker, int]] = {}  # by pipe, who works on which job
    finished: dict[int, Any] = {}  # results whose turn has not come
    handed_out = 0
    for turn in range(len(jobs)):
        while turn not in finished:
            # No job is begun that lies too far ahead of the one whose turn it is.
            last = min(turn + _AHEAD * len(team), len(jobs))
            while idle and handed_out < last:
                worker = idle.pop()
                _send(worker, pickle.dumps(jobs[handed_out]))
                working[worker.pipe] = worker, handed_out
                handed_out += 1
            # Sleeps until at least one process has answered, or has ended.
            for pipe in connection.wait(list(working)):
                worker, number = working.pop(pipe)
                finished[number] = _receive(worker)
                idle.append(worker)
        yield finished.pop(turn)


def _send(worker: _Worker, content: bytes) -> None:
    try:
        worker.pipe.send_bytes(content)
    except OSError as error:
        raise _ended(worker) from error


def _receive(worker: _Worker) -> Any:
    try:
        outcome: _Outcome = worker.pipe.recv()
    except (EOFError, OSError) as error:
        raise _ended(worker) from error
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


def _ended(worker: _Worker) -> BaseException:
    """What to raise for a process that has ended although there was work for it."""
    worker.process.join(_PATIENCE)
    code = worker.process.exitcode
    # SIGTERM to one of a group is meant for all: a scheduler that stops a job sends it
    # to each process.
    if code == -signal.SIGTERM:
        return Terminated()
    return SencapError(
        f"a worker process ended before its work did (exit code {code}), perhaps for "
        "want of memory; give the same command again, with fewer workers"
    )


# -- there: one worker process ---------------------------------------------------------


def _serve(pipe: Any) -> None:
    """What a worker process does: take the function, then one job after the other,
    until it is ended."""
    # Ctrl-C reaches all processes; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function = _loaded(pipe.recv_bytes())
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(function, job))


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone, then end at once, whatever
    is being done."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


def _loaded(handed: bytes) -> Callable[[Any], Any]:
    """The function from its bytes, or one that tells why it cannot be loaded."""
    try:
        function: Callable[[Any], Any] = pickle.loads(handed)  # noqa: S301  (our own parent process wrote it)
    except Exception as error:  # whatever an import can raise
        reason = str(error)

        def cannot(_: Any) -> Any:
            raise SencapError(
                f"a worker process cannot load what it is to work on ({reason}); "
                "give workers=1, or put its class into a module that can be imported"
            )

        return cannot
    return function


def _outcome(function: Callable[[Any], Any], job: Any) -> _Outcome:
    try:
        return _Outcome(function(job))
    except Exception as error:
        return _Outcome(error=_portable(error))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent; one that is not ours, a mistake of the program,
    tells where it happened."""
    if not isinstance(error, SencapError):
        # The traceback of another process cannot be pickled; its text can.
        error.add_note(
            "In a worker process:\n" + "".join(traceback.format_exception(error))
        )
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    except Exception:  # whatever its class does when it is made again
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
