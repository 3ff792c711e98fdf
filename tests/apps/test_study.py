"""From a path to one volume: DICOM by the rule, other files as they are, HU or refused."""

from dataclasses import replace

import numpy as np
import pytest

from diaphane.apps.series import load_series_rule
from diaphane.apps.stages import Stages
from diaphane.apps.study import Study, as_hounsfield, read_study
from diaphane.core.errors import AmbiguousInput, EmptyInput, NotApplicable, UsageError
from diaphane.core.geometry import Geometry
from diaphane.core.protocols import Request
from diaphane.core.volume import Volume

RULE = load_series_rule("series_lung_ct")


def chest(low=-1000.0, high=400.0, unit="1", modality="OT"):
    voxels = np.linspace(low, high, 8**3, dtype=np.float32).reshape(8, 8, 8)
    return Volume(voxels, Geometry.axial((8, 8, 8), (1.0, 1.0, 1.0)), modality, unit)


def nifti(folder, volume):
    volume.to_nibabel().to_filename(folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def test_a_file_without_unit_that_fits_hu_is_taken_and_said(tmp_path):
    study = read_study(Request(nifti(tmp_path, chest())), RULE, Stages())
    taken = as_hounsfield(study)
    assert (taken.volume.unit, taken.volume.modality) == ("HU", "CT")
    assert ("assumed_hu", {}) in taken.notes
    assert study.series[0].reasons == ("only",)
    assert "scan" not in study.pseudonym


@pytest.mark.parametrize(
    "volume",
    [
        chest(0, 255),
        chest(0, 4095),
        chest(-1000, 0),
        chest(modality="MR"),
        chest(-1000, 1e6),
    ],
    ids=["8 bit", "MR-like", "no bone or tissue", "states MR", "not CT numbers"],
)
def test_what_is_not_in_hu_is_refused(volume):
    with pytest.raises(NotApplicable):
        as_hounsfield(Study(volume, "P"))


def test_hu_is_left_alone():
    study = Study(chest(unit="HU", modality="CT"), "P")
    assert as_hounsfield(study) is study


def test_series_of_what_is_no_dicom(tmp_path):
    with pytest.raises(UsageError):
        read_study(Request(nifti(tmp_path, chest()), series="2"), RULE, Stages())


def test_nothing_there(tmp_path):
    with pytest.raises(EmptyInput):
        read_study(Request(tmp_path / "absent"), RULE, Stages())


@pytest.fixture(scope="module")
def phantoms():
    from diaphane.acquire.phantom import chest_phantom

    return [
        chest_phantom(seed, spacing=(7.0, 8.0, 8.0), shape=(30, 40, 40), nodules=())
        for seed in (1, 2)
    ]


def test_dicom_is_chosen_by_the_rule(phantoms, tmp_path):
    from diaphane.acquire.phantom import write_dicom_series

    write_dicom_series(phantoms[0], tmp_path / "scan")
    study = read_study(Request(tmp_path), RULE, Stages())
    assert study.series[0].taken
    assert study.source is not None
    assert study.identity.patient_id == "PHANTOM-1"
    assert study.pseudonym.startswith("P-")
    assert study.instance_numbers == tuple(range(1, 31))


def test_two_patients(phantoms, tmp_path):
    from diaphane.acquire.phantom import write_dicom_series

    for phantom in phantoms:
        write_dicom_series(phantom, tmp_path / str(phantom.seed))
    with pytest.raises(AmbiguousInput, match="2 patients"):
        read_study(Request(tmp_path), RULE, Stages())


def test_pseudonyms_differ_by_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    keys = {
        read_study(Request(nifti(tmp_path / name, chest())), RULE, Stages()).pseudonym
        for name in "ab"
    }
    assert len(keys) == 2


def test_stages_add_up():
    seen = []
    stages = Stages(lambda stage, share: seen.append((stage, share)))
    for share in (0.1, 0.2):
        with stages("read", share):
            pass
    assert seen == [("read", 0.1), ("read", 0.2)]
    assert stages.seconds["read"] >= 0
    assert replace(Study(chest(), "P"), notes=()).notes == ()
