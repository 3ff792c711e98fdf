"""How the steps of one network fall into epochs and looks, and what makes them repeatable."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch

from diaphane.learn.plans import Plan

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


@contextmanager
def reproducible(threads: int | None) -> Iterator[None]:
    """Deterministic algorithms and a fixed thread count inside; everything as before after.

    What a step frees stays with the process for the next step (where glibc is), until the end.
    """
    import os

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    if threads is not None:
        torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), which would import a compiler first.
    torch.set_deterministic_debug_mode("error")
    _allocate("mallopt", _M_TRIM_THRESHOLD, 1 << 30)
    _allocate("mallopt", _M_MMAP_THRESHOLD, 1 << 26)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        _allocate("malloc_trim", 0)
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])


def _allocate(name: str, *numbers: int) -> None:
    """Call a function of glibc's allocator, if there is one: fresh pages cost a tenth of a step."""
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), name)(*numbers)


@dataclass(frozen=True)
class Rhythm:
    """How the steps of one network fall into epochs and looks.

    Attributes
    ----------
    cases:
        Fitting cases.
    per_epoch:
        Batches that an epoch is cut into, all of about one size.
    steps:
        Of the whole schedule.
    look:
        Steps from one look at the stopping cases to the next: an epoch, unless the steps were
        given and an epoch would make fewer than 10 looks or more than 100.
    """

    cases: int
    per_epoch: int
    steps: int
    look: int

    @classmethod
    def of(cls, plan: Plan, cases: int) -> Rhythm:
        """The rhythm of a plan with ``cases`` to fit."""
        per_epoch = max(1, math.ceil(cases / plan.batch))
        if plan.steps is None:
            return cls(cases, per_epoch, plan.epochs * per_epoch, per_epoch)
        least, most = math.ceil(plan.steps / 100), math.ceil(plan.steps / 10)
        return cls(cases, per_epoch, plan.steps, min(max(per_epoch, least), most))

    def part(self, step: int) -> tuple[int, int, int]:
        """Epoch of a step, and where in that epoch's order its batch begins and ends."""
        epoch, number = divmod(step, self.per_epoch)
        bounds = [self.cases * n // self.per_epoch for n in (number, number + 1)]
        return epoch, bounds[0], bounds[1]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the CPU or a GPU."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return "allocate memory" in said or "out of memory" in said
