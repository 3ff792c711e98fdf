"""From torch to ONNX: the graph that ships, evidence included."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from diaphane.models.ensemble import Ensemble
from diaphane.models.evidence import EvidenceNet

INPUTS = ("image", "mask", "length", "concepts")
OUTPUTS = ("logit", "bias", "maps", "attention", "concept_contributions", "features")
OPSET = 18


def export_onnx(module: EvidenceNet | Ensemble, path: Path) -> None:
    """Write one ONNX file, weights inside, with free batch and slice counts.

    Inputs are ``image (N, T, C, H, W)`` float32, ``mask (N, T, H, W)`` float32, ``length (N,)``
    int64 and ``concepts (N, J)`` float32; height and width are fixed. Outputs are the fields of
    ``EvidenceOutput`` in order, its ``concepts`` called ``concept_contributions``. All outputs are
    always there. An input that the model does not use is not declared: ``concepts`` when no concept
    enters (its contributions are then ``(N, 0, K)``), so feed only what the graph declares.
    """
    config = module.config
    height, width = config.image_size
    example = (
        torch.rand(2, 3, config.in_channels, height, width),
        torch.ones(2, 3, height, width),
        torch.tensor([3, 2]),
        torch.zeros(2, config.n_concepts),
    )
    device = next(module.parameters()).device
    training = module.training
    beside = path.with_name(path.name + ".part")
    graph = _Graph(module, with_concepts=config.has_concepts).cpu().eval()
    names = INPUTS if config.has_concepts else INPUTS[:3]
    free = {
        "image": {0: "cases", 1: "slices"},
        "mask": {0: "cases", 1: "slices"},
        "length": {0: "cases"},
        "concepts": {0: "cases"},
    }
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Tracing checks shapes in Python; the RNNs' start state follows the batch (tested).
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                example[: len(names)],
                str(beside),
                input_names=list(names),
                output_names=list(OUTPUTS),
                dynamic_axes={
                    **{name: free[name] for name in names},
                    "maps": {0: "cases", 1: "slices"},
                    "attention": {0: "cases", 1: "slices"},
                    **{
                        name: {0: "cases"}
                        for name in ("logit", "bias", "concept_contributions", "features")
                    },
                },
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        module.to(device).train(training)
    beside.replace(path)


class _Graph(nn.Module):
    """A model with the inputs that its graph declares and a plain tuple as result."""

    def __init__(self, module: nn.Module, *, with_concepts: bool) -> None:
        super().__init__()
        self.module = module
        self.with_concepts = with_concepts

    def forward(
        self,
        image: torch.Tensor,
        mask: torch.Tensor,
        length: torch.Tensor,
        concepts: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if concepts is None:
            concepts = image.new_zeros((image.shape[0], 0))
        return tuple(self.module(image, mask, length, concepts))
