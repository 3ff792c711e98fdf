"""The promises of the evidence network: it adds up, ignores padding, learns, and ships."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.errors import PlanError, UnreadableFile, UsageError
from diaphane.models import (
    Ensemble,
    EvidenceConfig,
    EvidenceNet,
    EvidenceOutput,
    blend,
    export_onnx,
    load_checkpoint,
    pick_device,
    save_checkpoint,
    shape_curves,
)

SIZE = 16
CONFIGS = {
    "gru": EvidenceConfig(image_size=(SIZE, SIZE), widths=(8, 12), strides=(2, 2), n_concepts=3),
    "lstm, three classes, no concepts": EvidenceConfig(
        image_size=(SIZE, SIZE), widths=(8, 12), strides=(2, 1), rnn="lstm", n_outputs=3
    ),
    "no rnn, rows, mask channel, colour": EvidenceConfig(
        in_channels=3,
        image_size=(SIZE, SIZE),
        widths=(8, 12),
        strides=(2, 2),
        n_concepts=2,
        rnn="none",
        sequence="rows",
        mask_channel=True,
        norm="batch",
    ),
    "rows": EvidenceConfig(
        image_size=(SIZE, SIZE), widths=(8, 12), strides=(2, 2), sequence="rows", norm="none"
    ),
    "concepts alone": EvidenceConfig(image_size=(SIZE, SIZE), n_concepts=3, use_image=False),
    "image alone": EvidenceConfig(
        image_size=(SIZE, SIZE), widths=(8,), strides=(4,), n_concepts=3, use_concepts=False
    ),
    "deep, learned places": EvidenceConfig(
        image_size=(SIZE, SIZE),
        widths=(8, 12),
        strides=(2, 2),
        depths=(1, 2),
        stem=6,
        norm="batch",
        activation="relu",
        drop_path=0.1,
        places="learned",
        rnn="none",
    ),
    "3d": EvidenceConfig(
        image_size=(SIZE, SIZE),
        widths=(8, 12),
        strides=(2, 2),
        depths=(1, 2),
        depth_strides=(2, 2),
        encoder="3d",
        norm="batch",
        rnn="none",
        n_concepts=2,
    ),
    "3d, stem, group, gru over rows": EvidenceConfig(
        image_size=(SIZE, SIZE),
        widths=(8, 12),
        strides=(2, 2),
        depth_strides=(1, 3),
        stem=4,
        encoder="3d",
        sequence="rows",
        mask_channel=True,
        n_outputs=3,
    ),
}
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def make_batch(config: EvidenceConfig, lengths: list[int], seed: int = 0) -> Batch:
    """Random cases whose padding is filled with large values, to be ignored."""
    generator = torch.Generator().manual_seed(seed)
    cases, slices = len(lengths), max(lengths)
    image = torch.rand(cases, slices, config.in_channels, SIZE, SIZE, generator=generator)
    mask = (torch.rand(cases, slices, SIZE, SIZE, generator=generator) > 0.6).float()
    concepts = torch.randn(cases, config.n_concepts, generator=generator)
    for i, length in enumerate(lengths):
        image[i, length:] = 7.0
        mask[i, length:] = 1.0
    return image, mask, torch.tensor(lengths), concepts


def make_net(config: EvidenceConfig, seed: int = 0) -> EvidenceNet:
    torch.manual_seed(seed)
    net = EvidenceNet(config)
    if net.shapes is not None:
        torch.nn.init.normal_(net.shapes.rise)
        net.fit_concepts(torch.randn(50, config.n_concepts) * 3 + 1)
        net.centre_concepts(torch.randn(50, config.n_concepts) * 3 + 1)
    return net.eval()


def assert_adds_up(out: EvidenceOutput) -> None:
    total = out.bias + out.maps.sum(dim=(1, 2, 3)) + out.concepts.sum(dim=1)
    size = out.maps.abs().sum(dim=(1, 2, 3)) + out.concepts.abs().sum(dim=1) + out.bias.abs()
    assert bool(((total - out.logit).abs() <= 1e-4 * size.clamp_min(1.0)).all())


def run_onnx(path: Path, batch: Batch) -> EvidenceOutput:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given_inputs = dict(zip(("image", "mask", "length", "concepts"), batch, strict=True))
    feed = {i.name: given_inputs[i.name].numpy() for i in session.get_inputs()}
    return EvidenceOutput(*(torch.from_numpy(np.asarray(v)) for v in session.run(None, feed)))


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request: pytest.FixtureRequest) -> EvidenceConfig:
    chosen: EvidenceConfig = request.param
    return chosen


def test_shapes_and_sum(config: EvidenceConfig) -> None:
    out = make_net(config)(*make_batch(config, [3, 5, 1]))
    h, w = config.grid
    assert out.logit.shape == out.bias.shape == (3, config.n_outputs)
    assert out.maps.shape == (3, 5, h, w, config.n_outputs)
    assert out.concepts.shape == (3, config.n_concepts * config.has_concepts, config.n_outputs)
    assert out.features.shape == (3, 1, config.feature_size)
    torch.testing.assert_close(out.attention.sum(1), torch.ones(3))
    assert not out.attention[0, 3:].any()
    assert not out.maps[0, 3:].any()
    assert_adds_up(out)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    name=st.sampled_from(sorted(CONFIGS)),
    seed=st.integers(0, 9),
)
def test_padding_changes_nothing(lengths: list[int], name: str, seed: int) -> None:
    net = make_net(CONFIGS[name], seed)
    batch = make_batch(CONFIGS[name], lengths, seed)
    together = net(*batch)
    assert_adds_up(together)
    for i, length in enumerate(lengths):
        image, mask, _, concepts = (part[i : i + 1] for part in batch)
        alone = net(image[:, :length], mask[:, :length], torch.tensor([length]), concepts)
        torch.testing.assert_close(together.logit[i : i + 1], alone.logit, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.maps[i : i + 1, :length], alone.maps, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            together.attention[i : i + 1, :length], alone.attention, atol=1e-5, rtol=0
        )


def test_padding_changes_nothing_in_training(config: EvidenceConfig) -> None:
    """Batch statistics and gradients come from valid slices only."""
    net = certain(make_net(config))
    image, mask, length, concepts = make_batch(config, [2, 2])
    short = gradients(net, net(image, mask, length, concepts).logit)
    wide = torch.nn.functional.pad(image, (0, 0, 0, 0, 0, 0, 0, 4), value=9.0)
    masks = torch.nn.functional.pad(mask, (0, 0, 0, 0, 0, 4), value=1.0)
    found = gradients(net, net(wide, masks, length, concepts).logit)
    torch.testing.assert_close(found, short, atol=1e-4, rtol=1e-4)


def test_the_score_for_training_and_its_gradient_are_those_of_the_maps(
    config: EvidenceConfig,
) -> None:
    net = certain(make_net(config))
    batch = make_batch(config, [3, 5, 1])
    out = net(*batch)
    logit, parts = net.score(*batch)
    torch.testing.assert_close(parts, out.concepts)
    drawn, summed = gradients(net, out.logit), gradients(net, logit)
    torch.testing.assert_close(summed, drawn, atol=1e-4, rtol=1e-4)


def certain(net: EvidenceNet) -> EvidenceNet:
    """The network in training, nothing left to chance."""
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_path"):
            module.drop_path = 0.0
    return net.train()


def gradients(net: EvidenceNet, logit: torch.Tensor) -> list[torch.Tensor]:
    """The logit, and what each parameter should change to raise the first case's scores."""
    used = torch.autograd.grad(logit[0].sum(), list(net.parameters()), allow_unused=True)
    return [logit.detach(), *(each for each in used if each is not None)]


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_without_a_mask_every_place_weighs_the_same(fill: float) -> None:
    config = CONFIGS["gru"]
    net = make_net(config)
    image, mask, length, concepts = make_batch(config, [3])
    flat = net(image, torch.full_like(mask, fill), length, concepts)
    ones = net(image, torch.ones_like(mask), length, concepts)
    torch.testing.assert_close(flat.maps, ones.maps)


