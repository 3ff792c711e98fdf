"""Tiny data sets with masks, drawn by numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]


def ball(shape: Sequence[int], centre: Sequence[float], radius: float) -> NDArray[np.bool_]:
    at = np.indices(tuple(shape), dtype=np.float64)
    away = sum((a - c) ** 2 for a, c in zip(at, centre, strict=True))
    return np.asarray(away <= radius**2)


def volume(seed: int, shape: Sequence[int]) -> tuple[Array, NDArray[np.uint8]]:
    """A bright ball (1) with a brighter kernel (2) somewhere in noise."""
    random = np.random.default_rng(seed)
    centre = [n * random.uniform(0.35, 0.65) for n in shape]
    reach = min(n for n in shape if n > 1)
    mask = np.zeros(tuple(shape), np.uint8)
    mask[ball(shape, centre, 0.32 * reach)] = 1
    mask[ball(shape, centre, 0.15 * reach)] = 2
    image = np.array([100.0, 160.0, 230.0])[mask] + random.normal(0, 12, tuple(shape))
    return image, mask


def write_msd(
    root: Path,
    cases: Sequence[tuple[Array, NDArray[np.uint8]]],
    labels: Sequence[str] = ("rim", "core"),
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> Path:
    """An MSD folder of NIfTI volumes given as ``(z, y, x)``."""
    import nibabel

    affine = np.diag([*reversed(spacing), 1.0])
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number, (image, mask) in enumerate(cases):
        for name, voxels in (("imagesTr", image.astype(np.float32)), ("labelsTr", mask)):
            file = root / name / f"c_{number:03d}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), affine), file)
    content = {
        "name": "balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", **{str(i + 1): n for i, n in enumerate(labels)}},
        "training": [
            {
                "image": f"./imagesTr/c_{i:03d}.nii.gz",
                "label": f"./labelsTr/c_{i:03d}.nii.gz",
            }
            for i in range(len(cases))
        ],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_lines(root: Path, count: int, side: int, *, colour: bool = False, seed: int = 0) -> Path:
    """A manifest of pictures with dark lines a pixel or two wide, and their masks."""
    random = np.random.default_rng(seed)
    rows = ["file,mask"]
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        y, x = np.indices((side, side), dtype=np.float64)
        mask = np.zeros((side, side), bool)
        for _ in range(3):
            phase, slope = random.uniform(0, side), random.uniform(-0.6, 0.6)
            way = phase + slope * x + 4 * np.sin(x / random.uniform(5, 12))
            mask |= np.abs(y - way) < random.uniform(0.7, 1.6)
        grey = 150 + 0.4 * x - 60 * mask + random.normal(0, 6, mask.shape)
        picture = grey.clip(0, 255).astype(np.uint8)
        if colour:
            picture = np.stack([picture, picture // 2, picture // 4], -1)
        Image.fromarray(picture).save(root / f"p{number}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(root / f"m{number}.png")
        rows.append(f"p{number}.png,m{number}.png")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root
