"""Decoding in other processes, so that a codec that breaks down refuses one file.

Native decoders crash, hang or take all memory on some damaged files. They run in
:mod:`diaphane.acquire.worker`: a few processes, started when first needed, used again for the
next file, and ended with the program. Each request has bounds of memory and time.

Where no process can be started (a frozen program, a system without them), decoding happens here,
unbounded, and a warning is logged.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import worker
from diaphane.acquire.bounds import LIMITS, SECONDS, SLOWEST
from diaphane.core import errors
from diaphane.core.errors import OverLimit, UnreadableFile
from diaphane.core.options import Limits

_log = logging.getLogger(__name__)

_START_SECONDS = 120.0
_MOST_IDLE = 8
_ALONE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
_ANY_BYTES = 448 * 2**20  # that any file may take, however small
_SLOWEST = 4e6  # decoded bytes a second; healthy codecs do 10 to 200 million
_TIMED_OUT = {-14, -24, 1}  # SIGALRM, SIGXCPU; the watch on Windows

Array = NDArray[Any]


@dataclass(frozen=True)
class Load:
    """What a request is about, in bytes.

    Attributes
    ----------
    array, decoded:
        Of the largest array that it answers with, and of all of them.
    stored:
        Of the file.
    libraries:
        That are loaded within the request.
    """

    array: int
    decoded: int
    stored: int
    libraries: int = 0


@dataclass(frozen=True)
class Budget:
    """What a request may take.

    Attributes
    ----------
    memory_bytes:
        Beyond what the worker has already.
    cpu_seconds, seconds:
        Of the processor, and by the clock; that stands still while the answer is awaited.
    """

    memory_bytes: int
    cpu_seconds: float
    seconds: float

    @classmethod
    def of(cls, load: Load, limits: Limits = LIMITS) -> Budget:
        """In proportion to the answer, but no more than a file of its size can honestly need.

        Whatever it declares, a small file gets less than 0.5 GiB and 5 s, with the memory of its
        libraries on top. What ``limits`` state takes the place of the proportion.
        """
        memory = min(256 * 2**20 + 16 * load.array, _ANY_BYTES + 16 * load.stored)
        work = (load.decoded + load.stored) / _SLOWEST
        most = load.stored / SLOWEST
        cpu, clock = min(3.0 + work, SECONDS + most), min(8.0 + 4.0 * work, 10.0 + 8.0 * most)
        return cls(
            memory + 4 * load.stored + load.libraries
            if limits.memory_bytes is None
            else limits.memory_bytes,
            cpu if limits.seconds is None else limits.seconds,
            clock if limits.seconds is None else limits.seconds,
        )


def isolated(
    task: worker.Task, path: Path, budget: Budget, **arguments: Any
) -> Iterator[tuple[dict[str, Any], Array]]:
    """Arrays, each with its facts, that a function of a module of ours gives for a file.

    Modules that its own module lists as ``PRELOADED`` do not count as its memory.

    Raises
    ------
    OverLimit
        When it takes more memory or time than its budget.
    UnreadableFile
        When the worker breaks down.
    InputError
        What the task itself raises.
    """
    try:
        mate = _pool.take()
    except OSError as error:
        _warn(error)
        yield from task(path, **arguments)
        return
    whole = False
    try:
        mate.ask(
            {
                "module": task.__module__,
                "function": task.__name__,
                "path": str(path.absolute()),
                "arguments": arguments,
                "memory_bytes": budget.memory_bytes,
                "cpu_seconds": budget.cpu_seconds,
                "seconds": budget.seconds,
            }
        )
        while True:
            told = mate.hear()
            if told is None:
                raise _ended(mate.wait(), path)
            if "shape" not in told:
                whole = True
                break
            yield told["facts"], mate.array(told, path)
    finally:
        _pool.give_back(mate) if whole else _pool.drop(mate)
    refusal = _refusal(told, path)
    if refusal is not None:
        raise refusal


def _ended(code: int | None, path: Path) -> errors.InputError:
    if code in _TIMED_OUT:
        return OverLimit(
            "Decoding takes too long for an image of its size.",
            path=path,
            remedy="The file is damaged, or made to do harm; export it again.",
        )
    return UnreadableFile(
        f"The decoder broke down on the pixels (it ended with {code}).",
        path=path,
        remedy="Copy or export the file again.",
    )


def _refusal(told: Mapping[str, Any], path: Path) -> errors.DiaphaneError | None:
    if "error" in told:
        kind = getattr(errors, str(told["error"]), UnreadableFile)
        found: errors.DiaphaneError = kind(told["problem"], path=path, remedy=told["remedy"])
        return found
    if "limit" in told:
        return OverLimit(
            "Decoding takes more memory than an image of its size can need.",
            path=path,
            remedy="The file is damaged, or made to do harm; export it again.",
        )
    if "unexpected" in told:
        return UnreadableFile(f"The file is damaged ({told['unexpected']}).", path=path)
    return None


class _Mate:
    """One worker process and its pipes."""

    def __init__(self) -> None:
        package = str(Path(__file__).resolve().parents[2])
        known = [place for place in sys.path if Path(place).is_absolute()]
        paths = {"PYTHONPATH": os.pathsep.join([package, *known])}
        # -P: never import from the current folder, which may hold what is being read.
        command = [sys.executable, "-P", "-m", "diaphane.acquire.worker"]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ALONE | paths,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests: IO[bytes] = self.process.stdin
        self._answers: Any = self.process.stdout
        self._spare = b""
        self.free_since = time.monotonic()
        watch = threading.Timer(_START_SECONDS, self.process.kill)
        watch.daemon = True
        watch.start()
        _widen(self._answers)
        ready = self.hear()
        watch.cancel()
        if ready is None or "ready" not in ready:
            self.end()
            raise OSError("the worker process does not start")

    def ask(self, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # told when listening
            self._requests.write(json.dumps(request).encode() + b"\n")

    def hear(self) -> dict[str, Any] | None:
        """The next line; ``None`` when the worker has ended."""
        while b"\n" not in self._spare:
            more = self._answers.read(65536)
            if not more:
                return None
            self._spare += more
        line, self._spare = self._spare.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def array(self, told: Mapping[str, Any], path: Path) -> Array:
        """The array whose bytes follow the line that announced it."""
        out = np.empty(tuple(told["shape"]), np.dtype(told["dtype"]))
        into = memoryview(out.reshape(-1).view(np.uint8).data)
        have = min(len(self._spare), len(into))
        into[:have] = self._spare[:have]
        self._spare = self._spare[have:]
        while have < len(into):
            count = self._answers.readinto(into[have:])
            if not count:
                raise _ended(self.wait(), path)
            have += count
        return out

    def wait(self) -> int | None:
        """How it ended."""
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Kill it, and let the system forget it."""
        self.process.kill()
        self.forget()
        self.process.wait()

    def forget(self) -> None:
        """Close its pipes, upon which it ends by itself."""
        self._requests.close()
        self._answers.close()


