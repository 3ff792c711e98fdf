"""From a plan to a network, and from a network to a runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diaphane.core.errors import PlanError
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.models.segment import SegmenterConfig, SegmentNet


def network_config(plan: SegmentationPlan) -> SegmenterConfig:
    """The network of a plan.

    Raises
    ------
    PlanError
        Its sizes do not fit each other or the patch; the message names the key.
    """
    try:
        config = SegmenterConfig(
            in_channels=plan.channels, n_labels=len(plan.labels), **plan.network.model_dump()
        )
    except PlanError as error:
        raise PlanError(f"plan key 'network': {error.problem}") from error
    stride = config.total_stride
    if any(size < 1 or size % step for size, step in zip(plan.patch, stride, strict=True)):
        raise PlanError(
            f"plan key 'patch': {list(plan.patch)} is not a multiple of the network's total "
            f"stride {list(stride)}.",
            remedy="Change patch or network.strides.",
        )
    if config.kind == "unet2d" and plan.patch[0] != 1:
        raise PlanError("plan key 'patch': a unet2d takes one slice; its first number is 1.")
    return config


def dense(image: torch.Tensor) -> torch.Tensor:
    """Patches ``(N, C, D, H, W)`` with channels last: convolutions are faster so."""
    return image.contiguous(memory_format=torch.channels_last_3d)


def dense_network(net: SegmentNet) -> SegmentNet:
    """The network with its kernels laid out for such patches."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            layout = torch.channels_last
        elif isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            layout = torch.channels_last_3d
        else:
            continue
        module.weight.data = module.weight.data.contiguous(memory_format=layout)
    return net


class TorchRunner:
    """A network as a bundle's runner: ``image`` in, ``logit`` out."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self.net, self.device = net, device

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run once."""
        with torch.inference_mode():
            image = dense(torch.from_numpy(np.asarray(feeds["image"])).to(self.device))
            logit: torch.Tensor = self.net(image)
        return {"logit": logit.float().cpu().contiguous().numpy()}
