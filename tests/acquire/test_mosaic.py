"""Siemens mosaics: tiles become slices, placed by the vendor's header."""

from __future__ import annotations

import struct

import nibabel
import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from diaphane.acquire import find_series, read
from diaphane.core import errors


def csa(version: int, values: dict[str, list[str]]) -> bytes:
    """A CSA header of version 1 or 2, as the two generations of scanners write it."""
    tags = {"EchoLinePosition": [], "EchoColumnPosition": [""] * 6, **values}
    body = struct.pack("<II", len(tags), 77)
    if version == 2:
        body = b"SV10\4\3\2\1" + body
    for name, items in tags.items():
        body += name.encode().ljust(64, b"\0") + struct.pack("<i", len(items)) + b"FD\0\0"
        body += struct.pack("<iii", 0, len(items), 77)
        for item in items:
            text = item.encode()
            # Version 1 adds the number of items of the second tag to every length.
            length = len(text) + (6 if version == 1 else 0)
            body += struct.pack("<iiii", length, len(text), 77, length)
            body += text.ljust(-(-len(text) // 4) * 4, b"\0")
    return body


def tiled(dicom, version=2, count=5, down=False, normal=(0, 0, 1), time=0):
    """A mosaic of ``count`` slices of 6 x 8 in 3 x 3 tiles."""
    data = dicom.image(0, (18, 24))
    data.SOPClassUID, data.Modality = MRImageStorage, "MR"
    data.SOPInstanceUID = f"1.2.3.{time + 1}"
    data.AcquisitionNumber = data.InstanceNumber = time + 1
    data.Manufacturer = "SIEMENS"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    del data.ConvolutionKernel
    data.SpacingBetweenSlices = 3.0
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    image = np.zeros((18, 24), np.uint16)
    for k in range(min(count, 9)):
        y, x = divmod(k, 3)
        image[6 * y : 6 * y + 6, 8 * x : 8 * x + 8] = dicom.stored(k) + time
    data.PixelData = image.tobytes()
    if version:
        sign = -1 if down else 1
        values = {
            "NumberOfImagesInMosaic": [str(count)],
            "SliceNormalVector": [f"{sign * part:.8f}" for part in normal],
        }
        block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa(version, values))
    return data


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("down", [False, True])
def test_tiles_are_slices(dicom, tmp_path, version, down):
    volume = read(dicom.save(tiled(dicom, version, down=down), tmp_path / "m.dcm"))
    assert volume.shape == (5, 6, 8)
    assert volume.geometry.spacing == (3.0, 0.5, 0.7)
    # The stated position is that of a single tile as large as the whole mosaic.
    corner = (-10 + 0.7 * 8, -20 + 0.5 * 6, -12.0 if down else 0.0)
    assert volume.geometry.origin == pytest.approx(corner)
    for z in range(5):
        np.testing.assert_array_equal(volume.voxels[z], dicom.stored(4 - z if down else z))


def test_time_points_are_volumes_of_their_own(dicom, tmp_path):
    for time in range(3):
        dicom.save(tiled(dicom, time=time), tmp_path / f"{9 - time}.dcm")
    found = find_series(tmp_path)
    assert [s.label for s in found] == ["4.1", "4.2", "4.3"]
    assert [s.facts["volume"] for s in found] == [{"acquisition": float(k)} for k in (1, 2, 3)]
    assert len({s.key for s in found}) == 3
    assert [read(tmp_path, series=f"4.{k}").voxels[0, 0, 0] for k in (1, 2, 3)] == [
        1000,
        1001,
        1002,
    ]


def test_compressed_mosaic(dicom, tmp_path):
    data = tiled(dicom)
    plain = read(dicom.save(data, tmp_path / "plain.dcm"))
    data.compress("1.2.840.10008.1.2.5")
    packed = read(dicom.save(data, tmp_path / "rle.dcm"))
    np.testing.assert_array_equal(packed.voxels, plain.voxels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: delattr(d, "SpacingBetweenSlices") or delattr(d, "SliceThickness"), "where"),
        (lambda d: delattr(d, "ImagePositionPatient"), "where"),
        (lambda d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 0, 0, 1]), "normal"),
        (lambda d: d.__delitem__(0x00291010), "how many"),
    ],
)
def test_mosaic_that_does_not_say_how_it_lies(dicom, tmp_path, change, words):
    data = tiled(dicom)
    change(data)
    [(_, error)] = find_series(dicom.save(data, tmp_path / "m.dcm")).rejected
    assert type(error) is errors.GeometryError
    assert words in str(error)


def test_tiles_that_do_not_fit(dicom, tmp_path):
    [(_, error)] = find_series(dicom.save(tiled(dicom, count=70), tmp_path / "m.dcm")).rejected
    assert "do not fit" in str(error)


def test_damaged_vendor_header(dicom, tmp_path):
    data = tiled(dicom)
    data[0x00291010].value = b"SV10" + b"\xff" * 90
    [(_, error)] = find_series(dicom.save(data, tmp_path / "m.dcm")).rejected
    assert isinstance(error, errors.InputError)


@pytest.mark.shared_data
def test_real_mosaics(shared_data):
    zoo = shared_data("dicom_zoo") / "heudiconv_dicom"
    volume = read(zoo / "axasc35.dcm")
    assert volume.shape == (35, 64, 64)
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    wrapped = wrapper_from_file(zoo / "axasc35.dcm")
    affine = np.diag([-1, -1, 1, 1]) @ wrapped.affine
    expected = nibabel.Nifti1Image(wrapped.get_data(), affine)
    theirs = type(volume).from_nibabel(expected)
    grid = np.array(np.meshgrid(*[range(n) for n in volume.shape], indexing="ij")).reshape(3, -1).T
    index = theirs.geometry.to_index(volume.geometry.to_patient(grid))
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < 1e-3
    np.testing.assert_array_equal(theirs.voxels[tuple(nearest.T)], volume.voxels.ravel())
    found = find_series(zoo / "b0dwiForFmap")
    assert [s.shape for s in found] == [(81, 152, 150)] * 3
    assert [s.facts["b_value"] for s in found] == [5.0, 5.0, 1500.0]
