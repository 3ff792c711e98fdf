"""What training adds to the bare forward and backward pass, and how long the network waits.

The same network, batch, cases and changes of cases by diaphane's loop, by a plain torch loop over a
``DataLoader``, and by MONAI's ``SupervisedTrainer`` (where ignite is installed); turns are
interleaved, and figures are ratios to the bare pass of the same turn: median and range over turns.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from diaphane.acquire import open_dataset
from diaphane.learn import Plan, plan
from diaphane.learn.cases import Batch, CaseStore, read_cases, targets
from diaphane.learn.loading import Ahead
from diaphane.learn.loop import Pupil, Task
from diaphane.learn.splits import Member
from diaphane.models import EvidenceNet
from diaphane.preprocess import Recipe

TURNS, STEPS = 5, 24
RESULT = Path(__file__).parent / "results" / "loading.json"


class Changed(TorchDataset[Any]):
    """Cases as training sees them, one by one."""

    def __init__(self, store: CaseStore, target: torch.Tensor) -> None:
        self.store, self.target = store, target

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, case: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.store.changed(case, 0, 0).image), self.target[case]


class Images(torch.nn.Module):
    """The network as a function of the image alone."""

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(N, K)`` of images ``(N, T, C, H, W)``."""
        cases, slices = image.shape[:2]
        mask = torch.ones(cases, slices, *image.shape[3:])
        length = torch.full((cases,), slices)
        return self.net.score(image, mask, length, torch.zeros(cases, 0))[0]


def pictures(folder: Path, side: int, cases: int) -> Path:
    """A MedMNIST file of noise."""
    random = np.random.default_rng(side)
    images = random.integers(0, 255, (cases, side, side)).astype(np.uint8)
    labels = (np.arange(cases) % 2).astype(np.uint8)[:, None]
    path = folder / f"noise-{side}.npz"
    np.savez(path, train_images=images, train_labels=labels)
    return path


def ready(path: Path) -> Task:
    """Prepared cases and the planned network."""
    made = plan(path, estimated=False).plan
    assert isinstance(made, Plan)
    made = made.with_changes({"families": {}, "steps": 10_000, "mixup": 0.0})
    store = read_cases(
        open_dataset(path), made.input, Recipe.from_dict(made.recipe), made.augmentation,
        salt="", seed=0,
    )  # fmt: skip
    return Task(made, store, targets(made, store), torch.device("cpu"))


def bare(pupil: Pupil) -> Callable[[], float]:
    """Forward and backward on one batch that lies ready."""
    made = pupil.make(0)
    fed: Batch = made.batch

    def turn() -> float:
        pupil.net.train()
        began = time.perf_counter()
        for _ in range(STEPS):
            logit, _ = pupil.net.score(fed.image, fed.mask, fed.length, fed.concepts)
            pupil.optimiser.zero_grad()
            pupil.loss(logit, made.target).backward()
        return (time.perf_counter() - began) / STEPS

    return turn


def ours(pupil: Pupil, waits: list[float]) -> Callable[[], float]:
    """The loop of ``diaphane train``: batches made ahead, clipping, AdamW, averaged weights."""

    def turn() -> float:
        first = pupil.position.step
        with Ahead(pupil.make, first, first + STEPS + 1, workers=1) as ahead:
            items = iter(ahead)
            pupil.one_step(next(items))
            waited, began = ahead.waited, time.perf_counter()
            for made in items:
                pupil.one_step(made)
            took = time.perf_counter() - began
            waits.append((ahead.waited - waited) / took)
        return took / STEPS

    return turn


