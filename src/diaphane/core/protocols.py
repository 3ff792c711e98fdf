"""What an app and a runner are, for those who may not know them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from diaphane.core.finding import Analysis
from diaphane.core.options import AS_IS, ReadOptions

Progress = Callable[[str, float], None]
"""Called with a stage's code and the share done, 0 to 1."""


def silent(stage: str, share: float) -> None:
    """A :data:`Progress` that shows nothing."""


@runtime_checkable
class Runner(Protocol):
    """A model without a framework: named arrays in, named arrays out (float32)."""

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float32]]:
        """Run the model once."""
        ...


@dataclass(frozen=True)
class Request:
    """One call of an app.

    Attributes
    ----------
    path:
        File or folder of the study.
    points:
        The reader's own points, LPS ``(x, y, z)`` mm.
    series:
        Series UID, number, ``number.index`` or key to take, or ``None`` for the app's rule.
    stack:
        ``True``: a folder of images is one stack; ``False``: one case per image;
        ``None``: as the bundle says.
    threads:
        Compute threads; ``None`` for all cores.
    options:
        What may be repaired when reading, and within which limits.
    """

    path: Path
    points: Sequence[tuple[float, float, float]] = ()
    series: str | None = None
    stack: bool | None = None
    threads: int | None = None
    progress: Progress = silent
    options: ReadOptions = AS_IS


@runtime_checkable
class App(Protocol):
    """A clinical task, from a study to findings."""

    @property
    def name(self) -> str:
        """What ``--with`` calls it."""
        ...

    @property
    def version(self) -> str:
        """Of the app, not of the program."""
        ...

    def analyze(self, request: Request) -> Analysis:
        """Read the study at ``request.path`` and say what it shows.

        Raises :class:`~diaphane.core.errors.InputError` for a study that it cannot read.
        """
        ...
