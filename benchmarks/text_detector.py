"""Train the finder of burned-in text on generated pictures, and write it as ONNX.

    python benchmarks/text_detector.py --minutes 20 --out src/diaphane/privacy/data/text.onnx

Needs diaphane[learn], and for other lettering than Pillow's own the fonts of the system; the
shipped one had Debian's DejaVu, Noto CJK, Liberation, Hack, Roboto, Inconsolata and Terminus.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from diaphane.privacy.pixels.views import views
from planting import background, fonts, plant, words

SIDE, STRIDE = 192, 4


class Finder(nn.Module):
    """Views of pictures ``(N, 2, H, W)`` to logits of text ``(N, 1, H / 4, W / 4)``."""

    def __init__(self, wide: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(2, 12, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(12, wide, 3, 2, 1),
        ]
        for step in (1, 2, 4, 8, 1):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(), nn.Conv2d(wide, wide, 3, 1, step, step)]
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(wide), nn.ReLU(), nn.Conv2d(wide, 1, 1))

    def forward(self, seen: Tensor) -> Tensor:
        """Logits."""
        found: Tensor = self.body(seen)
        return found


def example(
    rng: np.random.Generator, bank: list[NDArray[np.float32]], faces: list[Path | None]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Views of a picture, and its target."""
    base = bank[rng.integers(len(bank))]
    top, left = rng.integers(0, len(base) - SIDE + 1, 2)
    picture = base[top : top + SIDE, left : left + SIDE].copy()
    picture = np.rot90(picture, int(rng.integers(4))).copy()
    if rng.random() < 0.3:
        picture = (picture * rng.uniform(0.2, 0.8) + rng.uniform(0, 0.2)).astype(np.float32)
    target = np.zeros_like(picture)
    for _ in range(rng.integers(0, 6) if rng.random() < 0.75 else 0):
        size = int(np.exp(rng.uniform(np.log(7), np.log(44))))
        done = plant(rng, picture, words(rng), faces[rng.integers(len(faces))], size)
        if done is not None:
            top, left, bottom, right = done.box
            target[top:bottom, left:right] = 1
    picture = np.clip(picture, 0, 1)
    if rng.random() < 0.3:
        picture = np.asarray(ndimage.gaussian_filter(picture, rng.uniform(0.2, 0.7)))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(0.005, 0.05), picture.shape)
        picture = np.asarray(picture + grain, np.float32)
    if rng.random() < 0.25:
        picture = 1 - picture
    small = target.reshape(SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE).mean((1, 3))
    return views(np.clip(picture, 0, 1).astype(np.float32)), (small >= 0.4).astype(np.float32)


def main() -> None:
    """Train for the stated time and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=12)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    torch.manual_seed(chosen.seed)
    faces: list[Path | None] = [*fonts(held_out=False), None]
    bank = [background(rng, 288) for _ in range(300)]
    net = Finder()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    began, step, smooth = time.monotonic(), 0, 0.0
    while (share := (time.monotonic() - began) / (60 * chosen.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = (
                3e-3 * min(1, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-5
            )
        bank[rng.integers(len(bank))] = background(rng, 288)
        made = [example(rng, bank, faces) for _ in range(chosen.batch)]
        seen = torch.from_numpy(np.stack([m[0] for m in made]))
        wanted = torch.from_numpy(np.stack([m[1] for m in made])[:, None])
        logits = net(seen)
        said = torch.sigmoid(logits)
        overlap = 1 - (2 * (said * wanted).sum() + 1) / (said.sum() + wanted.sum() + 1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted) + 0.5 * overlap
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{step} {share:.2f} {smooth:.4f}", flush=True)
        step += 1
    net.eval()
    torch.onnx.export(
        nn.Sequential(net, nn.Sigmoid()),
        (torch.zeros(1, 2, 64, 64),),
        str(chosen.out),
        input_names=["views"],
        output_names=["text"],
        dynamic_axes={"views": {0: "n", 2: "h", 3: "w"}, "text": {0: "n", 2: "h4", 3: "w4"}},
        dynamo=False,
    )
    print(f"{step} steps, loss {smooth:.4f}: {chosen.out}")


if __name__ == "__main__":
    main()