def test_evidence_stays_inside_the_mask() -> None:
    config = CONFIGS["gru"]
    image, mask, length, concepts = make_batch(config, [3])
    mask[:, :, 8:, :] = 0.0
    mask[:, 1] = 0.0
    out = make_net(config)(image, mask, length, concepts)
    assert not out.maps[:, :, 2:].any()
    assert not out.attention[:, 1].any()
    assert out.maps.any()


@pytest.mark.parametrize("trained", [False, True])
def test_onnx_says_the_same(config: EvidenceConfig, trained: bool, tmp_path: Path) -> None:
    nets = [make_net(config, seed) for seed in (0, 1)]
    if trained:
        for net in nets:
            train_a_little(net)
    model = Ensemble(nets, views=("as_is", "flip_x", "flip_y", "turn")).eval()
    path = tmp_path / "model.onnx"
    export_onnx(model, path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    for lengths in ([1], [7], [300], [2, 7, 1]):
        batch = make_batch(config, lengths)
        with torch.no_grad():
            ours = model(*batch)
        theirs = run_onnx(path, batch)
        assert_adds_up(ours)
        assert_adds_up(theirs)
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(its, mine, atol=1e-5, rtol=0)


def test_onnx_ignores_padding(config: EvidenceConfig, tmp_path: Path) -> None:
    export_onnx(make_net(config), tmp_path / "model.onnx")
    batch = make_batch(config, [7, 300, 1])
    together = run_onnx(tmp_path / "model.onnx", batch)
    for i, length in enumerate([7, 300, 1]):
        image, mask, _, concepts = (part[i : i + 1] for part in batch)
        alone_batch = (image[:, :length], mask[:, :length], torch.tensor([length]), concepts)
        alone = run_onnx(tmp_path / "model.onnx", alone_batch)
        torch.testing.assert_close(together.logit[i : i + 1], alone.logit, atol=1e-5, rtol=0)


def test_exported_graph_declares_only_what_it_uses(tmp_path: Path) -> None:
    for name, expected in (("gru", 4), ("lstm, three classes, no concepts", 3)):
        export_onnx(make_net(CONFIGS[name]), tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        inputs = [i.name for i in session.get_inputs()]
        assert inputs == ["image", "mask", "length", "concepts"][:expected]
        assert [o.name for o in session.get_outputs()] == [
            "logit", "bias", "maps", "attention", "concept_contributions", "features",
        ]  # fmt: skip


def test_export_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    net = make_net(CONFIGS["gru"]).train()
    export_onnx(net, tmp_path / "model.onnx")
    assert net.training


def test_default_ensemble_of_five_fits_in_the_wheel(tmp_path: Path) -> None:
    config = EvidenceConfig(n_concepts=10)
    views = ("as_is", "flip_x", "flip_y", "turn")
    export_onnx(Ensemble([EvidenceNet(config) for _ in range(5)], views), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size <= 3 * 2**20


def test_ensemble_is_the_mean_of_its_members() -> None:
    config = CONFIGS["gru"]
    nets = [make_net(config, seed) for seed in range(3)]
    batch = make_batch(config, [4, 2])
    outs = [net(*batch) for net in nets]
    fused = Ensemble(nets)(*batch)
    for name in ("logit", "bias", "maps", "attention", "concepts"):
        mean = torch.stack([getattr(out, name) for out in outs]).mean(0)
        torch.testing.assert_close(getattr(fused, name), mean)
    torch.testing.assert_close(fused.features, torch.cat([out.features for out in outs], dim=1))


def test_a_blend_scores_the_weighted_mean() -> None:
    both = CONFIGS["gru"]
    image = make_net(replace(both, use_concepts=False), 1)
    concepts = make_net(replace(both, use_image=False), 2)
    batch = make_batch(both, [4, 2])
    net = blend(image, concepts, 0.4)
    out = net(*batch)
    assert_adds_up(out)
    assert net.config == both
    expected = 0.4 * image(*batch).logit + 0.6 * concepts(*batch).logit
    torch.testing.assert_close(out.logit, expected)
    torch.testing.assert_close(out.maps, 0.4 * image(*batch).maps)
    for wrong in ((concepts, image, 0.4), (image, image, 0.4), (image, concepts, 1.0)):
        with pytest.raises(PlanError):
            blend(*wrong)


def test_views_turn_with_the_image() -> None:
    """A mirrored case gets the mirrored maps and the same score."""
    config = CONFIGS["gru"]
    model = Ensemble([make_net(config)], views=("as_is", "flip_x"))
    image, mask, length, concepts = make_batch(config, [3])
    plain = model(image, mask, length, concepts)
    mirrored = model(image.flip(-1), mask.flip(-1), length, concepts)
    torch.testing.assert_close(mirrored.logit, plain.logit)
    torch.testing.assert_close(mirrored.maps, plain.maps.flip(-2))


@pytest.mark.parametrize("several", [False, True])
def test_checkpoint_round_trip(config: EvidenceConfig, several: bool, tmp_path: Path) -> None:
    model: EvidenceNet | Ensemble = make_net(config)
    if several:
        model = Ensemble([make_net(config, 1), make_net(config, 2)], views=("as_is", "turn")).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    loaded = load_checkpoint(path)
    assert type(loaded) is type(model)
    assert loaded.config == config
    batch = make_batch(config, [2, 3])
    for ours, theirs in zip(model(*batch), loaded(*batch), strict=True):
        assert torch.equal(ours, theirs)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UnreadableFile):
        load_checkpoint(path)
    save_checkpoint(make_net(CONFIGS["gru"]), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UnreadableFile, match=r"model\.safetensors"):
        load_checkpoint(path)


def train_a_little(net: EvidenceNet, steps: int = 5) -> list[float]:
    batch = make_batch(net.config, [3, 1, 2, 4])
    target = (torch.arange(4 * net.config.n_outputs) % 2).float().reshape(4, -1)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    net.train()
    for _ in range(steps):
        logit = net(*batch).logit
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    net.eval()
    return losses


def test_every_parameter_gets_a_gradient(config: EvidenceConfig) -> None:
    net = make_net(config).train()
    out = net(*make_batch(config, [3, 9]))
    (out.logit.square().sum() + net.roughness()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


def test_it_learns(config: EvidenceConfig) -> None:
    losses = train_a_little(make_net(config), 40)
    assert losses[-1] < losses[0]


def test_other_weights_give_other_maps() -> None:
    batch = make_batch(CONFIGS["gru"], [4])
    first, second = (make_net(CONFIGS["gru"], seed)(*batch).maps.flatten() for seed in (0, 1))
    assert abs(float(torch.corrcoef(torch.stack([first, second]).detach())[0, 1])) < 0.9


def test_a_concept_not_given_contributes_nothing() -> None:
    net = make_net(CONFIGS["gru"])
    image, mask, length, concepts = make_batch(CONFIGS["gru"], [2, 3])
    concepts[0, 1] = float("nan")
    out = net(image, mask, length, concepts)
    assert not out.concepts[0, 1].any()
    assert out.concepts[1, 1].any()
    assert bool(torch.isfinite(out.logit).all())


def test_centred_concepts_average_to_zero_and_keep_the_score() -> None:
    net = make_net(CONFIGS["gru"])
    image, mask, length, _ = make_batch(CONFIGS["gru"], [1] * 30)
    train = torch.randn(30, 3) * 2 + 5
    train[3, 0] = float("nan")
    before = net(image, mask, length, torch.nan_to_num(train)).logit
    net.centre_concepts(train)
    torch.testing.assert_close(net(image, mask, length, torch.nan_to_num(train)).logit, before)
    contributions = net(image, mask, length, train).concepts
    torch.testing.assert_close(contributions.sum(0), torch.zeros(3, 1), atol=1e-4, rtol=0)


def test_knots_survive_tied_values() -> None:
    net = make_net(CONFIGS["gru"])
    train = torch.randn(40, 3)
    train[:35, 1] = 0.0
    train[:, 2] = 4.0
    net.fit_concepts(train)
    assert net.shapes is not None
    assert bool((net.shapes.knots.diff(dim=1) > 0).all())
    with pytest.raises(PlanError):
        net.fit_concepts(torch.full((5, 3), float("nan")))


def test_shape_curves_are_the_contributions() -> None:
    config = CONFIGS["gru"]
    nets = [make_net(config, seed) for seed in (0, 1)]
    curves = shape_curves(Ensemble(nets), ("a", "b", "c"), points=21)
    assert json.loads(json.dumps(curves)) == curves
    assert [curve["concept"] for curve in curves] == ["a", "b", "c"]
    image, mask, length, concepts = make_batch(config, [1])
    for j, i in product(range(3), (0, 10, 20)):
        concepts[0, j] = curves[j]["value"][i]
        out = Ensemble(nets)(image, mask, length, concepts)
        assert curves[j]["contribution"][0][i] == pytest.approx(
            float(out.concepts[0, j, 0]), abs=1e-4
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": [10, 10], "strides": [2, 2], "widths": [4, 4]},
        {"rnn": "transformer"},
        {"widths": [4]},
        {"dropout": 1.0},
        {"n_outputs": 0},
        {"use_image": False},
        {"colour": True},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        EvidenceConfig.from_dict(wrong)


def test_settings_round_trip_as_json(config: EvidenceConfig) -> None:
    assert EvidenceConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_receptive_field_is_what_a_cell_sees() -> None:
    config = EvidenceConfig(
        image_size=(64, 64), widths=(4, 4), strides=(1, 2), norm="none", rnn="none"
    )
    net = make_net(config)
    image = torch.rand(1, 1, 1, 64, 64, requires_grad=True)
    out = net(image, torch.ones(1, 1, 64, 64), torch.tensor([1]), torch.zeros(1, 0))
    assert net.encoder is not None
    net.encoder(image[:, 0])[0, :, 16, 16].sum().backward()
    assert image.grad is not None
    rows = image.grad[0, 0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min() + 1) == config.receptive_field
    assert out.maps.shape[2:4] == (32, 32)


def test_devices_have_names() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError):
        pick_device("abacus")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_says_what_the_cpu_says(config: EvidenceConfig) -> None:
    net = make_net(config)
    batch = make_batch(config, [5, 2])
    with torch.no_grad():
        here = net(*batch).logit
        there = net.cuda()(*(part.cuda() for part in batch)).logit.cpu()
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)
