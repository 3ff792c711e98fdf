"""Running a bundle: padding, batches, flips, decisions, evidence that adds up."""

import numpy as np
import pytest

from diaphane.bundle import InputSpec, load_bundle
from diaphane.core.case import Case
from diaphane.core.decision import Calibration, PredictionSets
from diaphane.core.errors import BundleCorrupt
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume


def case(seed, depth=4, size=16, level=1.0):
    rng = np.random.default_rng(seed)
    voxels = np.zeros((depth, size, size), np.float32)
    voxels[:, 3:12, 4:11] = level * rng.uniform(0.2, 1.0, (depth, 9, 7))
    return Case(f"K{seed}", {"image": Volume(voxels, Geometry(voxels.shape))})


def total(bundle, evidence):
    return (
        evidence.bias
        + evidence.maps.astype(np.float64).sum()
        + sum(c.contribution for c in evidence.concepts)
    )


@pytest.fixture(scope="module")
def bundle(toy_bundle):
    return load_bundle(toy_bundle, threads=1)


def test_alone_and_in_a_batch_are_the_same(bundle):
    cases = [bundle.prepare(case(i, depth)) for i, depth in enumerate((6, 1, 3, 6, 2))]
    together = bundle.run(cases)
    for prepared, found in zip(cases, together, strict=True):
        alone = bundle.run([prepared])[0]
        np.testing.assert_allclose(found.logit, alone.logit, atol=1e-5)
        np.testing.assert_allclose(found.maps, alone.maps, atol=1e-5)
        assert found.maps.shape == (prepared.length, 4, 4, 1)
        assert found.attention.sum() == pytest.approx(1, abs=1e-5)


def test_batches_are_split_and_come_back_in_order(bundle, monkeypatch):
    import diaphane.bundle.run as run

    cases = [bundle.prepare(case(i, 1 + i % 6)) for i in range(9)]
    whole = bundle.run(cases)
    monkeypatch.setattr(run, "MOST_PIXELS", 6 * 256 * 2)
    for a, b in zip(whole, bundle.run(cases), strict=True):
        np.testing.assert_allclose(a.logit, b.logit, atol=1e-5)
        assert a.maps.shape == b.maps.shape


def test_evidence_adds_up(bundle):
    found = bundle.predict(case(1))
    evidence = bundle.evidence(found)
    assert evidence.target == "malignant"
    assert total(bundle, evidence) == pytest.approx(evidence.logit, abs=1e-4)
    assert sum(found.contributions["malignant"].values()) == pytest.approx(
        float(found.logit[0]), abs=1e-4
    )
    assert [c.name for c in evidence.concepts] == ["diameter", "area"]
    assert evidence.image.shape == evidence.mask.shape == (4, 16, 16)
    assert evidence.placement.shape == (4, 4)
    assert evidence.concepts[0].value == pytest.approx(float(found.prepared.concepts[0]))


def test_flips_average_logits_and_turned_maps(toys, tmp_path):
    """Each cell weighs differently, so a mirrored image scores differently."""
    plain = toys.write_toy(tmp_path / "plain", seed=3)
    flips = toys.write_toy(tmp_path / "f", manifest=toys.toy_manifest(tta="flips"), seed=3)
    a, b = load_bundle(plain), load_bundle(flips)
    one = a.prepare(case(5))
    found = b.run([one])[0]
    from dataclasses import replace

    views = []
    for axes in ((), (-1,), (-2,), (-2, -1)):
        turned = replace(one, image=np.flip(one.image, axes), mask=np.flip(one.mask, axes))
        out = a.run([turned])[0]
        views.append((out.logit, np.flip(out.maps, [x - 1 for x in axes])))
    assert np.ptp([float(v[0][0]) for v in views]) > 1e-3
    np.testing.assert_allclose(found.logit, np.mean([v[0] for v in views], axis=0), atol=1e-5)
    np.testing.assert_allclose(found.maps, np.mean([v[1] for v in views], axis=0), atol=1e-5)
    evidence = b.evidence(b.predict(case(5)))
    assert total(b, evidence) == pytest.approx(evidence.logit, abs=1e-4)


def test_calibration_and_prediction_set(toys, tmp_path):
    made = toys.toy_manifest(
        calibration=Calibration("binary", (0.5,), (0.25,)),
        prediction_sets=PredictionSets(0.9, (0.3, 0.95), 0.9, 1.3),
    )
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    found = bundle.predict(case(2))
    p = 1 / (1 + np.exp(-(0.5 * float(found.logit[0]) + 0.25)))
    assert found.probability["malignant"] == pytest.approx(p, abs=1e-9)
    assert sum(found.probability.values()) == pytest.approx(1)
    assert found.prediction_set == ("malignant",) if p > 0.7 else ("benign", "malignant")


