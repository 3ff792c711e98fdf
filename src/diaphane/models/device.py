"""The one place where a device is chosen."""

from __future__ import annotations

import torch

from diaphane.core.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """Device by name: ``auto`` is CUDA when there is one, else the CPU.

    Raises
    ------
    UsageError
        The name is not ``auto``, ``cpu`` or ``cuda``, or CUDA was asked for and is not there.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"unknown device '{name}'.", remedy="Use auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError(
            "no CUDA device is available to this build of torch.", remedy="Use --device cpu."
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
