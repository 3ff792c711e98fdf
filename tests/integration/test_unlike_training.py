"""The nodule bundle knows what it has not seen.

At least 95 % of foreign inputs of each kind are flagged, at most 4 % of LIDC cases by members
that never saw them (the latter is checked when the bundle is made; here: cases it trained on).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from diaphane.acquire import open_dataset
from diaphane.bundle import Bundle, load_bundle
from diaphane.core.case import Case
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

N = 40
Grey = NDArray[np.uint8]
Find = Callable[[str], Path]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("lung-nodule", threads=1)


def chosen(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(count)[:N]


def nodules(shared_data: Find, each: int = 6) -> Iterator[Grey]:
    entries = open_dataset(shared_data("lidc_nodules")).entries
    for entry in entries[::each]:
        yield np.asarray(entry.load().volume.voxels)


def ultrasound(shared_data: Find) -> Iterator[Grey]:
    files = sorted(shared_data("busi_256").rglob("*.png"))
    for i in chosen(len(files)):
        yield np.asarray(Image.open(files[i]).convert("L"))[None]


def magnetic_resonance(shared_data: Find) -> Iterator[Grey]:
    entries = open_dataset(shared_data("msd_hippocampus")).entries
    for i in chosen(len(entries)):
        voxels = entries[i].load().volume.voxels.astype(np.float64)
        middle = voxels[len(voxels) // 2 :][:1]
        yield (255 * middle / middle.max()).astype(np.uint8)


def noise(_: Find) -> Iterator[Grey]:
    rng = np.random.default_rng(0)
    for _turn in range(N):
        yield rng.integers(0, 256, (rng.integers(1, 12), 64, 64), dtype=np.uint8)


def inverted(shared_data: Find) -> Iterator[Grey]:
    return (255 - stack for stack in nodules(shared_data))


def contrast_flipped(shared_data: Find) -> Iterator[Grey]:
    """Grey turned round inside the outline only; the black surroundings stay."""
    for stack in nodules(shared_data):
        turned = np.clip(255 - stack.astype(np.int16), 1, 255)
        yield np.where(stack > 0, turned, 0).astype(np.uint8)


def flagged(bundle: Bundle, stacks: Iterator[Grey]) -> float:
    cases = [Case("x", {"image": Volume(s, Geometry(s.shape))}) for s in stacks]
    answers = bundle.predict_prepared([bundle.prepare(case) for case in cases])
    return float(np.mean([answer.unlike_training for answer in answers]))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "kind", [ultrasound, magnetic_resonance, noise, inverted, contrast_flipped]
)
def test_foreign_inputs_are_flagged(
    kind: Callable[[Find], Iterator[Grey]], bundle: Bundle, shared_data: Find
) -> None:
    assert flagged(bundle, kind(shared_data)) >= 0.95


@pytest.mark.shared_data
def test_nodules_are_not_flagged(bundle: Bundle, shared_data: Find) -> None:
    assert flagged(bundle, nodules(shared_data)) <= 0.04
