"""Any bundle on any input that it takes."""

import numpy as np
import pytest
from PIL import Image

from diaphane.apps import analyze
from diaphane.bundle import InputSpec, load_bundle
from diaphane.core.errors import AmbiguousInput, NotApplicable
from diaphane.preprocess import Recipe, make_step


@pytest.fixture(scope="module")
def make(toys, tmp_path_factory):
    """A toy bundle with a changed manifest."""
    room = tmp_path_factory.mktemp("bundles")

    def build(name, steps=(), **changes):
        scale = make_step("rescale_intensity", {"in_low": 0.0, "in_high": 255.0})
        recipe = Recipe((*steps, scale)).to_dict()
        manifest = toys.toy_manifest(name=name, recipe=recipe, **changes)
        return toys.write_toy(room / name, manifest=manifest, reference=False)

    return build


def picture(path, level=120, colour=False):
    plane = np.zeros((20, 20, 3) if colour else (20, 20), np.uint8)
    plane[5:14, 4:12] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(plane).save(path)
    return path


def stack(folder, count=4):
    for z in range(count):
        picture(folder / f"{z}.png", 60 + 20 * z)
    return folder


SINGLE = {"input": InputSpec(kind="image", size=(16, 16), mask="none")}


def test_a_stack(make, tmp_path):
    bundle = make("stacks")
    found = analyze(stack(tmp_path / "s"), bundle)
    finding = found.findings[0]
    assert (finding.code, finding.origin, finding.mask_label) == ("image", "whole_image", 1)
    assert finding.location.box == (0, 5, 4, 4, 14, 12)
    assert {m.unit for m in finding.measurements} >= {"px", "px3"}
    assert finding.notes == ("pixels",)
    assert found.labels.sum() == 4 * 9 * 8
    assert found.bundles[0].name == "stacks"
    said = load_bundle(bundle).predict
    assert finding.assessment.probability.keys() == {"benign", "malignant"}
    assert said is not None


def test_evidence_adds_up_and_is_the_bundles_own(make, tmp_path):
    bundle = load_bundle(make("sums"))
    found = analyze(stack(tmp_path / "s"), make("sums"))
    evidence = found.findings[0].evidence
    total = evidence.bias + evidence.image_contribution
    total += sum(c.contribution for c in evidence.concepts)
    assert total == pytest.approx(evidence.logit, abs=1e-4)
    assert evidence.placement is not None
    assert bundle.manifest.positive == evidence.target


def test_one_image(make, tmp_path):
    found = analyze(picture(tmp_path / "one.png"), make("single", **SINGLE))
    finding = found.findings[0]
    assert finding.mask_label is None
    assert finding.measurements == ()
    assert finding.location.box == (0, 0, 0, 1, 20, 20)


def test_a_colour_image_is_read_by_a_grey_recipe(make, tmp_path):
    bundle = make("greys", steps=(make_step("grey", {}),), **SINGLE)
    found = analyze(picture(tmp_path / "one.png", colour=True), bundle)
    assert found.volume.voxels.ndim == 3


def test_several_images_are_for_predict(make, tmp_path):
    with pytest.raises(AmbiguousInput, match="predict"):
        analyze(stack(tmp_path / "s"), make("single", **SINGLE))


def test_a_stack_is_no_image(make, tmp_path):
    with pytest.raises(NotApplicable):
        analyze(stack(tmp_path / "s"), make("single", **SINGLE), stack=True)


def test_several_classes(make, tmp_path):
    bundle = make("three", task="multiclass", classes=("a", "b", "c"))
    finding = analyze(stack(tmp_path / "s"), bundle).findings[0]
    assert sum(finding.assessment.probability.values()) == pytest.approx(1.0)
    assert finding.assessment.positive is None
    assert finding.rank == pytest.approx(max(finding.assessment.probability.values()), abs=1e-4)


def test_a_dicom_series(make, tmp_path):
    from diaphane.acquire.phantom import chest_phantom, write_dicom_series

    phantom = chest_phantom(3, spacing=(10.0, 8.0, 8.0), shape=(24, 40, 40), nodules=())
    write_dicom_series(phantom, tmp_path / "scan")
    (tmp_path / "scan" / "notes.txt").write_text("ignored")
    found = analyze(tmp_path / "scan", make("dicom"), tmp_path / "out")
    assert found.series[0].reasons == ("only",)
    assert found.findings[0].location.instance_number is not None
    assert (tmp_path / "out" / "seg.dcm").exists()
    text = (tmp_path / "out" / "findings.json").read_text()
    assert "PHANTOM-3" not in text
    assert found.series[0].key in text
    one = tmp_path / "scan" / "IMG00001.dcm"
    single = make("one-dicom", **SINGLE)
    assert analyze(one, single).findings[0].code == "image"
