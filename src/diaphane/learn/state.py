"""Where training stands after a step, on disk, so that it goes on bit for bit.

There is no generator state to keep: every random number is a function of seed, epoch or step, and
case.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from diaphane.models.checkpoint import read_tensors, write_tensors

_FORMAT = "diaphane-training/2"
Tensors = dict[str, torch.Tensor]


@dataclass
class Position:
    """How far the network at work is.

    Attributes
    ----------
    member, epoch, step:
        Its number, and the epochs and steps that are done.
    best_loss, best_epoch:
        Of the stopping cases; ``best_epoch`` is -1 before the first epoch.
    jump:
        Step at which a nearing deadline forced the final annealing, ``None`` if none did.
    cut:
        Step at which no further one fitted into the time, ``None`` if all did.
    total, cases:
        Sum of the losses of the epoch at hand, and the cases in it.
    pieces:
        Parts that a batch is cut into, since memory did not hold it whole.
    """

    member: int
    epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = -1
    jump: int | None = None
    cut: int | None = None
    total: float = 0.0
    cases: int = 0
    pieces: int = 1


@dataclass(frozen=True, eq=False)
class Saved:
    """Everything that the next epoch needs.

    Weights, averaged weights and best weights by name; the optimiser's state by parameter.
    """

    position: Position
    net: Tensors
    average: Tensors
    best: Tensors
    optimiser: dict[int, dict[str, Any]]


def save_state(path: Path, saved: Saved) -> None:
    """Write the state of training in one step; the file is whole, or the last one still stands.

    Raises
    ------
    OutputError
        The disk is full; the last state is still there.
    """
    tensors = {
        **{f"net.{k}": v for k, v in saved.net.items()},
        **{f"average.{k}": v for k, v in saved.average.items()},
        **{f"best.{k}": v for k, v in saved.best.items()},
        **{
            f"optimiser.{index}.{name}": torch.as_tensor(value)
            for index, values in saved.optimiser.items()
            for name, value in values.items()
        },
    }
    own = {k: v.detach().clone() for k, v in tensors.items()}  # none shares memory with another
    numbers = {k: (v if v != float("inf") else None) for k, v in asdict(saved.position).items()}
    write_tensors(path, own, {"format": _FORMAT, **numbers})


def load_state(path: Path) -> Saved:
    """Read back what :func:`save_state` wrote.

    Raises
    ------
    UnreadableFile
        Not such a file, or damaged.
    """
    header, tensors = read_tensors(path, _FORMAT)
    del header["format"]
    if header["best_loss"] is None:
        header["best_loss"] = float("inf")
    parts: dict[str, Tensors] = {"net": {}, "average": {}, "best": {}}
    optimiser: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        if part in parts:
            parts[part][name] = tensor
        else:
            index, _, name = name.partition(".")
            optimiser.setdefault(int(index), {})[name] = tensor
    return Saved(Position(**header), parts["net"], parts["average"], parts["best"], optimiser)