def test_unlike_training(toys, toy_bundle, tmp_path):
    bundle = load_bundle(toy_bundle)
    near, far = bundle.predict(case(1)), bundle.predict(case(1, level=9.0))
    assert not near.unlike_training
    assert far.unlike_training
    assert far.distance > 1 > near.distance
    assert set(far.probability) == {"benign", "malignant"}
    bare = load_bundle(toys.write_toy(tmp_path / "b", reference=False))
    assert bare.predict(case(1, level=9.0)).distance is None


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_several_outputs(toys, tmp_path, task):
    more = (
        {"label_columns": ("a", "b", "c"), "positive_values": ("1", "1", "yes")}
        if task == "multilabel"
        else {}
    )
    made = toys.toy_manifest(task=task, classes=("a", "b", "c"), **more)
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    found = bundle.predict(case(3))
    assert list(found.probability) == ["a", "b", "c"]
    if task == "multiclass":
        assert sum(found.probability.values()) == pytest.approx(1)
    for k, name in enumerate("abc"):
        evidence = bundle.evidence(found, name)
        assert evidence.logit == pytest.approx(float(found.logit[k]))
        assert total(bundle, evidence) == pytest.approx(evidence.logit, abs=1e-4)
    best = max(found.probability, key=found.probability.get)
    assert bundle.evidence(found).target == best


def test_bundle_without_concepts(toys, tmp_path):
    spec = InputSpec(kind="sequence", size=(16, 16), max_slices=6, mask="foreground")
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=toys.toy_manifest(input=spec)))
    found = bundle.predict(case(1))
    assert list(found.contributions["malignant"]) == ["bias", "image"]
    assert bundle.evidence(found).concepts == ()


def test_graph_and_manifest_that_do_not_fit(toys, tmp_path):
    bundle = load_bundle(toys.write_toy(tmp_path / "a", size=(32, 32)))
    with pytest.raises(BundleCorrupt, match="does not fit"):
        bundle.predict(case(1))
    other = load_bundle(toys.write_toy(tmp_path / "b", weights=((1.0, 2.0),), bias=(0.0, 0.0),
                                       concept_weights=((0.1, 0.1), (0.1, 0.1))))  # fmt: skip
    with pytest.raises(BundleCorrupt, match="other classes"):
        other.predict(case(1))


def test_ref_carries_what_the_card_states(toys, tmp_path):
    from diaphane.bundle import ConceptCurve
    from diaphane.core.evaluation import Interval

    made = toys.toy_manifest(
        metrics={"auc": Interval(0.9, 0.88, 0.92)},
        faithfulness={"deletion": {"value": 0.2, "low": 0.1, "high": 0.3}, "seed": 3},
        concept_curves={
            "area": ConceptCurve(value=(1.0, 2.0), contribution=((0.0,), (0.5,))),
        },
    )
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    ref = bundle.ref()
    assert ref.sha256 == bundle.sha256
    assert ref.facts["metrics"]["auc"] == {"value": 0.9, "low": 0.88, "high": 0.92}
    assert ref.facts["curves"]["area"] == {"x": [1.0, 2.0], "y": [0.0, 0.5]}
    assert ref.facts["faithfulness"] == {"deletion": 0.2}
    assert ref.facts["coverage"] == 0.91
    assert "seen" not in ref.facts


@pytest.mark.learn
def test_real_network_without_torch_parity(toys, tmp_path):
    """An exported CNN-RNN through the bundle gives what torch gives, alone or padded."""
    torch = pytest.importorskip("torch")
    from diaphane.bundle import write_bundle
    from diaphane.models import Ensemble, EvidenceConfig, EvidenceNet, export_onnx

    torch.manual_seed(0)
    config = EvidenceConfig(n_concepts=2, image_size=(16, 16), widths=(4, 8), strides=(2, 2))
    net = Ensemble([EvidenceNet(config).eval(), EvidenceNet(config).eval()]).eval()
    with torch.no_grad():
        for member in net.members:
            member.shapes.rise.normal_()
    export_onnx(net, tmp_path / "model.onnx")
    write_bundle(tmp_path / "b", toys.toy_manifest(), tmp_path / "model.onnx", card="", licence="")
    bundle = load_bundle(tmp_path / "b", threads=1)
    prepared = [bundle.prepare(case(i, depth)) for i, depth in enumerate((6, 1, 4))]
    found = bundle.run(prepared)
    for one, out in zip(prepared, found, strict=True):
        with torch.no_grad():
            same = net(
                torch.from_numpy(one.image)[None],
                torch.from_numpy(one.mask)[None],
                torch.tensor([one.length]),
                torch.from_numpy(one.concepts)[None],
            )
        np.testing.assert_allclose(out.logit, same.logit[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(out.maps, same.maps[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(out.features, same.features[0].numpy(), atol=1e-5)
    evidence = bundle.evidence(bundle.predict(case(7)))
    assert total(bundle, evidence) == pytest.approx(evidence.logit, abs=1e-4)
