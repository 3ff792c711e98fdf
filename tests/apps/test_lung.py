"""``lung-ct`` on a chest that the test makes: what was planted is found, measured, rated."""

import numpy as np
import pytest

from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.apps.lung import LungCt
from diaphane.apps.lung_limits import measured_sensitivity
from diaphane.apps.nodule_stack import nodule_stack
from diaphane.bundle import load_bundle
from diaphane.core.errors import InputError, NoLungs, UsageError
from diaphane.core.protocols import Request
from diaphane.diagnose import Region

PLANTED = ((14.0, "free"), (10.0, "pleural"))


@pytest.fixture(scope="module")
def phantom():
    return chest_phantom(5, (2.5, 1.3, 1.3), (130, 280, 280), nodules=PLANTED)


@pytest.fixture(scope="module")
def scan(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    write_dicom_series(phantom, folder)
    return folder


@pytest.fixture(scope="module")
def point(phantom):
    """A reader's point inside the larger nodule."""
    return phantom.nodules[0].centre


@pytest.fixture(scope="module")
def found(scan, point):
    return LungCt().examine(Request(scan, points=[point], threads=1))


@pytest.fixture(scope="module")
def analysis(found):
    return found.value


def at(analysis, nodule):
    """The finding at a planted nodule."""
    index = np.round(analysis.volume.geometry.to_index(nodule.centre)).astype(int)
    label = analysis.labels[tuple(index)]
    hits = [f for f in analysis.findings if f.mask_label == label]
    assert len(hits) == 1
    return hits[0]


def test_what_was_planted_is_found_and_measured(analysis, phantom):
    for nodule in phantom.nodules:
        finding = at(analysis, nodule)
        assert finding.code == "nodule"
        # The pleura cuts a part of what was planted against it.
        least = 0.6 if nodule.kind == "pleural" else 0.85
        assert least <= finding.measure("mean_diameter").value / nodule.diameter_mm <= 1.15
        assert finding.location.anatomy["organ"] == "lung"
        assert finding.location.anatomy["side"] == ("left" if nodule.centre[0] > 0 else "right")
        assert finding.location.instance_number == finding.location.key_slice + 1
        gap = np.linalg.norm(np.subtract(finding.location.centre_mm, nodule.centre))
        assert gap < nodule.diameter_mm / 3


def test_the_readers_point_comes_first_and_once(analysis, phantom):
    first = analysis.findings[0]
    assert first.origin == "reader"
    assert first is at(analysis, phantom.nodules[0])
    ranks = [f.rank for f in (*analysis.findings, *analysis.candidates)]
    assert ranks == sorted(ranks, reverse=True)


def test_every_finding_says_how_likely_or_why_not(analysis):
    for finding in (*analysis.findings, *analysis.candidates):
        said = finding.assessment
        assert (said.probability is None) == bool(said.reasons)
        assert said.meaning == "lidc_suspicion"
        if said.probability is not None:
            assert sum(said.probability.values()) == pytest.approx(1.0)
            assert said.set_level == 0.9


def test_the_nodule_is_rated_with_evidence_that_adds_up(analysis, phantom):
    finding = at(analysis, phantom.nodules[0])
    if finding.assessment.probability is None:  # a phantom may be unlike the training set
        assert finding.assessment.reasons == ("unlike_training",)
        pytest.skip("the bundle finds the phantom unlike its training set")
    evidence = finding.evidence
    parts = [evidence.bias, evidence.image_contribution]
    parts += [c.contribution for c in evidence.concepts]
    assert sum(parts) == pytest.approx(
        evidence.logit, abs=1e-4 * max(1.0, sum(abs(p) for p in parts))
    )
    assert evidence.pixel_mm == 0.65
    t, y, x = np.argwhere(evidence.mask > 0.5).mean(axis=0)
    native = evidence.placement @ (t, y, x, 1.0)
    assert native[:3] == pytest.approx(finding.location.centre_index, abs=1.5)


def test_the_same_crop_gives_the_same_probability(analysis, phantom):
    """What the app feeds its classifier is the stated recipe's result, nothing else."""
    finding = at(analysis, phantom.nodules[1])
    region = Region.of(analysis.labels == finding.mask_label, analysis.volume)
    said = load_bundle("lung-nodule", threads=1).predict(
        nodule_stack(analysis.volume, region).case("again")
    )
    if finding.assessment.probability is None:
        assert said.unlike_training or said.prepared.cut
    else:
        assert finding.assessment.probability == pytest.approx(said.probability, abs=1e-5)


def test_rules_stand_beside(analysis, phantom):
    rule = at(analysis, phantom.nodules[0]).rules[0]
    assert rule.rule == "fleischner_2017_solid"
    assert rule.outcome.endswith("over_8")
    assert {"age", "known_cancer", "immune_state"} <= set(rule.unknown)


def test_labels_and_structures(analysis, phantom):
    names = dict(analysis.structures)
    assert (names[1], names[2], names[3]) == ("right_lung", "left_lung", "airways")
    assert set(np.unique(analysis.labels)) <= {0, *names}
    truth = phantom.lungs > 0
    lungs = np.isin(analysis.labels, [v for v, n in names.items() if n != "airways"])
    dice = 2 * (truth & lungs).sum() / (truth.sum() + lungs.sum())
    assert dice > 0.93


def test_how_it_was_made(analysis, found):
    assert found.identity.patient_id == "PHANTOM-5"
    assert analysis.pseudonym.startswith("P-")
    assert analysis.bundles[0].name == "lung-nodule"
    assert list(analysis.timings)[:5] == ["choose", "read", "lungs", "segment", "candidates"]
    assert {"not_a_device", "not_normal"} <= {code for code, _ in analysis.limits}
    codes = {code for code, _ in analysis.notes}
    assert ("sensitivity" if measured_sensitivity() else "sensitivity_unknown") in codes
    assert "thick_slices" not in codes
    assert analysis.versions["diaphane"]


def test_points_are_checked(scan, phantom):
    with pytest.raises(UsageError, match="outside the scan"):
        LungCt().analyze(Request(scan, points=[(0.0, 0.0, 4000.0)]))
    with pytest.raises(UsageError, match="three finite numbers"):
        LungCt().analyze(Request(scan, points=[(0.0, float("nan"), 0.0)]))
    skin = phantom.volume.geometry.to_patient((60, 2, 2))
    with pytest.raises(InputError, match="lung"):
        LungCt().analyze(Request(scan, points=[tuple(skin)], threads=1))


def test_a_scan_of_something_else_has_no_lungs(tmp_path):
    from dataclasses import replace

    phantom = chest_phantom(1, (5.0, 4.0, 4.0), (40, 80, 80), nodules=())
    solid = phantom.volume.with_voxels(np.maximum(phantom.volume.voxels, -20.0))
    write_dicom_series(replace(phantom, volume=solid), tmp_path)
    with pytest.raises(NoLungs):
        LungCt().analyze(Request(tmp_path))


def test_without_its_bundle_everything_but_the_probability_is_there(tmp_path):
    phantom = chest_phantom(2, (4.0, 2.0, 2.0), (80, 180, 180), nodules=[(18.0, "free")])
    write_dicom_series(phantom, tmp_path)
    request = Request(tmp_path, points=[phantom.nodules[0].centre], threads=1)
    found = LungCt(bundle="no-such-bundle").analyze(request)
    assert found.bundles == ()
    assert ("no_classifier", {"name": "no-such-bundle"}) in found.notes
    assert ("thick_slices", {"spacing": 4.0}) in found.notes
    for finding in found.findings:
        assert finding.assessment.probability is None
        assert "no_classifier" in finding.assessment.reasons
        assert finding.measurements