def plain(task: Task, net: torch.nn.Module) -> Callable[[], float]:
    """A plain loop with AdamW over a ``DataLoader`` with one worker that is kept."""
    loader = DataLoader(
        Changed(task.store, task.target), task.plan.batch, shuffle=True, drop_last=True,
        num_workers=1, persistent_workers=True,
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loss = torch.nn.BCEWithLogitsLoss()
    batches = _forever(loader)

    def turn() -> float:
        net.train()
        next(batches)
        began = time.perf_counter()
        for _ in range(STEPS):
            image, target = next(batches)
            optimiser.zero_grad()
            loss(net(image), target).backward()
            optimiser.step()
        return (time.perf_counter() - began) / STEPS

    return turn


def monai(task: Task, net: torch.nn.Module) -> Callable[[], float]:
    """MONAI's trainer over the same kind of ``DataLoader``."""
    from monai.engines import SupervisedTrainer

    loader = DataLoader(
        Changed(task.store, task.target), task.plan.batch, shuffle=True, drop_last=True,
        num_workers=1, persistent_workers=True,
    )  # fmt: skip
    turns = max(1, STEPS // len(loader))

    def turn() -> float:
        trainer = SupervisedTrainer(
            device=torch.device("cpu"), max_epochs=turns, train_data_loader=loader, network=net,
            optimizer=torch.optim.AdamW(net.parameters(), lr=1e-3),
            loss_function=torch.nn.BCEWithLogitsLoss(),
            prepare_batch=lambda batch, *_, **__: (batch[0], batch[1]),
        )  # fmt: skip
        began = time.perf_counter()
        trainer.run()
        return (time.perf_counter() - began) / (turns * len(loader))

    return turn


def _forever(loader: Any) -> Any:
    while True:
        yield from loader


def main() -> None:
    """Measure, print a table and write ``results/loading.json``."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as room:
        for side in (28, 64):
            task = ready(pictures(Path(room), side, 768))
            every = np.arange(len(task.store), dtype=np.int64)
            none = np.empty(0, dtype=np.int64)
            pupil = Pupil(task, 0, Member(0, 0, every, none, none))
            other = Pupil(replace(task), 0, Member(0, 0, every, none, none))
            waits: list[float] = []
            contenders = {
                "bare forward and backward": bare(other),
                "diaphane": ours(pupil, waits),
                "plain torch loop": plain(
                    task, Images(Pupil(task, 0, Member(0, 0, every, none, none)).net)
                ),
            }
            if importlib.util.find_spec("ignite") is not None:
                net = Pupil(task, 0, Member(0, 0, every, none, none)).net
                contenders["MONAI SupervisedTrainer"] = monai(task, Images(net))
            seconds: dict[str, list[float]] = {name: [] for name in contenders}
            for number in range(TURNS + 1):
                for name, turn in contenders.items():
                    took = turn()
                    if number:  # the first turn warms up
                        seconds[name].append(took)
            rows[f"{side} px, batch {task.plan.batch}"] = _row(seconds, waits[1:])
    for name, row in rows.items():
        print(f"{name}; the network waits {100 * row['waited']:.1f} % of the time")
        for who, found in row["steps"].items():
            print(
                f"  {who:<26} {1000 * found['seconds']:7.1f} ms  x {found['ratio']:.2f} "
                f"({found['low']:.2f} to {found['high']:.2f})"
            )
    if "MONAI SupervisedTrainer" not in contenders:
        print("MONAI's trainer is left out: ignite is not installed.")
    about = {
        "turns": TURNS, "steps": STEPS, "threads": 1, "seed": 0, "cores": os.cpu_count(),
        "torch": torch.__version__, "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, **about}, indent=2) + "\n")


def _row(seconds: dict[str, list[float]], waits: list[float]) -> dict[str, Any]:
    base = seconds["bare forward and backward"]
    steps = {}
    for name, values in seconds.items():
        ratio = [one / other for one, other in zip(values, base, strict=True)]
        steps[name] = {
            "seconds": round(statistics.median(values), 5),
            "ratio": round(statistics.median(ratio), 3),
            "low": round(min(ratio), 3),
            "high": round(max(ratio), 3),
        }
    return {"steps": steps, "waited": round(statistics.median(waits), 4)}


if __name__ == "__main__":
    main()
