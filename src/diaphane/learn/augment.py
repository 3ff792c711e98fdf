"""Random changes of prepared cases, in training only.

Three layers: pure functions change cases by stated numbers (:mod:`diaphane.learn.changes`);
:class:`Turn` and :class:`Shade` hold such numbers; :func:`draw_turn` and :func:`draw_shade` make
them from a random generator. What was drawn can so be seen and applied again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from diaphane.learn.changes import Sample, Shade, Turn, resampled, shade, shaded, turn

__all__ = [
    "Augmentation",
    "Sample",
    "Shade",
    "Turn",
    "augment_batch",
    "draw_shade",
    "draw_turn",
    "mix",
    "shade",
    "turn",
]


class Augmentation(BaseModel):
    """How strongly training cases are changed; everything 0 or false leaves them as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip_x: bool = Field(default=True, description="Mirror left and right, half of the time.")
    flip_y: bool = Field(default=False, description="Mirror top and bottom, half of the time.")
    flip_z: bool = Field(default=False, description="Read the slices backwards, half of the time.")
    transpose: bool = Field(default=False, description="Swap rows and columns, half of the time.")
    rotation: float = Field(default=15.0, ge=0, le=180, description="Largest turn in degrees.")
    scale: float = Field(default=0.1, ge=0, lt=0.7, description="Largest change of size, as a log.")
    stretch: float = Field(default=0.0, ge=0, lt=0.5, description="Largest change of aspect, log.")
    shift: float = Field(default=0.05, ge=0, lt=0.5, description="Largest shift, share of width.")
    thinning: float = Field(
        default=0.0, ge=0, le=1, description="How often every second or third slice is dropped."
    )
    brightness: float = Field(default=0.05, ge=0, description="Largest shift of intensity.")
    contrast: float = Field(default=0.1, ge=0, lt=1, description="Largest change of contrast.")
    gamma: float = Field(default=0.0, ge=0, lt=1, description="Largest gamma, as a log.")
    noise: float = Field(default=0.02, ge=0, description="Largest standard deviation of noise.")
    elastic: float = Field(
        default=0.0, ge=0, lt=0.3, description="Largest bend, share of width; smooth."
    )
    blur: float = Field(default=0.0, ge=0, le=1, description="How often a slight blur is put on.")
    tint: float = Field(
        default=0.0, ge=0, lt=1, description="Largest change of each channel against the others."
    )
    erase: float = Field(
        default=0.0, ge=0, le=1, description="How often a box is painted over with the mean."
    )
    versions: int = Field(
        default=0,
        ge=0,
        description="Turned, scaled and thinned versions of each case that are made once, before "
        "the recipe, so that its concepts are measured on them; 0 turns afresh in every epoch.",
    )
    plain: float = Field(
        default=0.3, ge=0, le=1, description="How often the case itself is shown, given versions."
    )


def draw_turn(how: Augmentation, slices: int, random: np.random.Generator) -> Turn:
    """Draw a change of geometry; the same generator state gives the same one."""
    angle, size, aspect, down, right = random.uniform(-1.0, 1.0, 5)
    step = 1
    if random.random() < how.thinning and slices >= 4:
        step = 2 if slices < 9 else int(random.integers(2, 4))
    return Turn(
        angle=float(np.deg2rad(how.rotation) * angle),
        scale=float(np.exp(how.scale * size)),
        stretch=float(np.exp(how.stretch * aspect)),
        shift=(float(how.shift * down), float(how.shift * right)),
        step=step,
        start=int(random.integers(0, step)),
        # Nothing is drawn for what is off, so that older plans still draw what they drew.
        bend=how.elastic,
        bend_seed=int(random.integers(0, 2**31)) if how.elastic else 0,
    )


