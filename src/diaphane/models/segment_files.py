"""Segmenters on disk: weights in training (safetensors), and the graph that ships (ONNX)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diaphane.models.checkpoint import read_tensors, with_weights, write_tensors
from diaphane.models.segment import Committee, SegmenterConfig, SegmentNet

_FORMAT = "diaphane-segmenter/1"
OPSET = 18
_SMALL = 256
"""Tensors of fewer values stay float32 in the graph."""


def as_shipped(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights rounded as the graph will store them, on the CPU as float32.

    Rounding before a network is judged makes what is judged and what ships the same.
    """
    rounded = {}
    for name, value in weights.items():
        plain = value.detach().float().cpu().contiguous()
        rounded[name] = plain.half().float() if plain.numel() >= _SMALL else plain.clone()
    return rounded


def save_segmenter_weights(net: SegmentNet, path: Path) -> None:
    """Write a network; the file appears only when it is whole, and nothing is pickled."""
    write_tensors(path, net.state_dict(), {"format": _FORMAT, "config": net.config.to_dict()})


def load_segmenter_weights(path: Path) -> SegmentNet:
    """Read back what ``save_segmenter_weights`` wrote, on the CPU and in evaluation mode.

    Raises
    ------
    UnreadableFile
        The file is missing, damaged, or not such a file.
    """
    header, tensors = read_tensors(path, _FORMAT)
    return with_weights(SegmentNet(SegmenterConfig.from_dict(header["config"])), tensors, path)


def export_segmenter(
    module: SegmentNet | Committee, path: Path, patch: tuple[int, int, int]
) -> None:
    """Write one ONNX file: ``image`` ``(N, C, D, H, W)`` in, ``logit`` ``(N, 1 + L, D, H, W)`` out.

    The number of patches is free, their size is fixed. Large weights are stored as float16 and
    cast when the graph is loaded; all arithmetic is float32.
    """
    example = torch.zeros(2, module.config.in_channels, *patch)
    beside = path.with_name(path.name + ".part")
    training = module.training
    module.cpu().eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Tracing turns sizes into constants, which is what a fixed patch means.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(beside),
                input_names=["image"],
                output_names=["logit"],
                dynamic_axes={"image": {0: "patches"}, "logit": {0: "patches"}},
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        module.train(training)
    _store_halves(beside)
    beside.replace(path)


def _store_halves(path: Path) -> None:
    """Store large initialisers as float16, each with a cast to float32 behind it."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model: Any = onnx.load(str(path))
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _SMALL:
            kept.append(tensor)
            continue
        name = f"{tensor.name}.half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
