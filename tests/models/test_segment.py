"""Segmenters: what they see, and that graph and weights on disk say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.errors import PlanError, UnreadableFile
from diaphane.models.segment import Committee, SegmenterConfig, SegmentNet
from diaphane.models.segment_files import (
    as_shipped,
    export_segmenter,
    load_segmenter_weights,
    save_segmenter_weights,
)
from diaphane.models.segment_parts import EPS, InstanceNorm

FLAT = ((1, 2, 2), (1, 2, 2))


def small(kind: str, **changes: object) -> SegmenterConfig:
    strides = ((2, 2, 2), (1, 2, 2)) if kind == "unet3d" else FLAT
    fields = {"kind": kind, "n_labels": 2, "widths": (4, 8, 12), "strides": strides}
    return SegmenterConfig(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["unet2d", "unet3d", "cnn_gru"])
@pytest.mark.parametrize("stem", ["plain", "residual"])
def test_logits_lie_on_the_grid_of_the_image(kind: str, stem: str) -> None:
    config = small(kind, in_channels=3, stem=stem, deep_supervision=1)
    net = SegmentNet(config).eval()
    depth = 1 if kind == "unet2d" else 4
    image = torch.rand(2, 3, depth, 8, 12)
    assert net(image).shape == (2, 3, depth, 8, 12)
    coarse = net.levels(image)[1]
    step = config.strides[0]
    assert coarse.shape[2:] == (depth // step[0], 8 // step[1], 12 // step[2])
    assert SegmenterConfig.from_dict(config.to_dict()) == config


def test_slices_know_of_each_other_through_the_gru_only() -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 1, 5, 8, 8)
    for kind, aware in (("unet2d", False), ("cnn_gru", True)):
        net = SegmentNet(small(kind)).eval()
        before = net(image)
        for changed, seen in ((0, 4), (4, 0)):
            other = image.clone()
            other[:, :, changed] += 1.0
            differs = bool((net(other)[:, :, seen] - before[:, :, seen]).abs().max() > 1e-6)
            assert differs is aware


@settings(deadline=None, max_examples=25)
@given(st.tuples(*(st.integers(1, 4) for _ in range(3))), st.integers(1, 6), st.integers(0, 999))
def test_own_normalisation_is_instance_normalisation(
    size: tuple[int, int, int], channels: int, seed: int
) -> None:
    if np.prod(size) < 2:
        size = (2, 1, 1)
    torch.manual_seed(seed)
    x = torch.randn(2, channels, *size, requires_grad=True)
    norm = InstanceNorm(channels).train()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    wanted = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPS)
    found = norm(x)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    up = torch.randn_like(found)
    inputs = [x, norm.weight, norm.bias]
    for one, other in zip(
        torch.autograd.grad(found, inputs, up),
        torch.autograd.grad(wanted, inputs, up),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("kind", ["unet2d", "unet3d", "cnn_gru"])
def test_graph_says_what_the_networks_say(kind: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    patch = (1 if kind == "unet2d" else 4, 16, 16)
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        net = SegmentNet(small(kind))
        net.load_state_dict(as_shipped(net.state_dict()))
        nets.append(net)
    both = Committee(nets).eval()
    path = tmp_path / "model.onnx"
    export_segmenter(both, path, patch)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        image = torch.rand(count, 1, *patch)
        said = session.run(None, {"image": image.numpy()})[0]
        with torch.no_grad():
            np.testing.assert_allclose(said, both(image).numpy(), atol=1e-4)
            mean = torch.stack([net(image) for net in nets]).mean(0)
            np.testing.assert_allclose(said, mean.numpy(), atol=1e-4)


def test_halves_are_stored(tmp_path: Path) -> None:
    net = SegmentNet(small("unet3d", widths=(8, 24, 48)))
    weights = sum(p.numel() for p in net.parameters())
    export_segmenter(net, tmp_path / "model.onnx", (4, 8, 8))
    assert (tmp_path / "model.onnx").stat().st_size < 2.6 * weights + 40_000


def test_weights_come_back_from_disk(tmp_path: Path) -> None:
    net = SegmentNet(small("cnn_gru")).eval()
    save_segmenter_weights(net, tmp_path / "w.safetensors")
    again = load_segmenter_weights(tmp_path / "w.safetensors")
    image = torch.rand(1, 1, 3, 8, 8)
    assert torch.equal(net(image), again(image))
    (tmp_path / "w.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableFile):
        load_segmenter_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "unet4d"},
        {"widths": (8,)},
        {"n_labels": 0},
        {"kind": "unet2d", "strides": ((2, 2, 2), (1, 2, 2))},
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        small(**{"kind": "unet3d", **changes})  # type: ignore[arg-type]


def test_a_committee_shares_its_classes() -> None:
    with pytest.raises(PlanError):
        Committee([SegmentNet(small("unet3d")), SegmentNet(small("unet3d", n_labels=3))])
