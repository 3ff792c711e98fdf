"""Time to a mean Dice of .875 on MSD hippocampus, against MONAI's plain U-Net recipe.

    python benchmarks/hippocampus.py DATASET [--target 0.875] [--limit 900] [--fold 0] [--turn 15]

Both learn on the same fold of ``recipes/hippocampus.yaml`` with one thread, taking turns of a few
seconds so that a busy machine is busy for both, and are judged after each turn on the same 24
held-out cases, as each would predict: windows without mirroring. The clock counts training only,
patches and their changes included. The peer: MONAI's ``UNet`` (channels 16 to 128, two residual
units), ``DiceCELoss``, Adam at 1e-3, ``NormalizeIntensity``, whole crops padded to 48 x 64 x 48,
random flips and affine changes, batches of 2, as its tutorials have it. Writes
``benchmarks/results/hippocampus.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.acquire import open_dataset
from diaphane.bundle.segmentation import PatchSpec
from diaphane.learn.planning import read_plan
from diaphane.learn.segmenting.cases import MaskStore, read_masked
from diaphane.learn.segmenting.looks import Looks
from diaphane.learn.segmenting.loop import Pupil, Task, label_index, patch_spec
from diaphane.learn.segmenting.network import TorchRunner
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.splitting import split_cases
from diaphane.learn.splits import Member

ROOT = Path(__file__).parents[1]
WHOLE = (48, 64, 48)
CASES = 24


def main() -> None:
    """Let both learn in turns until both are there, or the limit is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--target", type=float, default=0.875)
    parser.add_argument("--limit", type=float, default=900.0, help="training seconds each")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--turn", type=float, default=15.0, help="training seconds in a turn")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    plan = read_plan(ROOT / "recipes" / "hippocampus.yaml")
    assert isinstance(plan, SegmentationPlan)
    store = read_masked(open_dataset(chosen.dataset), plan, salt="benchmark")
    member = split_cases(plan, store)[1][chosen.fold]
    sides: dict[str, tuple[Callable[[], None], Callable[[], float]]] = {
        "diaphane": ours(plan, store, member),
        "MONAI UNet": peer(store, member),
    }
    spent = dict.fromkeys(sides, 0.0)
    steps = dict.fromkeys(sides, 0)
    curves: dict[str, list[tuple[float, int, float]]] = {name: [] for name in sides}
    reached: dict[str, float | None] = dict.fromkeys(sides)
    while any(reached[n] is None and spent[n] < chosen.limit for n in sides):
        for name, (step, judge) in sides.items():
            if reached[name] is not None or spent[name] >= chosen.limit:
                continue
            until = spent[name] + chosen.turn
            while spent[name] < until:
                began = time.monotonic()
                step()
                spent[name] += time.monotonic() - began
                steps[name] += 1
            dice = judge()
            curves[name].append((round(spent[name], 1), steps[name], round(dice, 4)))
            print(f"{name}: {spent[name]:.0f} s, step {steps[name]}, Dice {dice:.4f}", flush=True)
            if dice >= chosen.target:
                reached[name] = round(spent[name], 1)
            write(chosen, curves, reached, len(member.fit))
    print(table(chosen.target, curves, reached))


def ours(
    plan: SegmentationPlan, store: MaskStore, member: Member
) -> tuple[Callable[[], None], Callable[[], float]]:
    """A step and a look of the recipe's own loop; its schedule is the recipe's."""
    room = Path(tempfile.mkdtemp())
    looks = Looks(room / "metrics.csv", tuple(plan.labels))
    cpu = torch.device("cpu")
    pupil = Pupil(Task(plan, store, room / "state", looks, cpu), 0, member)
    spec = patch_spec(plan).model_copy(update={"mirror": ()})

    def step() -> None:
        if pupil.position.step < plan.steps:
            pupil.one_step()

    def judge() -> float:
        pupil.shadow.load_state_dict(pupil.average.tensors)
        return mean_dice(store, member, spec, TorchRunner(pupil.shadow, cpu))

    return step, judge


def peer(store: MaskStore, member: Member) -> tuple[Callable[[], None], Callable[[], float]]:
    """A step and a look of MONAI's recipe."""
    from monai import transforms
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    net: torch.nn.Module = UNet(
        3, 1, 3, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2
    )
    loss: Any = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    both = ["image", "mask"]
    change = transforms.Compose(
        [
            transforms.SpatialPadd(both, WHOLE),
            transforms.CenterSpatialCropd(both, WHOLE),
            transforms.RandFlipd(both, 0.5, spatial_axis=2),
            transforms.RandAffined(
                both, prob=0.5, rotate_range=(0.2, 0.2, 0.2), scale_range=(0.1, 0.1, 0.1),
                mode=("bilinear", "nearest"), padding_mode="zeros",
            ),
            transforms.RandScaleIntensityd("image", 0.1, prob=0.5),
            transforms.RandShiftIntensityd("image", 0.1, prob=0.5),
        ]
    )  # fmt: skip
    change.set_random_state(0)
    order = endless(member.fit)

    def step() -> None:
        picked = [store.kept[next(order)] for _ in range(2)]
        made = [change({"image": k.image, "mask": k.mask[None].astype(np.float32)}) for k in picked]
        image = torch.stack([torch.as_tensor(m["image"]) for m in made])
        mask = torch.stack([torch.as_tensor(m["mask"]) for m in made])
        net.train()
        optimiser.zero_grad()
        torch.autograd.backward(loss(net(image), mask))
        optimiser.step()

    def judge() -> float:
        spec = PatchSpec(size=WHOLE, overlap=0.25)
        return mean_dice(store, member, spec, TorchRunner(net.eval(), torch.device("cpu")))

    return step, judge


def endless(cases: NDArray[np.int64]) -> Iterator[int]:
    """Cases in shuffled rounds."""
    random = np.random.default_rng(0)
    while True:
        yield from (int(i) for i in random.permutation(cases))


def mean_dice(store: MaskStore, member: Member, spec: PatchSpec, runner: TorchRunner) -> float:
    """Mean over labels and over the first held-out cases."""
    values = []
    for case in member.held[:CASES]:
        kept = store.kept[int(case)]
        index = label_index(kept.image, spec, runner)
        for label in (1, 2):
            one, other = index == label, kept.mask == label
            values.append(2.0 * float((one & other).sum()) / max(1, int(one.sum() + other.sum())))
    return float(np.mean(values))


def write(
    chosen: argparse.Namespace,
    curves: dict[str, list[tuple[float, int, float]]],
    reached: dict[str, float | None],
    fitted: int,
) -> None:
    """Keep what is known so far."""
    path = ROOT / "benchmarks" / "results" / "hippocampus.json"
    content = {
        "target": chosen.target, "fold": chosen.fold, "threads": 1, "training_cases": fitted,
        "judged_cases": CASES, "limit": chosen.limit, "seconds_to_target": reached,
        "curves": curves,
    }  # fmt: skip
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(
    target: float,
    curves: dict[str, list[tuple[float, int, float]]],
    reached: dict[str, float | None],
) -> str:
    """Markdown."""
    lines = [f"| | seconds to Dice {target:g} | steps | best Dice |", "|---|---|---|---|"]
    for name, curve in curves.items():
        when = reached[name]
        best = max(value for _, _, value in curve)
        shown = "not within the limit" if when is None else f"{when:.0f}"
        lines.append(f"| {name} | {shown} | {curve[-1][1]} | {best:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
