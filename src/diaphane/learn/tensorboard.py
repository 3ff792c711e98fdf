"""Rows of ``metrics.csv`` as TensorBoard events, where that package is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from diaphane.core.errors import MissingExtra

Watch = Callable[[Any], None]
"""Called with every row that ``metrics.csv`` gets: a dataclass or a mapping of numbers."""

_PLACE = ("member", "fold", "seed", "epoch", "step")


def event_writer(folder: Path) -> Watch:
    """A :data:`Watch` that writes one event file per network below ``folder``.

    A row's numbers become scalars of their columns' names, at its ``step`` or else its ``epoch``.

    Raises
    ------
    MissingExtra
        The package ``tensorboard`` is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise MissingExtra("Writing TensorBoard events", "tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writers: dict[int, SummaryWriter] = {}

    def watch(row: Any) -> None:
        values = _values(row)
        member = int(values.get("member", 0))
        if member not in writers:
            for finished in writers.values():
                finished.close()
            writers.clear()
            writers[member] = SummaryWriter(str(folder / f"network-{member:03d}"))
        at = int(values.get("step", values.get("epoch", 0)))
        writer = writers[member]
        for name, value in values.items():
            if name not in _PLACE and isinstance(value, (int, float)):
                writer.add_scalar(name.replace(":", "/"), value, at)
        writer.flush()

    return watch


def _values(row: Any) -> Mapping[str, Any]:
    if is_dataclass(row) and not isinstance(row, type):
        return asdict(row)
    found: Mapping[str, Any] = row
    return found
