"""Networks beside the recipe's own, on one fold of MSD hippocampus.

    python benchmarks/kinds.py DATASET [--steps 600] [--fold 0] [--cases 67] [--device cpu]
                                       [--kinds unet3d,cnn_gru]

All learn from the same cases, by the plan of ``recipes/hippocampus.yaml`` but for what their kind
changes, and outline the same held-out cases by the code that ships. Differences to the first are
paired by case. Writes ``benchmarks/results/kinds.json``.
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
from diaphane.models.device import pick_device

ROOT = Path(__file__).parents[1]
WHOLE = {"patch": (40, 56, 40), "batch": 4}
"""About the whole crop, four at a time."""
STRONG = {
    "rotation": 30.0, "tilt": 25.0, "scale": 0.2, "elastic": 2.0, "brightness": 0.2,
    "contrast": 0.3, "gamma": 0.35, "noise": 0.15, "blur": 0.8, "share": 0.7,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "unet3d": {},
    "cnn_gru": {
        "network": {
            "kind": "cnn_gru", "strides": ((1, 2, 2), (1, 2, 2), (1, 2, 2)), "stem": "plain",
        },
    },
    "whole": WHOLE,
    "wide": {**WHOLE, "network": {"widths": (32, 64, 128, 160)}, "augmentation": STRONG},
}  # fmt: skip
Floats = NDArray[np.float64]


def main() -> None:
    """Train and judge each kind, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--cases", type=int, default=67, help="held-out cases that are judged")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kinds", default="unet3d,cnn_gru", help=f"of {', '.join(KINDS)}")
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
    kinds, device = chosen.kinds.split(","), pick_device(chosen.device)
    for name in kinds:
        dice[name], seconds[name] = outlined(changed(plan, KINDS[name]), store, member, device)
        print(f"{name}: Dice {dice[name].mean(0).round(4)}, {seconds[name]:.0f} s", flush=True)
    found = {
        "fold": chosen.fold, "steps": chosen.steps, "held_out": len(member.held), "threads": 1,
        "device": device.type,
        "dice": {name: each.mean(0).round(4).tolist() for name, each in dice.items()},
        "training_seconds": {name: round(value) for name, value in seconds.items()},
        "difference": {name: gap(dice[name], dice[kinds[0]]) for name in kinds[1:]},
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / "kinds.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def changed(plan: SegmentationPlan, changes: dict[str, Any]) -> SegmentationPlan:
    """The plan with the changes of a kind; those of a part of it keep the rest of that part."""
    parts = {
        key: getattr(plan, key).model_copy(update=value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return plan.model_copy(update=parts)


def gap(dice: Floats, first: Floats) -> list[float]:
    """Mean difference by case, with its interval of 95 %."""
    by_case = dice.mean(1) - first.mean(1)
    draws = np.random.default_rng(0).integers(0, len(by_case), (2000, len(by_case)))
    low, high = np.percentile(by_case[draws].mean(1), [2.5, 97.5])
    return [round(float(value), 4) for value in (by_case.mean(), low, high)]


def outlined(
    plan: SegmentationPlan, store: MaskStore, member: Member, device: torch.device
) -> tuple[Floats, float]:
    """Dice ``(cases, labels)`` of held-out cases, and seconds of training."""
    with tempfile.TemporaryDirectory() as room:
        looks = Looks(Path(room) / "metrics.csv", tuple(plan.labels))
        unwatched = replace(member, stop=np.empty(0, dtype=np.int64))
        task = Task(plan, store, Path(room) / "state", looks, device)
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