class _Pool:
    """Workers that wait, and those at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Mate] = []
        self._all: set[_Mate] = set()

    def take(self) -> _Mate:
        """A worker for the caller alone.

        Raises
        ------
        OSError
            When none can be started.
        """
        while True:
            with self._lock:
                mate = self._idle.pop() if self._idle else None
            if mate is None:
                break
            fresh = time.monotonic() - mate.free_since < worker.IDLE_SECONDS / 2
            if fresh and mate.process.poll() is None:
                return mate
            self.drop(mate)
        if getattr(sys, "frozen", False) or not sys.executable:
            raise OSError("there is no Python to start")
        mate = _Mate()
        with self._lock:
            self._all.add(mate)
        return mate

    def give_back(self, mate: _Mate) -> None:
        mate.free_since = time.monotonic()
        with self._lock:
            room = len(self._idle) < _MOST_IDLE
            if room:
                self._idle.append(mate)
        if not room:
            self.drop(mate)

    def drop(self, mate: _Mate) -> None:
        with self._lock:
            self._all.discard(mate)
        mate.end()

    def close(self) -> None:
        """End all; the program ends."""
        with self._lock:
            mates, self._all, self._idle = self._all, set(), []
        for mate in mates:
            mate.end()

    def forget(self) -> None:
        """In a forked child: the workers are the parent's, and so is the far end of their pipes."""
        mates = self._all
        self.__init__()  # type: ignore[misc]
        for mate in mates:
            mate.forget()
            mate.process.returncode = 0  # not a child of this process


def _widen(pipe: IO[bytes]) -> None:
    """Room for whole frames in the pipe, on Linux."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 2**20)


def _warn(error: OSError) -> None:
    if not _Warned.already:
        _Warned.already = True
        _log.warning("Compressed pixels are decoded without a process of their own: %s", error)


class _Warned:
    already = False


_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
