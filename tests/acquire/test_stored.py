"""Modality LUTs give values; windows and VOI LUTs are told and not applied."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from diaphane.acquire import read
from diaphane.core import errors


def lut(first, values, bits, *, packed=False):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.add_new("LUTData", "OW", np.asarray(values, "u1" if packed else "<u2").tobytes())
    return item


def squares(data, _):
    """Stored values 1000 to 1047 become squares of 12 bits."""
    item = lut(1010, [k * k for k in range(30)], 12)
    item.ModalityLUTType = "US"
    data.ModalityLUTSequence = [item]


def test_modality_lut_of_twelve_bits_gives_the_values(dicom, tmp_path):
    volume = read(dicom.radiograph(tmp_path / "cr.dcm", squares))
    stored = dicom.stored() % 1024
    expected = np.clip(stored.astype(int) - 1010, 0, 29) ** 2
    np.testing.assert_array_equal(volume.voxels[0], expected)
    assert volume.meta["modality_lut"] == "applied"


def test_modality_lut_and_monochrome1_turn_within_the_table(dicom, tmp_path):
    def change(data, index):
        squares(data, index)
        data.PhotometricInterpretation = "MONOCHROME1"

    plain = read(dicom.radiograph(tmp_path / "a.dcm", squares)).voxels
    turned = read(dicom.radiograph(tmp_path / "b.dcm", change)).voxels
    np.testing.assert_array_equal(turned, 4095 - plain)


def test_modality_lut_of_bytes(dicom, tmp_path):
    def change(data, _):
        data.ModalityLUTSequence = [lut(1000, range(200, 248), 8, packed=True)]

    voxels = read(dicom.radiograph(tmp_path / "cr.dcm", change)).voxels
    assert voxels.min() == 200 + 0
    assert voxels.max() == 200 + 23  # stored values end at 1023


def test_modality_lut_of_a_film_is_not_for_the_image(dicom, tmp_path):
    def change(data, index):
        squares(data, index)
        data.SOPClassUID, data.Modality = pydicom.uid.XRayAngiographicImageStorage, "XA"

    volume = read(dicom.radiograph(tmp_path / "xa.dcm", change))
    np.testing.assert_array_equal(volume.voxels[0], dicom.stored() % 1024)
    assert volume.meta["modality_lut"] == "not applied"


def test_table_that_is_too_short_is_refused(dicom, tmp_path):
    def change(data, _):
        item = lut(0, range(48), 16)
        item.LUTDescriptor = [400, 0, 16]
        data.ModalityLUTSequence = [item]

    with pytest.raises(errors.UnreadableFile, match="400 entries"):
        read(dicom.radiograph(tmp_path / "cr.dcm", change))


@pytest.mark.parametrize(
    ("function", "expected"),
    [(None, (-160.0, 239.0)), ("LINEAR_EXACT", (-160.0, 240.0)), ("SIGMOID", (-160.0, 240.0))],
)
def test_windows_are_told_and_not_applied(dicom, tmp_path, function, expected):
    def change(data, _):
        data.WindowCenter, data.WindowWidth = [40, -600], [400, 1500]
        if function:
            data.VOILUTFunction = function

    volume = read(dicom.series(tmp_path / "a", count=1, change=change))
    np.testing.assert_array_equal(volume.voxels[0], dicom.stored().astype(int) - 1024)
    assert volume.meta["windows"] == ((40.0, 400.0), (-600.0, 1500.0))
    assert volume.meta["display_range"] == expected


def test_display_range_follows_an_inverted_image(dicom, tmp_path):
    def change(data, _):
        data.WindowCenter, data.WindowWidth = 300.5, 201
        data.PhotometricInterpretation = "MONOCHROME1"

    assert read(dicom.radiograph(tmp_path / "cr.dcm", change)).meta["display_range"] == (623, 823)


def test_voi_lut_is_told(dicom, tmp_path):
    def change(data, _):
        flat = [0] * 10 + list(range(0, 40, 4)) + [36] * 5
        data.VOILUTSequence = [lut(900, flat, 12)]

    volume = read(dicom.radiograph(tmp_path / "cr.dcm", change))
    assert volume.meta["voi_lut"] == (900, 25, 12)
    assert volume.meta["display_range"] == (910, 919)
    np.testing.assert_array_equal(volume.voxels[0], dicom.stored() % 1024)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_stored_bits_that_do_not_begin_at_the_lowest(dicom, tmp_path, syntax):
    def change(data, index):
        data.HighBit = 15
        words = (dicom.stored(index) << 4) | 0x5
        data.PixelData = words.astype("<u2" if syntax.endswith("1") else ">u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax

    volume = read(dicom.series(tmp_path, count=1, change=change))
    np.testing.assert_array_equal(volume.voxels[0], dicom.stored().astype(int) - 1024)
