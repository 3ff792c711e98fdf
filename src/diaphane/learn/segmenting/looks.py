"""``metrics.csv`` of a segmentation run: one row per look at held-out cases."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.core.tables import write_table

_FIRST = ("member", "fold", "step", "loss", "dice")
_LAST = ("learning_rate", "seconds")


@dataclass(frozen=True)
class Look:
    """What a network was worth after a number of steps.

    ``loss`` is the mean since the last look; ``dice`` by label, of the averaged weights on a few
    held-out cases, ``None`` where none of them has the label.
    """

    member: int
    fold: int
    step: int
    loss: float
    labels: Mapping[str, float | None] = field(default_factory=dict)
    learning_rate: float = 0.0
    seconds: float = 0.0

    @property
    def dice(self) -> float | None:
        """Mean over the labels that were there."""
        known = [value for value in self.labels.values() if value is not None]
        return sum(known) / len(known) if known else None

    def row(self) -> dict[str, float | int | None]:
        """Columns of ``metrics.csv``."""
        return {
            "member": self.member, "fold": self.fold, "step": self.step, "loss": self.loss,
            "dice": self.dice, **{f"dice:{name}": value for name, value in self.labels.items()},
            "learning_rate": self.learning_rate, "seconds": self.seconds,
        }  # fmt: skip


class Looks:
    """All looks of a run, kept in ``metrics.csv``."""

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self.path, self.names = path, labels
        self.all: list[Look] = self._read() if path.exists() else []

    def add(self, look: Look) -> None:
        """Append and write the file in one step."""
        self.all.append(look)
        self.write()

    def forget_after(self, member: int, step: int) -> None:
        """Drop what a killed process wrote after its last saved state."""
        self.all = [look for look in self.all if (look.member, look.step) <= (member, step)]

    def write(self) -> None:
        """Write the file in one step."""
        columns = [*_FIRST, *(f"dice:{name}" for name in self.names), *_LAST]
        looks = [look.row() for look in self.all]
        write_table(self.path, columns, ([_cell(row[c]) for c in columns] for row in looks))

    def _read(self) -> list[Look]:
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            Look(
                int(row["member"]), int(row["fold"]), int(row["step"]), float(row["loss"]),
                {n: float(row[f"dice:{n}"]) if row[f"dice:{n}"] else None for n in self.names},
                float(row["learning_rate"]), float(row["seconds"]),
            )
            for row in rows
        ]  # fmt: skip


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
