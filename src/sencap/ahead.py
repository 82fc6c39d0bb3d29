"""Work done ahead of whoever needs its results: files are read in threads while the
model is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_Result = TypeVar("_Result")

# Decoding a PNG takes a fraction of captioning it, and each holds an image of full size.
THREADS = 2
# Results that wait at the most: two batches of the model's size.
MOST = 32


def ahead(
    function: Callable[[Item], _Result],
    items: Iterable[Item],
    *,
    threads: int = THREADS,
    most: int = MOST,
) -> Iterator[_Result]:
    """The results of a function, in the order of the items, worked out in threads
    before they are asked for.

    At most ``most`` of them are waiting at any time. An error of the function comes up
    where its result would. Whoever stops asking ends the work that has not begun.
    """
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sencap-ahead")
    try:
        # Submitted one by one, so that an endless list of items is never read to its
        # end.
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
