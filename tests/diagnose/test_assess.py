"""When a finding has a probability, and what it says when it has none."""

import numpy as np
import pytest

from diaphane.bundle import load_bundle
from diaphane.core.case import Case
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.diagnose import assess, evidence_of, withheld


def case(level: float, size: int = 8) -> Case:
    voxels = np.zeros((3, 24, 24), np.float32)
    voxels[:, 4 : 4 + size, 4 : 4 + size] = level
    return Case("c", {"image": Volume(voxels, Geometry((3, 24, 24)))})


@pytest.fixture(scope="module")
def bundle(toy_bundle):
    return load_bundle(toy_bundle, threads=1)


def test_like_training(bundle):
    said = bundle.predict(case(0.5))
    found = assess(bundle, said)
    assert found.probability == said.probability
    assert found.reasons == ()
    assert found.positive == "malignant"
    assert found.set_level == 0.9
    evidence = evidence_of(bundle, said, found, 0.65)
    assert evidence.pixel_mm == 0.65
    total = evidence.bias + evidence.image_contribution
    total += sum(c.contribution for c in evidence.concepts)
    assert total == pytest.approx(evidence.logit, abs=1e-4 * max(1.0, abs(evidence.logit)))


def test_unlike_training_has_no_probability(bundle):
    said = bundle.predict(case(40.0))
    found = assess(bundle, said)
    assert found.probability is None
    assert found.unlike_training
    assert found.reasons == ("unlike_training",)
    assert found.prediction_set == ()
    assert found.distance > 1
    assert evidence_of(bundle, said, found) is None


def test_a_mask_larger_than_the_frame_is_cut(bundle):
    said = bundle.predict(case(0.5, size=18))
    assert "cut_by_frame" in assess(bundle, said).reasons


def test_shut_gates_are_kept_in_order(bundle):
    said = bundle.predict(case(0.5))
    found = assess(bundle, said, reasons=("larger_than_training",), meaning="lidc_suspicion")
    assert (found.probability, found.reasons) == (None, ("larger_than_training",))
    assert found.meaning == "lidc_suspicion"


def test_withheld_names_every_reason_once():
    assert withheld("a", "b", "a").reasons == ("a", "b")
