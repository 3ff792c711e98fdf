"""A tiny real bundle whose graph is written by hand: additive evidence without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diaphane.core.decision import Calibration, PredictionSets, UnlikeTraining

OPSET = 18


def toy_graph(
    path: Path,
    *,
    size: tuple[int, int] = (16, 16),
    stride: int = 4,
    weights: Any = ((4.0,),),
    bias: Any = (-1.0,),
    concept_weights: Any = (),
    seed: int | None = None,
) -> Path:
    """Write an ONNX graph with a bundle's inputs and outputs.

    Features are block means of the image, the context is the tanh of their pooled mean, and the
    attention is even over slices with mask. ``weights`` ``(C, K)``, ``concept_weights`` ``(J, K)``;
    with ``seed`` each cell of the grid has random weights of its own.
    """
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    w = np.asarray(weights, np.float32)
    channels, outputs = w.shape
    g = np.asarray(concept_weights, np.float32).reshape(-1, outputs)
    h, v = size[0] // stride, size[1] // stride
    cell = np.ones((h, v), np.float32)
    if seed is not None:
        cell = np.random.default_rng(seed).normal(size=(h, v)).astype(np.float32)
    values = {
        "w": w,
        "g": g[None],
        "b": np.asarray(bias, np.float32),
        "zeros": np.zeros((channels, outputs), np.float32),
        "cell": cell,
        "one": np.float32(1),
        "zero": np.float32(0),
        "tiny": np.float32(1e-6),
        "image_shape": np.array([0, 0, channels, h, stride, v, stride]),
        "mask_shape": np.array([0, 0, h, stride, v, stride]),
        "i0": np.int64(0), "i1": np.int64(1), "at1": np.array([1]), "at2": np.array([2]),
        "last": np.array([-1]), "hw": np.array([2, 3]), "tyx": np.array([1, 2, 3]),
        "blocks": np.array([4, 6]), "mask_blocks": np.array([3, 5]), "to_maps": np.array([2, 3]),
    }  # fmt: skip
    nodes = [
        ("Reshape", ["image", "image_shape"], "cut"),
        ("ReduceMean", ["cut", "blocks"], "f", {"keepdims": 0}),
        ("Reshape", ["mask", "mask_shape"], "mask_cut"),
        ("ReduceMean", ["mask_cut", "mask_blocks"], "m_raw", {"keepdims": 0}),
        ("ReduceSum", ["m_raw", "hw"], "mass", {"keepdims": 1}),
        ("Max", ["mass", "tiny"], "mass_safe"),
        ("Div", ["m_raw", "mass_safe"], "m"),
        ("Shape", ["mask"], "shape"),
        ("Gather", ["shape", "i1"], "steps"),
        ("Range", ["i0", "steps", "i1"], "range"),
        ("Unsqueeze", ["length", "at1"], "length_column"),
        ("Less", ["range", "length_column"], "valid"),
        ("Squeeze", ["mass", "hw"], "mass_flat"),
        ("Greater", ["mass_flat", "tiny"], "has_mask"),
        ("And", ["valid", "has_mask"], "taken"),
        ("Cast", ["taken"], "taken_f", {"to": kinds.FLOAT}),
        ("ReduceSum", ["taken_f", "at1"], "taken_n", {"keepdims": 1}),
        ("Max", ["taken_n", "one"], "taken_safe"),
        ("Div", ["taken_f", "taken_safe"], "attention"),
        ("Unsqueeze", ["attention", "to_maps"], "attention_map"),
        ("Mul", ["attention_map", "m"], "place"),
        ("Einsum", ["place", "f"], "pooled", {"equation": "ntyx,ntcyx->nc"}),
        ("ReduceMean", ["pooled", "last"], "pooled_mean", {"keepdims": 1}),
        ("Tanh", ["pooled_mean"], "context"),
        ("Add", ["context", "one"], "gain"),
        ("Einsum", ["f", "w", "cell"], "e", {"equation": "ntcyx,ck,yx->ntyxk"}),
        ("Einsum", ["e", "place", "gain"], "maps", {"equation": "ntyxk,ntyx,ng->ntyxk"}),
        ("MatMul", ["pooled", "zeros"], "nothing"),
        ("Add", ["nothing", "b"], "bias"),
        ("ReduceSum", ["maps", "tyx"], "image_part", {"keepdims": 0}),
        ("Unsqueeze", ["pooled", "at1"], "features"),
    ]
    if len(g):
        nodes += [
            ("IsNaN", ["concepts"], "absent"),
            ("Where", ["absent", "zero", "concepts"], "known"),
            ("Unsqueeze", ["known", "at2"], "known_column"),
            ("Mul", ["known_column", "g"], "concept_contributions"),
        ]
    else:
        nodes += [
            ("Unsqueeze", ["nothing", "at1"], "nothing_row"),
            ("Slice", ["nothing_row", "s0", "s0", "at1"], "concept_contributions"),
        ]
        values["s0"] = np.array([0])
    nodes += [
        ("ReduceSum", ["concept_contributions", "at1"], "concept_part", {"keepdims": 0}),
        ("Add", ["image_part", "concept_part"], "parts"),
        ("Add", ["parts", "bias"], "logit"),
    ]
    inputs = [
        helper.make_tensor_value_info("image", kinds.FLOAT, ["n", "t", channels, *size]),
        helper.make_tensor_value_info("mask", kinds.FLOAT, ["n", "t", *size]),
        helper.make_tensor_value_info("length", kinds.INT64, ["n"]),
    ]
    if len(g):
        inputs.append(helper.make_tensor_value_info("concepts", kinds.FLOAT, ["n", len(g)]))
    ranks = {
        "logit": 2, "bias": 2, "maps": 5, "attention": 2, "concept_contributions": 3, "features": 3,
    }  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node(kind, taken, [given], **(rest[0] if rest else {}))
            for kind, taken, given, *rest in nodes
        ],
        "toy",
        inputs,
        [
            helper.make_tensor_value_info(name, kinds.FLOAT, [None] * rank)
            for name, rank in ranks.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def toy_manifest(**changes: Any) -> Any:
    """A binary bundle of stacks: bright is "malignant"."""
    from diaphane.bundle import InputSpec, Manifest, Source
    from diaphane.preprocess import Recipe

    task = changes.get("task", "binary")
    classes = changes.get("classes", ("benign", "malignant"))
    outputs = 1 if task == "binary" else len(classes)
    fields: dict[str, Any] = {
        "name": "toy",
        "version": "1.0.0",
        "title": "Toy nodules",
        "task": task,
        "classes": classes,
        "positive": classes[1] if task == "binary" else None,
        "input": InputSpec(
            kind="sequence", size=(16, 16), max_slices=6, mask="foreground",
            concepts=("diameter", "area"),
        ),
        "recipe": Recipe(()).to_dict(),
        "calibration": Calibration.identity(task, outputs),
        "prediction_sets": PredictionSets(0.9, (0.8,) * len(classes), 0.91, 1.2),
        "receptive_field": 4,
        "intended_use": "Tests of this program.",
        "licence": "CC0-1.0",
        "sources": (Source(name="made by the test", licence="CC0-1.0"),),
        "made_by": {"diaphane": "0"},
    }  # fmt: skip
    return Manifest(**{**fields, **changes})


def toy_reference(channels: int = 1) -> UnlikeTraining:
    """Features near 0.5 are like training."""
    eye = np.eye(channels, dtype=np.float32)[None]
    none = np.zeros(0, np.float32)
    return UnlikeTraining(
        np.full((1, channels), 0.5, np.float32),
        eye * 4,
        4.0,
        none,
        none,
        none,
        none,
        none[None][:0],
    )


def write_toy(folder: Path, *, manifest: Any = None, reference: bool = True, **graph: Any) -> Path:
    """Write the toy bundle and return its folder."""
    from diaphane.bundle import write_bundle

    made = manifest or toy_manifest()
    spec = made.input
    graph.setdefault("size", spec.size)
    if made.outputs > 1:
        graph.setdefault("weights", [[4.0 * (-1) ** k for k in range(made.outputs)]])
        graph.setdefault("bias", [0.1 * k for k in range(made.outputs)])
    graph.setdefault(
        "concept_weights",
        [[0.05 / (j + 1)] * made.outputs for j in range(len(spec.concept_names))],
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = toy_graph(folder.parent / f"{folder.name}.onnx", **graph)
    write_bundle(
        folder,
        made,
        model,
        card="# Toy\n",
        licence="CC0\n",
        reference=toy_reference(spec.channels) if reference else None,
    )
    model.unlink()
    return folder


def write_stacks(folder: Path, count: int = 12, *, columns: Any = None, seed: int = 0) -> Path:
    """A manifest folder of small PNG stacks, bright ones mostly malignant, two a patient.

    ``columns`` maps further column names to a function of the case's number.
    """
    import csv

    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        malignant = i % 2 == 1
        stack = folder / "images" / f"s{i:02d}"
        stack.mkdir(parents=True)
        level = 200 if malignant != (i == 3) else 80
        for z in range(1 + i % 4):
            plane = np.zeros((20, 20), np.uint8)
            plane[5:14, 4:12] = rng.integers(level - 40, level + 40, (9, 8))
            Image.fromarray(plane).save(stack / f"{z}.png")
        row = {"file": f"images/s{i:02d}", "label": "malignant" if malignant else "benign"}
        row["group"] = f"patient {i // 2}"
        rows.append({**row, **{name: make(i) for name, make in (columns or {}).items()}})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def eight_bit_manifest(**changes: Any) -> Any:
    """The toy manifest for 8-bit images."""
    from diaphane.preprocess import Recipe, make_step

    step = make_step("rescale_intensity", {"in_low": 0.0, "in_high": 255.0})
    return toy_manifest(recipe=Recipe((step,)).to_dict(), **changes)
