"""Things made ahead by threads, handed out in order.

Threads share the one copy of the dataset. What item ``n`` is depends on ``n`` alone, so neither the
number of threads nor their pace changes what training sees.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

_BESIDE_GPU = 8
"""Most threads that feed a GPU: beyond it they wait for each other's Python."""


class Ahead(Generic[T]):
    """Items ``first`` to ``last - 1``, made ahead in threads and iterated over once.

    A context manager: leaving it stops the threads and drops what was made ahead. An error in
    ``make`` is raised where its item would have come.

    Parameters
    ----------
    make:
        Item by number; called from several threads at once, each with one torch thread.
    workers:
        Threads; 0 makes every item when it is asked for.
    depth:
        Items that may wait, which bounds the memory; two more than workers by default.

    Attributes
    ----------
    waited:
        Seconds for which the taker had to wait so far.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        first: int,
        last: int,
        *,
        workers: int = 1,
        depth: int | None = None,
    ) -> None:
        self.waited = 0.0
        self._make, self._next, self._last = make, first, last
        self._workers, self._depth = workers, depth or workers + 2
        self._queue: deque[Future[T]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Ahead[T]:
        if self._workers > 0:
            # The number of torch threads belongs to each thread; the taker's stays.
            self._pool = ThreadPoolExecutor(
                self._workers, "ahead", initializer=torch.set_num_threads, initargs=(1,)
            )
            self._fill()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.clear()

    def __iter__(self) -> Iterator[T]:
        while self._queue or self._next < self._last:
            began = time.perf_counter()
            if self._pool is None:
                item = self._make(self._next)
                self._next += 1
            else:
                item = self._queue.popleft().result()
                self._fill()
            self.waited += time.perf_counter() - began
            yield item

    def _fill(self) -> None:
        assert self._pool is not None
        while len(self._queue) < self._depth and self._next < self._last:
            self._queue.append(self._pool.submit(self._make, self._next))
            self._next += 1


def loading_threads(threads: int, device: torch.device) -> int:
    """Threads that make batches beside ``threads`` that compute on ``device``.

    One beside a CPU that computes, two on a large machine; a GPU leaves the cores to them.
    """
    if device.type == "cpu":
        return 1 if threads <= 4 else 2
    return min(_BESIDE_GPU, max(2, (os.cpu_count() or 2) - 1))