def draw_shade(how: Augmentation, random: np.random.Generator, channels: int = 1) -> Shade:
    """Draw a cheap change; the same generator state gives the same one."""
    x, y, z, t = random.random(4) < 0.5
    contrast, brightness, gamma = random.uniform(-1.0, 1.0, 3)
    noise = float(random.random()) * how.noise
    noise_seed = int(random.integers(0, 2**31))
    box = None
    if how.erase and random.random() < how.erase:
        height, width = (float(v) for v in random.uniform(0.15, 0.45, 2))
        top, left = (float(v) for v in random.random(2))
        box = top * (1.0 - height), left * (1.0 - width), height, width
    tint: tuple[float, ...] = ()
    if how.tint and channels > 1:
        tint = tuple(float(v) for v in 1.0 + how.tint * random.uniform(-1.0, 1.0, channels))
    return Shade(
        flip_x=bool(x) and how.flip_x,
        flip_y=bool(y) and how.flip_y,
        flip_z=bool(z) and how.flip_z,
        transpose=bool(t) and how.transpose,
        contrast=float(1.0 + how.contrast * contrast),
        brightness=float(how.brightness * brightness),
        gamma=float(np.exp(how.gamma * gamma)),
        noise=noise,
        noise_seed=noise_seed,
        blurred=bool(how.blur) and bool(random.random() < how.blur),
        tint=tint,
        box=box,
    )


def augment_batch(
    samples: Sequence[Sample],
    how: Augmentation,
    generators: Sequence[np.random.Generator],
    *,
    outlined: bool,
) -> list[Sample]:
    """Change cases, each by its own generator, in as few passes as there are shapes.

    A case comes out the same whatever its company: no step mixes cases, and each one's numbers are
    drawn first. A case that a change moves out of the frame stays where it was.
    """
    turns, shades, places = [], [], defaultdict[tuple[int, ...], list[int]](list)
    for number, (sample, random) in enumerate(zip(samples, generators, strict=True)):
        turns.append(draw_turn(how, len(sample.mask), random))
        shades.append(draw_shade(how, random, sample.image.shape[1]))
        kept = len(range(turns[-1].start, len(sample.mask), turns[-1].step))
        places[kept, *sample.image.shape[1:]].append(number)
    done: dict[int, Sample] = {}
    for group in places.values():
        images = np.stack([samples[i].image[turns[i].start :: turns[i].step] for i in group])
        masks = np.stack([samples[i].mask[turns[i].start :: turns[i].step] for i in group])
        if any(turns[i].moves for i in group):
            changes = [turns[i] for i in group]
            moved = resampled(images, masks, changes, outlined=outlined)
            left = [bool((mask > 0.5).any()) for mask in moved[1]]
            images = moved[0] if all(left) else np.where(_like(left, 5), moved[0], images)
            masks = moved[1] if all(left) else np.where(_like(left, 4), moved[1], masks)
        images, masks = shaded(images, masks, [shades[i] for i in group], outlined=outlined)
        for i, image, mask in zip(group, images, masks, strict=True):
            done[i] = Sample(image, mask, samples[i].concepts)
    return [done[i] for i in range(len(samples))]


def _like(flags: Sequence[bool], dimensions: int) -> NDArray[np.bool_]:
    """One flag per case, to be broadcast."""
    return np.array(flags).reshape(-1, *[1] * (dimensions - 1))


def mix(
    image: torch.Tensor, target: torch.Tensor, alpha: float, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (Zhang et al. 2018): each case blended with another of the batch, target likewise.

    Parameters
    ----------
    image, target:
        ``(N, ...)``, and ``(N, K)`` float; a target of NaN stays NaN where either is.
    alpha:
        Both parameters of the beta distribution that the share is drawn from; 0 changes nothing.
    random:
        Generator of this step.
    """
    if alpha == 0.0 or len(image) < 2:
        return image, target
    share = float(random.beta(alpha, alpha))
    share = max(share, 1.0 - share)
    partner = torch.from_numpy(random.permutation(len(image))).to(image.device)
    return (
        image * share + image[partner] * (1.0 - share),
        target * share + target[partner] * (1.0 - share),
    )
