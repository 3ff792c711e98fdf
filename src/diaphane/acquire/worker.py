"""The process that decodes what could break the program that decodes it.

Started by :mod:`diaphane.acquire.isolation`, which it obeys over its standard input and output:
a request is a line of JSON that names a function of diaphane; the answer a line of JSON for each
array, followed by its bytes, and a last line. It can open files but write none, has bounds of
memory and time for each request, and ends when its program does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Answer = Iterator[tuple[dict[str, Any], Array]]
Task = Callable[..., Answer]
"""Takes a path and arguments that JSON can say, and gives arrays with facts that JSON can say."""

IDLE_SECONDS = 120.0
"""A worker that nobody asks for so long ends."""


def main() -> None:
    """Answer requests until the input ends."""
    requests, answers = _private_pipes()
    with contextlib.suppress(AttributeError, ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    _send(answers, {"ready": os.getpid()})
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        while True:
            _end_after(IDLE_SECONDS, nowhere)
            line = requests.readline()
            if not line:
                os._exit(0)
            request = json.loads(line)
            task = _task(request["module"], request["function"])
            clock = _Clock(request["seconds"], nowhere)
            _bound(request["cpu_seconds"], request["memory_bytes"])
            _answer(answers, task, request, clock)
            _unbound()  # waiting and loading are not the request's


def _task(module: str, function: str) -> Task:
    """A function of ours, with what it needs loaded, so that this counts before the bounds."""
    home = importlib.import_module(module)
    for name in getattr(home, "PRELOADED", ()):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    task: Task = getattr(home, function)
    return task


def _end_after(seconds: float, nowhere: TextIO) -> None:
    """End this process then, also inside a codec: nothing of Python is needed for it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:  # Windows
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)


def _end_no_more() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        faulthandler.cancel_dump_traceback_later()


class _Clock:
    """Ends this process after so many seconds of work; waiting for the reader does not count."""

    def __init__(self, seconds: float, nowhere: TextIO) -> None:
        self._left, self._nowhere = seconds, nowhere
        self.go()

    def go(self) -> None:
        """Work begins."""
        self._since = time.monotonic()
        _end_after(max(self._left, 0.001), self._nowhere)

    def rest(self) -> None:
        """Work pauses."""
        _end_no_more()
        self._left -= time.monotonic() - self._since


def _answer(answers: BinaryIO, task: Task, request: Mapping[str, Any], clock: _Clock) -> None:
    from diaphane.core.errors import DiaphaneError

    told: dict[str, Any]
    try:
        for facts, array in task(Path(request["path"]), **request["arguments"]):
            whole = np.ascontiguousarray(array)
            clock.rest()
            _send(answers, {"dtype": whole.dtype.str, "shape": whole.shape, "facts": facts})
            answers.write(whole.data.cast("B") if whole.size else b"")
            clock.go()
    except DiaphaneError as error:
        told = {"error": error.code, "problem": error.problem, "remedy": error.remedy}
    except (MemoryError, RecursionError) as error:
        told = {"limit": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - told to the program, which refuses the file
        told = {"unexpected": type(error).__name__}
    else:
        told = {"done": True}
    clock.rest()  # before the last word, after which the next request may come
    _send(answers, told)


def _send(answers: BinaryIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    answers.flush()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output for the program alone: what codecs print goes nowhere."""
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _bound(cpu_seconds: float, memory_bytes: int) -> None:
    """Bound processor time and address space from here on, where the system can."""
    if sys.platform != "linux":  # macOS accepts the bound of memory but does not keep it
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit("RLIMIT_CPU", int(used.ru_utime + used.ru_stime + cpu_seconds) + 1)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _limit("RLIMIT_AS", pages * resource.getpagesize() + memory_bytes)


def _unbound() -> None:
    """Take the bounds of the last request off."""
    for name in ("RLIMIT_CPU", "RLIMIT_AS"):
        _limit(name, sys.maxsize)


def _limit(name: str, soft: int) -> None:
    """Set a soft limit, where the system has it, within the hard one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    within = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (within, hard))


if __name__ == "__main__":
    main()
