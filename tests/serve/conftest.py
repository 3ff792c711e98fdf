"""A receiver in a process of its own, as a person starts it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import peers
from commands import Command


class Running:
    """``diaphane receive`` at work."""

    def __init__(self, out: Path, *words: object, port: int | None = None) -> None:
        self.out = out
        self.port = port or peers.free_port()
        self._words = ("receive", "--out", out, "--port", self.port, *words)
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self._command = Command(*self._words)
        peers.until(lambda: peers.listens(self.port) or not self._command.running)

    def kill(self) -> None:
        """As a loss of power would, for the process."""
        self._command.send(signal.SIGKILL)
        self._command.done()

    def stop(self) -> Any:
        """As a service manager does; what it said."""
        if self._command.running:
            self._command.send(signal.SIGTERM)
        return self._command.done(60)

    def studies(self) -> dict[str, list[Path]]:
        """What was handed on, folder by folder."""
        return {p.name: sorted(p.iterdir()) for p in sorted((self.out / "studies").glob("*"))}


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts receivers that end with the test."""
    started: list[Running] = []

    def start(*words: object, **more: Any) -> Running:
        started.append(Running(more.pop("out", tmp_path / "out"), *words, **more))
        return started[-1]

    yield start
    for running in started:
        running.stop()
