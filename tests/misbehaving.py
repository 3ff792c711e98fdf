"""Tasks of a worker process that do what damaged files make codecs do."""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np


def answers(path, count=3):
    """Behave."""
    for number in range(count):
        yield {"pid": os.getpid(), "number": number}, np.full((number, 2), number, np.int16)


def crashes(path):
    """Give one array, then read from address 0."""
    yield {}, np.ones(4)
    ctypes.string_at(0)


def hangs(path):
    """Never come back."""
    while True:
        time.sleep(0.01)
    yield


def spins(path):
    """Never come back, and keep the processor busy."""
    while True:
        pass
    yield


def hogs(path):
    """Take 4 GB."""
    yield {}, np.ones(2**29)


def chatters(path):
    """Print as codecs do, below Python."""
    os.write(1, b"{}\n" * 100)
    os.write(2, b"warning\n" * 10000)
    yield {}, np.zeros(3, np.uint8)


def writes(path):
    """Try to write a file."""
    path.write_bytes(b"written")
    yield {}, np.zeros(1)


def large(path, count):
    """Arrays larger than any pipe holds."""
    for _ in range(count):
        yield {}, np.zeros(2**22, np.uint8)
