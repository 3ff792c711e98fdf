"""Tiny data sets with masks, and a way to train on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL: dict[str, Any] = {
    "steps": 6,
    "look_every": 3,
    "folds": 2,
    "mirror": [],
    "overlap": 0.25,
}


@pytest.fixture(scope="session")
def planned() -> Callable[..., Any]:
    """The plan that a data set gets, with a network small enough for a test."""

    def make(path: Path, **changes: Any) -> Any:
        from diaphane.acquire import open_dataset
        from diaphane.learn.fingerprint import fingerprint
        from diaphane.learn.segmenting import SegmentationPlan, decide_segmentation

        facts, _ = fingerprint(open_dataset(path))
        values, _ = decide_segmentation(facts, name="toy")
        levels = len(values["network"]["widths"])
        values["network"]["widths"] = [4, 6, 8, 8, 8][:levels]
        network = {**values["network"], **changes.pop("network", {})}
        return SegmentationPlan.from_dict({**values, "network": network, **SMALL, **changes})

    return make


@pytest.fixture(scope="session")
def trained(planned: Callable[..., Any]) -> Callable[..., Any]:
    """Train on a data set; gives the run and what it said."""

    def run(path: Path, out: Path, plan: Any = None, state: Any = None, **changes: Any) -> Any:
        import torch

        from diaphane.acquire import open_dataset
        from diaphane.core.protocols import silent
        from diaphane.learn.runs import RunFolder, Voice
        from diaphane.learn.segmenting.training import train_segmentation

        said: list[str] = []
        torch.set_num_threads(1)
        made = train_segmentation(
            open_dataset(path),
            plan or planned(path, **changes),
            RunFolder(out),
            state or {},
            Voice(1, silent, said.append),
            torch.device("cpu"),
        )
        return made, said

    return run
