"""A volume written as DICOM is the volume that is read back, and the object is a proper one."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from diaphane.acquire import read
from diaphane.core.case import SourceRef
from diaphane.core.errors import GeometryError, OutputError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report.series import Filing, write_series

PLACED = Geometry.axial((4, 5, 7), (2.0, 0.5, 0.7), (1.0, -2.0, 3.0))
BARE = Geometry((4, 5, 7))
DCIODVFY = shutil.which("dciodvfy", path="/usr/bin:/usr/local/bin")


def values(dtype, low, high, shape=(4, 5, 7)):
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


VOLUMES = {
    "ct": Volume(values(np.int16, -1024, 3000), PLACED, "CT", "HU"),
    "ct far from zero": Volume(values(np.int32, 100_000, 120_000), PLACED, "CT", "HU"),
    "mr": Volume(values(np.uint16, 0, 60_000), PLACED, "MR"),
    "placed, of no known kind": Volume(values(np.int16, -50, 500), PLACED),
    "placed bytes": Volume(values(np.uint8, 0, 256), PLACED),
    "picture": Volume(values(np.uint8, 0, 256, (1, 5, 7)), Geometry((1, 5, 7))),
    "colour": Volume(values(np.uint8, 0, 256, (3, 1, 5, 7)), Geometry((1, 5, 7))),
    "placed colour": Volume(values(np.uint8, 0, 256, (3, 4, 5, 7)), PLACED),
    "stack": Volume(values(np.uint8, 0, 256), BARE),
    "deep stack": Volume(values(np.int16, -300, 500), BARE),
    "colour stack": Volume(values(np.uint8, 0, 256, (3, 4, 5, 7)), BARE),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_whole_numbers_come_back(tmp_path, name):
    volume = VOLUMES[name]
    written = write_series(volume, tmp_path / "out", Filing())
    again = read(tmp_path / "out")
    assert written.step == 0
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.geometry.close_to(volume.geometry)
    assert again.modality == volume.modality
    assert again.unit == volume.unit


@pytest.mark.integration
@pytest.mark.parametrize("name", [*VOLUMES, "real numbers"])
def test_dciodvfy_finds_no_error(tmp_path, name):
    if DCIODVFY is None:
        pytest.skip("Debian's dciodvfy (dicom3tools) is not here")
    real = Volume(np.linspace(-1, 2, 140, dtype=np.float32).reshape(4, 5, 7), PLACED, "MR")
    volume = VOLUMES.get(name, real)
    written = write_series(volume, tmp_path, Filing())
    said = subprocess.run([DCIODVFY, written.files[0]], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert lines
    assert not [line for line in lines if line.startswith("Error")]


@settings(max_examples=15, deadline=None)
@given(
    turn=arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.abs(q).max() > 0.1),
    spacing=st.tuples(*[st.floats(0.05, 12)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    mirrored=st.booleans(),
    modality=st.sampled_from(["CT", "MR", "OT"]),
)
def test_any_place_is_kept(tmp_path_factory, turn, spacing, origin, mirrored, modality):
    axes = Rotation.from_quat(turn).as_matrix() * ([-1, 1, 1] if mirrored else [1, 1, 1])
    rows = tuple(tuple(map(float, row)) for row in axes)
    volume = Volume(
        values(np.int16, -1000, 1000), Geometry((4, 5, 7), spacing, rows, origin), modality
    )
    folder = tmp_path_factory.mktemp("place")
    written = write_series(volume, folder, Filing())
    again = read(folder)
    # Readers stack slices along the normal, so a left-handed grid comes back from its other end.
    ends = {z: again.geometry.to_patient((z, 0, 0)) for z in (0, 3)}
    first = volume.geometry.to_patient((0, 0, 0))
    turned = np.abs(ends[3] - first).max() < np.abs(ends[0] - first).max()
    assert np.array_equal(again.voxels[::-1] if turned else again.voxels, volume.voxels)
    for z in range(4):
        place = again.geometry.to_patient((3 - z if turned else z, 4, 6))
        assert place == pytest.approx(volume.geometry.to_patient((z, 4, 6)), abs=1e-3)
        (position,) = {tuple(pydicom.dcmread(written.files[z]).ImagePositionPatient)}
        assert position == pytest.approx(volume.geometry.to_patient((z, 0, 0)), abs=1e-3)


def test_real_numbers_are_rounded_to_the_step_that_is_told(tmp_path):
    real = np.random.default_rng(1).normal(size=(4, 5, 7)).astype(np.float32)
    written = write_series(Volume(real, PLACED, "MR"), tmp_path, Filing())
    again = read(tmp_path).voxels
    assert 0 < written.step < 1e-4
    assert np.abs(again - real).max() <= written.step * 0.51


def test_what_dicom_images_cannot_hold_is_refused(tmp_path):
    wide = Volume(np.array([[[0, 70_000]]], np.int32), Geometry((1, 1, 2)))
    deep = Volume(values(np.uint16, 0, 60_000, (3, 1, 5, 7)), Geometry((1, 5, 7)))
    for volume in (wide, deep):
        with pytest.raises(OutputError):
            write_series(volume, tmp_path, Filing())
    sheared = np.eye(4)[[2, 1, 0, 3]]
    sheared[1, 0] = 0.3
    leaning = Volume(values(np.int16, 0, 9), Geometry.from_affine((4, 5, 7), sheared), "CT")
    with pytest.raises(GeometryError):
        write_series(leaning, tmp_path, Filing())


def test_identity_comes_along_only_when_asked_for(tmp_path):
    first = write_series(VOLUMES["ct"], tmp_path / "source", Filing())
    for path in first.files:
        data = pydicom.dcmread(path)
        data.SpecificCharacterSet = "ISO_IR 192"
        data.PatientName, data.PatientID = "Müller^Änne", "Nr-4711"
        data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3.9"
        data.AccessionNumber, data.StudyDate, data.SeriesNumber = "A77", "20200102", 3
        data.save_as(path)
    source = SourceRef(first.files)
    plain = write_series(VOLUMES["ct"], tmp_path / "plain", Filing(source))
    told = b"".join(path.read_bytes() for path in plain.files)
    for secret in ("Müller", "Nr-4711", "1.2.3.4", "1.2.3.9", "A77", "20200102"):
        assert secret.encode() not in told
    filed = write_series(VOLUMES["ct"], tmp_path / "filed", Filing(source, identity=True))
    old, new = (pydicom.dcmread(w.files[0]) for w in (first, filed))
    assert str(new.PatientName) == "Müller^Änne"
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert new[name].value == old[name].value
    assert "PatientIdentityRemoved" not in new
    uids = {pydicom.dcmread(w.files[0]).SeriesInstanceUID for w in (first, plain, filed)}
    assert len(uids) == 3


def test_the_same_volume_gets_the_same_uids(tmp_path):
    one, two = (write_series(VOLUMES["mr"], tmp_path / n, Filing()) for n in ("a", "b"))
    other = write_series(VOLUMES["ct"], tmp_path / "c", Filing())
    assert [p.read_bytes() for p in one.files] == [p.read_bytes() for p in two.files]
    uids = {pydicom.dcmread(p).SOPInstanceUID for p in (*one.files, *other.files)}
    assert len(uids) == 8
