"""The CNN with a convolutional GRU beside the 3-D U-Net, on one fold of MSD hippocampus.

    python benchmarks/kinds.py DATASET [--steps 600] [--fold 0] [--cases 67]

Both learn from the same cases with the same loss, patches, changes and schedule, those of
``recipes/hippocampus.yaml``, and outline the same held-out cases by the code that ships. The
difference is paired by case. Writes ``benchmarks/results/kinds.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.acquire import open_dataset
from diaphane.learn.planning import read_plan
from diaphane.learn.segmenting.cases import MaskStore, read_masked
from diaphane.learn.segmenting.judging import judge
from diaphane.learn.segmenting.looks import Looks
from diaphane.learn.segmenting.loop import Task, fit_member
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.splitting import split_cases
from diaphane.learn.splits import Member

ROOT = Path(__file__).parents[1]
KINDS: dict[str, dict[str, Any]] = {
    "unet3d": {},
    "cnn_gru": {"kind": "cnn_gru", "strides": ((1, 2, 2), (1, 2, 2), (1, 2, 2)), "stem": "plain"},
}
Floats = NDArray[np.float64]


def main() -> None:
    """Train and judge each kind, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--cases", type=int, default=67, help="held-out cases that are judged")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    plan = read_plan(ROOT / "recipes" / "hippocampus.yaml")
    assert isinstance(plan, SegmentationPlan)
    plan = plan.model_copy(update={"steps": chosen.steps})
    store = read_masked(open_dataset(chosen.dataset), plan, salt="benchmark")
    member = split_cases(plan, store)[1][chosen.fold]
    member = replace(member, held=member.held[: chosen.cases])
    dice: dict[str, Floats] = {}
    seconds: dict[str, float] = {}
    for name, changes in KINDS.items():
        network = plan.network.model_copy(update=changes)
        own = plan.model_copy(update={"network": network})
        dice[name], seconds[name] = outlined(own, store, member)
        print(f"{name}: Dice {dice[name].mean(0).round(4)}, {seconds[name]:.0f} s", flush=True)
    gap = dice["cnn_gru"].mean(1) - dice["unet3d"].mean(1)
    draws = np.random.default_rng(0).integers(0, len(gap), (2000, len(gap)))
    low, high = np.percentile(gap[draws].mean(1), [2.5, 97.5])
    found = {
        "fold": chosen.fold, "steps": chosen.steps, "held_out": len(gap), "threads": 1,
        "dice": {name: each.mean(0).round(4).tolist() for name, each in dice.items()},
        "training_seconds": {name: round(value) for name, value in seconds.items()},
        "difference": [round(float(v), 4) for v in (gap.mean(), low, high)],
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / "kinds.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def outlined(plan: SegmentationPlan, store: MaskStore, member: Member) -> tuple[Floats, float]:
    """Dice ``(cases, labels)`` of held-out cases, and seconds of training."""
    with tempfile.TemporaryDirectory() as room:
        looks = Looks(Path(room) / "metrics.csv", tuple(plan.labels))
        unwatched = replace(member, stop=np.empty(0, dtype=np.int64))
        task = Task(plan, store, Path(room) / "state", looks, torch.device("cpu"))
        began = time.monotonic()
        net, _ = fit_member(task, 0, unwatched)
        spent = time.monotonic() - began
    judged = judge(plan, store, [net], [member], rounds=10)
    rows = []
    for one in judged.held:
        predicted, truth = one.masks()
        parts = [(predicted == k, truth == k) for k in range(1, len(plan.labels) + 1)]
        rows.append([2.0 * (a & b).sum() / max(1, a.sum() + b.sum()) for a, b in parts])
    return np.asarray(rows), spent


if __name__ == "__main__":
    main()
