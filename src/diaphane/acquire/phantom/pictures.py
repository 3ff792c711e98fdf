"""Made-up ultrasound pictures of lesions with labels: a data set for a first training run.

A lesion has a degree from 0 (oval, smooth, sharp, bright behind) to 1 (irregular, spiculated,
blurred, with a shadow behind). Degrees of the two classes overlap, so that no model can be
perfect. Nothing here is a patient, and nothing learned from it is of any use for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diaphane.core.files import replacing
from diaphane.core.tables import write_table
from diaphane.core.thumbnail import png

CLASSES = ("benign", "malignant")
SIDE = 96
_TEST = 4  # every fourth patient of a class is held back


@dataclass(frozen=True, eq=False)
class LesionPicture:
    """One picture, uint8 ``(96, 96)``, of a patient; ``degree`` is what its label came from."""

    patient: int
    view: int
    label: str
    split: str
    degree: float
    pixels: NDArray[np.uint8]


def lesion_pictures(seed: int = 0, patients: int = 40, views: int = 2) -> list[LesionPicture]:
    """Pictures of patients, half of each class; the same for the same seed.

    Each patient's pictures show the same lesion and stand in one split, "train" or "test".
    """
    made = []
    for patient in range(patients):
        kind = patient % 2
        random = np.random.default_rng([seed, patient])
        degree = float(random.beta(4.5, 2.2) if kind else random.beta(2.2, 4.5))
        radius = float(random.uniform(13.0, 21.0))
        split = "test" if patient // 2 % _TEST == _TEST - 1 else "train"
        for view in range(views):
            drawn = np.random.default_rng([seed, patient, view + 1])
            pixels = _picture(degree, radius, drawn)
            made.append(LesionPicture(patient, view, CLASSES[kind], split, degree, pixels))
    return made


def write_lesion_pictures(folder: str | Path, seed: int = 0, patients: int = 40) -> Path:
    """Write the pictures as a manifest folder: ``labels.csv`` and PNG files; returns it."""
    rows = []
    with replacing(folder) as beside:
        (beside / "images").mkdir(parents=True)
        for shot in lesion_pictures(seed, patients):
            name = f"images/patient{shot.patient:02d}-{shot.view + 1}.png"
            (beside / name).write_bytes(png(shot.pixels))
            rows.append((name, shot.label, f"patient {shot.patient:02d}", shot.split))
        write_table(beside / "labels.csv", ("file", "label", "group", "split"), rows)
    return Path(folder)


def _picture(degree: float, radius: float, random: np.random.Generator) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    y, x = np.indices((SIDE, SIDE), dtype=np.float64)
    tissue = _tissue(y, random)
    centre = SIDE / 2 + random.uniform(-9.0, 9.0, 2)
    gap_y, gap_x = y - centre[0], x - centre[1]
    tall = float(np.clip(0.62 + 0.38 * degree + random.normal(0.0, 0.06), 0.5, 1.2))
    angle = np.arctan2(gap_y / tall, gap_x)
    outline = radius * _outline(angle, degree, random)
    softness = 0.7 + 1.8 * degree
    inside = 1.0 / (1.0 + np.exp((np.hypot(gap_y / tall, gap_x) - outline) / softness))
    behind = (gap_y > 0) * np.exp(-((gap_x / (0.8 * radius)) ** 2)) * (1.0 - inside)
    behind *= 1.0 - np.exp(-np.maximum(gap_y, 0.0) / (0.6 * radius))
    through = 0.4 - 0.95 * degree + float(random.normal(0.0, 0.08))
    echo = tissue * (1.0 + through * behind)
    dark = float(np.clip(0.19 - 0.05 * degree + random.normal(0.0, 0.02), 0.08, 0.3))
    core = dark * np.clip(1.0 + 0.45 * degree * _noise(random, 3.0), 0.2, None)
    echo = echo * (1.0 - inside) + core * inside
    speckle = gaussian_filter(random.rayleigh(1.0, (SIDE, SIDE)), 0.7)
    grey = np.clip(echo, 0.02, None) ** 0.9 * (speckle / speckle.mean()) ** 0.6
    return np.asarray(np.clip(grey * 205.0, 0, 255).round(), dtype=np.uint8)


def _outline(
    angle: NDArray[np.float64], degree: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Radius by angle, 1 on average: slow waves, and fast ones for a high degree."""
    radius = np.ones_like(angle)
    for waves, height in ((2, 0.03), (3, 0.03 + 0.08 * degree), (5, 0.01 + 0.07 * degree)):
        radius += height * float(random.normal()) * np.cos(waves * angle + random.uniform(0, 6.3))
    spikes = int(random.integers(7, 13))
    phase = float(random.uniform(0, 6.3))
    return radius + 0.45 * degree**2 * np.maximum(np.cos(spikes * angle + phase), 0.0) ** 2


def _tissue(y: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Skin, fat and gland as layers, with coarse texture, darker with depth."""
    waves = 4.0 * _noise(random, 12.0)
    skin = np.exp(-(((y - 3.0) / 3.0) ** 2))
    border = 1.0 / (1.0 + np.exp(-(y - 26.0 + waves) / 3.0))
    layers = 0.42 + 0.22 * border + 0.4 * skin
    texture = 1.0 + 0.1 * _noise(random, 6.0) + 0.08 * _noise(random, 2.0)
    return np.asarray(layers * texture * (1.0 - 0.25 * y / SIDE), dtype=np.float64)


def _noise(random: np.random.Generator, scale: float) -> NDArray[np.float64]:
    """Smooth noise ``(96, 96)`` of mean 0 and standard deviation 1."""
    from scipy.ndimage import gaussian_filter

    drawn = gaussian_filter(random.normal(size=(SIDE, SIDE)), scale, mode="wrap")
    return np.asarray((drawn - drawn.mean()) / drawn.std(), dtype=np.float64)
