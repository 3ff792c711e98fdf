"""What the sliding window costs beside the network, and the memory of a large volume.

Overhead: the same patches go through the same ONNX network bare (cut beforehand, called one by
one, answers thrown away) and through ``bundle.sliding.slide``; the two take turns in one process on
one thread. Compared is processor time, which a busy machine distorts least; wall time stands beside
it. Networks are plain convolutions of the width and cost of a small U-Net's full-resolution level.

Memory: ``diaphane predict`` on a generated volume of 512 x 512 x 800 int16 voxels (420 MB) with
three labels and ``--memory 1024``, in a process of its own; its peak of resident memory, and that of the same process with
a volume of 32 slices, so that interpreter, libraries and network can be told from what the volume
takes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from diaphane.bundle import (
    LabelSpec,
    OnnxRunner,
    PatchSpec,
    SegmentationManifest,
    Source,
    write_segmenter,
)
from diaphane.bundle.sliding import Lattice, slide
from diaphane.preprocess import Recipe, make_step

TURNS = 7
LIMIT = 1.05
BOUND = 1024
"""MB that ``predict`` may take beside the input and the network."""
RESULT = Path(__file__).parent / "results" / "sliding.json"
SHAPES = {
    # name: (image (C, z, y, x), patch, labels, channels of the network)
    "volume": ((1, 64, 128, 128), (40, 80, 80), 2, 16),
    "thick slices": ((1, 24, 256, 256), (1, 192, 192), 3, 16),
    "photograph": ((3, 1, 600, 600), (1, 256, 256), 1, 16),
    "small images": ((1, 64, 64, 64), (1, 64, 64), 1, 16),
}


def network(path: Path, channels: int, labels: int, width: int, flat: bool) -> bytes:
    """Four convolutions, 3 x 3 (x 3), with ReLU between them."""
    rng = np.random.default_rng(0)
    kernel, pads = ((1, 3, 3), [0, 1, 1]) if flat else ((3, 3, 3), [1, 1, 1])
    sizes = [channels, width, width, width, labels + 1]
    nodes, values, last = [], [], "image"
    for k, (taken, given) in enumerate(pairwise(sizes)):
        weight = rng.normal(0, (2 / (taken * np.prod(kernel))) ** 0.5, (given, taken, *kernel))
        values.append(numpy_helper.from_array(weight.astype(np.float32), f"w{k}"))
        out = "logit" if k == len(sizes) - 2 else f"c{k}"
        nodes.append(helper.make_node("Conv", [last, f"w{k}"], [out], pads=pads * 2))
        if out != "logit":
            nodes.append(helper.make_node("Relu", [out], [f"r{k}"]))
        last = f"r{k}"
    shape = ["n", None, "d", "h", "w"]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, *shape[2:]])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n", labels + 1, *shape[2:]])],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path.read_bytes()


def cut(image: Any, patch: PatchSpec) -> list[Any]:
    """All patches of an image, ready for the network, one by one."""
    lattice = Lattice.over(image.shape[1:], patch.size, patch.overlap)
    found = []
    for z in lattice.starts[0]:
        for y in lattice.starts[1]:
            for x in lattice.starts[2]:
                d, h, w = patch.size
                found.append(np.ascontiguousarray(image[None, :, z : z + d, y : y + h, x : x + w]))
    return found


def overhead(room: Path) -> dict[str, Any]:
    """Ratio of sliding to bare, by kind of image."""
    table = {}
    print(f"{'image':<14}{'patches':>8}{'bare s':>9}{'sliding s':>11}{'ratio':>8}{'(wall)':>8}")
    for name, (shape, size, labels, width) in SHAPES.items():
        model = network(room / "model.onnx", shape[0], labels, width, size[0] == 1)
        runner = OnnxRunner(model, 1, takes=("image",), gives=("logit",))
        patch = PatchSpec(channels=shape[0], size=size)
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        patches = cut(image, patch)

        def bare(patches: Any = patches, runner: Any = runner) -> None:
            for one in patches:
                runner({"image": one})

        def sliding(image: Any = image, patch: Any = patch, runner: Any = runner) -> None:
            for _ in slide(image, patch, runner):
                pass

        used = {"bare": [], "sliding": []}  # type: dict[str, list[tuple[float, float]]]
        for turn in range(TURNS + 1):
            for way, run in (("bare", bare), ("sliding", sliding)):
                took = timed(run)
                if turn:
                    used[way].append(took)
        ratio, wall = (
            statistics.median(
                s[k] / b[k] for b, s in zip(used["bare"], used["sliding"], strict=True)
            )
            for k in (0, 1)
        )
        seconds = {way: statistics.median(t[0] for t in times) for way, times in used.items()}
        table[name] = {
            "image": shape,
            "patch": size,
            "labels": labels,
            "patches": len(patches),
            "cpu_seconds": {way: round(s, 4) for way, s in seconds.items()},
            "ratio": round(ratio, 4),
            "ratio_wall": round(wall, 4),
        }
        print(
            f"{name:<14}{len(patches):>8}{seconds['bare']:>9.3f}{seconds['sliding']:>11.3f}"
            f"{ratio:>8.3f}{wall:>8.3f}"
        )
    return table


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Processor and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def memory(room: Path, slices: int) -> dict[str, Any]:
    """Peak memory and time of ``diaphane predict`` on a generated CT of that many slices."""
    import nibabel

    steps = (
        make_step("clip", {"low": -1000, "high": 1000}),
        make_step("rescale_intensity", {"in_low": -1000.0, "in_high": 1000.0}),
    )
    manifest = SegmentationManifest(
        name="large",
        version="1",
        title="A generated network",
        labels=tuple(LabelSpec(value=k, name=f"label {k}", keep="largest") for k in (1, 2, 3)),
        patch=PatchSpec(size=(32, 128, 128), overlap=0.25),
        recipe=Recipe(steps).to_dict(),
        intended_use="A benchmark.",
        licence="CC0-1.0",
        sources=(Source(name="generated", licence="CC0-1.0"),),
    )
    model = room / "model.onnx"
    network(model, 1, 3, 4, flat=False)
    write_segmenter(room / "bundle", manifest, model, card="", licence="")
    rng = np.random.default_rng(2)
    plane = (np.add.outer(np.sin(np.arange(512) / 40), np.cos(np.arange(512) / 30)) * 500).astype(
        np.int16
    )
    voxels = np.empty((512, 512, slices), dtype=np.int16, order="F")
    for k in range(slices):
        voxels[:, :, k] = np.roll(plane, k, axis=0) + rng.integers(-40, 40, (512, 512))
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 1.0, 1])), room / "large.nii")
    del voxels
    script = (
        "import resource, sys; from diaphane.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('PEAK', used.ru_maxrss, code, used.ru_utime + used.ru_stime)"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable, "-c", script, "predict", str(room / "bundle"), str(room / "large.nii"),
            "--out", str(room / "out.csv"), "--masks", str(room / "masks"), "--threads", "1",
            "--memory", str(BOUND),
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "DIAPHANE_HOME": str(room / "home")},
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-1].split() if done.stdout.strip() else []
    if last[:1] != ["PEAK"] or last[2] not in ("0", "None"):
        raise RuntimeError(f"predict failed: {done.stdout}{done.stderr}")
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return {
        "slices": slices,
        "input_mb": round(512 * 512 * slices * 2 / 2**20),
        "peak_mb": round(int(last[1]) * unit / 2**20),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(float(last[3]), 1),
    }


def main(arguments: list[str]) -> int:
    """Measure, print and write ``results/sliding.json``."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        if arguments != ["memory"]:
            result["overhead"] = overhead(room)
        if arguments != ["overhead"]:
            small, large = memory(room, 32), memory(room, 800)
            taken = large["peak_mb"] - large["input_mb"] - small["peak_mb"]
            result["memory"] = {"small": small, "large": large, "bound_mb": BOUND}
            result["memory"]["beside_input_and_network_mb"] = taken
            for one in (small, large):
                print(
                    f"512 x 512 x {one['slices']}: input {one['input_mb']} MB, peak "
                    f"{one['peak_mb']} MB, {one['seconds']} s ({one['cpu_seconds']} s of processor)"
                )
            print(f"beside input and the small volume's process: {taken} MB, bound {BOUND} MB")
    result |= {
        "turns": TURNS,
        "limit": LIMIT,
        "cores": os.cpu_count(),
        "load_average": [round(v, 2) for v in os.getloadavg()],
        "python": platform.python_version(),
    }
    if RESULT.exists():
        result = json.loads(RESULT.read_text(encoding="utf-8")) | result
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    worst = max((row["ratio"] for row in result.get("overhead", {}).values()), default=0.0)
    print(f"largest ratio {worst:.3f}, aimed at {LIMIT:.2f}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
