"""How long each stage of an analysis took, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from diaphane.core.protocols import Progress, silent


@dataclass
class Stages:
    """Times stages and reports them; a stage that comes again adds to its time.

    Attributes
    ----------
    progress:
        Told the stage's code and the share done when it begins.
    seconds:
        By stage, in order.
    """

    progress: Progress = silent
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str, share: float) -> Iterator[None]:
        """Time a block; ``share`` (0 to 1) of the whole is done when it begins."""
        self.progress(stage, share)
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began
