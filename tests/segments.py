"""Tiny real segmentation bundles whose graphs are written by hand, and images for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OPSET = 18


def threshold_graph(
    path: Path,
    levels: Sequence[float] = (0.5,),
    *,
    channels: int = 1,
    slope: float = 20.0,
    radius: tuple[int, int, int] = (0, 0, 0),
) -> Path:
    """Write a graph that tells voxels by their grey level: label l lies between its level and the next.

    The grey value is the mean over channels and over a box of ``radius``, so that with a radius
    the network sees its surroundings. Logit of class l: ``slope * (l g - sum of levels up to l)``,
    which makes class l the largest exactly from level l on.
    """
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    size = [2 * r + 1 for r in radius]
    smooth = np.full((1, channels, *size), 1.0 / (channels * np.prod(size)), np.float32)
    steps = np.arange(len(levels) + 1, dtype=np.float32)
    gain = (slope * steps).reshape(-1, 1, 1, 1, 1)
    offset = (-slope * np.concatenate([[0.0], np.cumsum(levels)])).astype(np.float32)
    constants = {"smooth": smooth, "gain": gain.astype(np.float32), "offset": offset}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "smooth"], ["grey"], pads=[*radius, *radius]),
            helper.make_node("Conv", ["grey", "gain", "offset"], ["logit"]),
        ],
        "threshold",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["n", channels, "d", "h", "w"])],
        [helper.make_tensor_value_info("logit", kinds.FLOAT, ["n", len(steps), "d", "h", "w"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def segment_manifest(**changes: Any) -> Any:
    """Two labels, "rim" (value 1) from 0.25 and "core" (value 2) from 0.75, of 8-bit images."""
    from diaphane.bundle import LabelSpec, PatchSpec, QualityModel, SegmentationManifest, Source
    from diaphane.preprocess import Recipe, make_step

    step = make_step("rescale_intensity", {"in_low": 0.0, "in_high": 255.0})
    quality = QualityModel(features=("expected_dice",), weight=(1.0,), offset=0.0)
    fields: dict[str, Any] = {
        "name": "rings",
        "version": "1.0.0",
        "title": "Toy rings",
        "labels": (LabelSpec(value=1, name="rim"), LabelSpec(value=2, name="core")),
        "patch": PatchSpec(size=(8, 16, 16)),
        "recipe": Recipe((step,)).to_dict(),
        "quality": {"rim": quality},
        "intended_use": "Tests of this program.",
        "licence": "CC0-1.0",
        "sources": (Source(name="made by the test", licence="CC0-1.0"),),
        "made_by": {"diaphane": "0"},
    }
    return SegmentationManifest(**{**fields, **changes})


def write_rings(folder: Path, *, manifest: Any = None, **graph: Any) -> Path:
    """Write a bundle that thresholds and return its folder."""
    from diaphane.bundle import write_segmenter

    made = manifest or segment_manifest()
    graph.setdefault("levels", (0.25, 0.75) if len(made.labels) == 2 else (0.5,))
    graph.setdefault("channels", made.patch.channels)
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = threshold_graph(folder.parent / f"{folder.name}.onnx", **graph)
    write_segmenter(folder, made, model, card="# Rings\n", licence="CC0\n")
    model.unlink()
    return folder


def ball(
    shape: tuple[int, int, int], radius: float, centre: Sequence[float] | None = None
) -> np.ndarray[Any, Any]:
    """Whether each voxel lies within ``radius`` voxels of the centre."""
    middle = [(n - 1) / 2 for n in shape] if centre is None else list(centre)
    at = np.indices(shape) - np.reshape(middle, (3, 1, 1, 1))
    return np.asarray((at**2).sum(axis=0) <= radius**2)


def ring_image(
    shape: tuple[int, int, int] = (12, 30, 34), *, seed: int = 0, bits: Any = np.uint8
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A bright core in a grey rim on black, with a little noise; and its truth (1 rim, 2 core)."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-2, 2, 3)
    centre = [(n - 1) / 2 + (s if n > 8 else 0) for n, s in zip(shape, shift, strict=True)]
    far = min(n for n in shape if n > 1) / 2
    truth = ball(shape, 0.8 * far, centre).astype(np.uint8)
    truth[ball(shape, 0.45 * far, centre)] = 2
    grey = np.array([20, 120, 220])[truth] + rng.integers(-12, 13, shape)
    return grey.astype(bits), truth
