"""Train the finder of burned-in text, and write it as ONNX.

    python benchmarks/text_grounds.py --data ../shared/data --out text_grounds.npz
    python benchmarks/text_detector.py --grounds text_grounds.npz --minutes 25 --out text.pt
    python benchmarks/text_detector.py --export text.pt --out src/diaphane/privacy/data/text.onnx

Needs diaphane[learn]; with ``--device cuda`` the examples are made by ``--workers`` processes.
Lettering is Pillow's own and the fonts of the system in the training's part
(``benchmarks/planting.py``); the shipped one had Debian's DejaVu, Noto CJK, Liberation, Hack,
Roboto, Inconsolata, Terminus, Open Sans, Unifont, VL Gothic, OCR-A, Libertine, Amiri, Charis,
Croscore, Comfortaa, EB Garamond, PT, Loma, AR PL UMing and those of xfonts-base.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from diaphane.privacy.pixels.views import views
from grounds import Cuttings, background
from planting import FONTS, fonts, plant

SIDE, STRIDE, BANK = 224, 4, 160
Faces = list[list[Path | None]]
"""Folders of fonts; ``None`` is Pillow's own."""


def block(inside: int, outside: int, step: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution of 3 x 3, normalised, cut at zero."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, step, step, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class Finder(nn.Module):
    """Views of pictures ``(N, 2, H, W)`` to logits of text ``(N, 1, H / 4, W / 4)``.

    Down to a sixteenth and back to a quarter: letters are seen at half size, whole lines and
    their surroundings at a sixteenth. ``H`` and ``W`` are multiples of 16.
    """

    def __init__(self, wide: tuple[int, int, int, int] = (24, 40, 64, 72)) -> None:
        super().__init__()
        half, quarter, eighth, last = wide
        self.first = nn.Sequential(block(2, half, stride=2), block(half, half))
        self.quarter = nn.Sequential(
            block(half, quarter, stride=2), block(quarter, quarter), block(quarter, quarter)
        )
        self.eighth = nn.Sequential(
            block(quarter, eighth, stride=2), block(eighth, eighth), block(eighth, eighth, 2)
        )
        self.deep = nn.Sequential(
            block(eighth, last, stride=2),
            block(last, last, 2),
            block(last, last, 4),
            block(last, last),
        )
        self.to_eighth, self.join_eighth = nn.Conv2d(last, eighth, 1), block(eighth, eighth)
        self.to_quarter, self.join_quarter = nn.Conv2d(eighth, quarter, 1), block(quarter, quarter)
        self.said = nn.Conv2d(quarter, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """Logits."""
        quarter = self.quarter(self.first(seen))
        eighth = self.eighth(quarter)
        twice = nn.Upsample(scale_factor=2, mode="nearest")
        eighth = self.join_eighth(eighth + twice(self.to_eighth(self.deep(eighth))))
        quarter = self.join_quarter(quarter + twice(self.to_quarter(eighth)))
        found: Tensor = self.said(quarter)
        return found


class Examples(IterableDataset[tuple[NDArray[np.float16], NDArray[np.float16]]]):
    """Views of pictures, and their targets: 1 text, 0 none, -1 text that nobody could tell."""

    def __init__(self, seed: int, faces: Faces, grounds: Path) -> None:
        self.seed, self.faces, self.grounds = seed, faces, grounds

    def __iter__(self) -> Iterator[tuple[NDArray[np.float16], NDArray[np.float16]]]:
        """Without end; each worker its own."""
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        torch.set_num_threads(1)
        cuttings = Cuttings(self.grounds)
        bank = [background(rng, SIDE + 64) for _ in range(BANK)]
        while True:
            if rng.random() < 0.5:
                picture = cuttings.cut(rng, SIDE)
            else:
                if rng.random() < 0.2:
                    bank[rng.integers(BANK)] = background(rng, SIDE + 64)
                top, left = rng.integers(0, 65, 2)
                picture = bank[rng.integers(BANK)][top : top + SIDE, left : left + SIDE].copy()
            yield example(rng, picture, self.faces)


def example(
    rng: np.random.Generator, picture: NDArray[np.float32], faces: Faces
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """A picture with lines of text planted, as it is seen, and its target."""
    picture = np.rot90(picture, int(rng.integers(4))).copy()
    if rng.random() < 0.3:
        picture = (picture * rng.uniform(0.2, 0.8) + rng.uniform(0, 0.2)).astype(np.float32)
    target = np.zeros_like(picture)
    untold = np.zeros(picture.shape, bool)
    for _ in range(rng.integers(1, 6) if rng.random() < 0.6 else 0):
        size = int(np.exp(rng.uniform(np.log(7), np.log(56))))
        folder = faces[rng.integers(len(faces))]
        face, at = folder[rng.integers(len(folder))], None
        for _ in range(rng.integers(2, 8) if rng.random() < 0.2 else 1):  # a block, or one line
            written = picture.copy()
            done = plant(rng, written, face, size, at)
            if done is None:
                break
            top, left, bottom, right = done.box
            if target[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4].any() and not at:
                break  # no line over another
            picture = written
            target[top:bottom, left:right] = 1
            for number, told in enumerate(done.legible):
                untold[_piece(done.box, number)] = not told
            at = bottom + int(rng.integers(2, 3 + size // 2)), left
    picture = np.clip(picture, 0, 1)
    if rng.random() < 0.3:
        picture = np.asarray(ndimage.gaussian_filter(picture, rng.uniform(0.2, 0.7)))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(0.005, 0.05), picture.shape)
        picture = np.asarray(picture + grain, np.float32)
    if rng.random() < 0.25:
        picture = 1 - picture
    picture = np.clip(picture, 0, 1).astype(np.float32)
    if rng.random() < 0.15:
        packed = io.BytesIO()
        Image.fromarray((picture * 255).astype(np.uint8)).save(
            packed, "jpeg", quality=int(rng.integers(35, 95))
        )
        picture = np.asarray(np.asarray(Image.open(packed)) / 255, np.float32)
    cells = (SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE)
    wanted = (target.reshape(cells).mean((1, 3)) >= 0.4).astype(np.float32)
    wanted[untold.reshape(cells).mean((1, 3)) >= 0.4] = -1
    return views(picture).astype(np.float16), wanted[None].astype(np.float16)


def _piece(box: tuple[int, int, int, int], number: int) -> tuple[slice, slice]:
    """Where a piece of a line is that is as long as the line is high."""
    top, left, bottom, right = box
    high, wide = bottom - top, right - left
    if high <= wide:
        start = left + number * high
        return slice(top, bottom), slice(start, min(right, start + high))
    start = top + number * wide
    return slice(start, min(bottom, start + wide)), slice(left, right)


def missed(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy and overlap, where it is known what is text."""
    known = (wanted >= 0).float()
    wanted = wanted.clamp(min=0)
    said = torch.sigmoid(logits) * known
    overlap = 1 - (2 * (said * wanted).sum() + 1) / (said.sum() + wanted.sum() + 1)
    each = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (each * known).mean() + 0.5 * overlap


def train(chosen: argparse.Namespace) -> None:
    """Train for the stated time; the weights are a mean over the last steps."""
    torch.manual_seed(chosen.seed)
    torch.set_num_threads(1)
    found = fonts("training", tuple(chosen.fonts))
    faces: Faces = [[None], *(list[Path | None](one) for one in found)]
    made = Examples(chosen.seed, faces, chosen.grounds)
    batches: Any = iter(
        DataLoader(made, chosen.batch, num_workers=chosen.workers, in_order=not chosen.workers)
    )
    net: Any = Finder().to(chosen.device)
    smooth = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=chosen.rate, weight_decay=1e-4)
    kept = [
        torch.empty((chosen.kept * chosen.batch, *part.shape[1:]), dtype=part.dtype).to(
            chosen.device
        )
        for part in next(batches)
    ]
    began, step, mean, many = time.monotonic(), 0, 0.0, len(kept[0])
    while (share := (time.monotonic() - began) / (60 * chosen.minutes)) < 1:
        for group in optimizer.param_groups:
            warm = min(1, (step + 1) / 200)
            group["lr"] = chosen.rate * warm * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-5
        at = step * chosen.batch % many
        for held, part in zip(kept, next(batches), strict=True):
            held[at : at + chosen.batch] = part.to(chosen.device)
        filled = min(many, (step + 1) * chosen.batch)
        which = torch.randperm(filled, device=chosen.device)[: chosen.batch * chosen.again]
        seen, wanted = (part[which].float() for part in kept)
        with torch.autocast(chosen.device, torch.bfloat16, enabled=chosen.device != "cpu"):
            logits = net(seen)
        loss = missed(logits.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        smooth.update_parameters(net)
        if step % 20 == 0:
            mean = loss.item() if step == 0 else 0.9 * mean + 0.1 * loss.item()
        if step % 200 == 0:
            print(f"{step} {share:.2f} {mean:.4f}", flush=True)
        step += 1
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({k: v.cpu() for k, v in smooth.module.state_dict().items()}, chosen.out)
    print(
        f"{step} steps of {chosen.batch}, loss {mean:.4f}, {sum(map(len, faces))} fonts: {chosen.out}"
    )


def export(weights: Path, out: Path) -> None:
    """Weights of :func:`train` as ONNX, with likelihoods for logits."""
    net = Finder()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    torch.onnx.export(
        nn.Sequential(net, nn.Sigmoid()),
        (torch.zeros(1, 2, 64, 64),),
        str(out),
        input_names=["views"],
        output_names=["text"],
        dynamic_axes={"views": {0: "n", 2: "h", 3: "w"}, "text": {0: "n", 2: "h4", 3: "w4"}},
        dynamo=False,
    )


def main() -> None:
    """Train, or export what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--export", type=Path, help="Weights to write as ONNX; nothing is trained.")
    parser.add_argument("--grounds", type=Path, help="Of benchmarks/text_grounds.py.")
    parser.add_argument("--fonts", type=Path, nargs="+", default=[FONTS])
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--kept", type=int, default=1, help="Batches kept to be used again.")
    parser.add_argument("--again", type=int, default=1, help="Batches of the kept ones a step.")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.export:
        export(chosen.export, chosen.out)
    else:
        train(chosen)


if __name__ == "__main__":
    main()
