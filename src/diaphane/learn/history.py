"""``metrics.csv``: one row per epoch of every network."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

from diaphane.core.tables import write_table


@dataclass(frozen=True)
class Epoch:
    """One epoch of one network; on a large set, the part of one between two looks.

    ``step`` counts the optimiser's steps so far.
    ``stop_loss`` and ``stop_metric`` (area under the curve; accuracy where it is undefined) are of
    the averaged weights on the stopping cases, ``None`` without any.
    """

    member: int
    fold: int
    seed: int
    epoch: int
    step: int
    loss: float
    stop_loss: float | None
    stop_metric: float | None
    learning_rate: float
    seconds: float


class Chronicle(Protocol):
    """What a network at work tells of its epochs."""

    def add(self, epoch: Epoch) -> None:
        """A new epoch."""
        ...

    def forget_after(self, member: int, epoch: int) -> None:
        """Epochs of that network after this one are void: they are done again."""
        ...


class History:
    """All epochs of a run, kept in ``metrics.csv``; ``watch`` is told of each new one."""

    def __init__(self, path: Path, watch: Callable[[Epoch], None] | None = None) -> None:
        self.path, self.watch = path, watch
        self.epochs: list[Epoch] = _read(path) if path.exists() else []

    def add(self, epoch: Epoch) -> None:
        """Append and write the file in one step."""
        self.epochs.append(epoch)
        self.write()
        if self.watch is not None:
            self.watch(epoch)

    def forget_after(self, member: int, epoch: int) -> None:
        """Drop what a killed process wrote of that network after its last saved state."""
        self.epochs = [e for e in self.epochs if e.member != member or e.epoch <= epoch]

    def write(self) -> None:
        """Write the file in one step."""
        ordered = sorted(self.epochs, key=lambda e: (e.member, e.epoch))
        rows = (map(_cell, asdict(epoch).values()) for epoch in ordered)
        write_table(self.path, [f.name for f in fields(Epoch)], rows)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> list[Epoch]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = {"member", "fold", "seed", "epoch", "step"}
    return [
        Epoch(**{k: int(v) if k in whole else (float(v) if v else None) for k, v in row.items()})  # type: ignore[arg-type]  # columns are those of Epoch
        for row in rows
    ]
