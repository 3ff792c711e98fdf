"""Voxels: rescaled, signed, inverted and coloured as the file says, whatever its encoding."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from diaphane.acquire import find_series, read
from diaphane.core import errors

LOSSLESS = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
]


def encoded(data, syntax):
    """The same image in another transfer syntax."""
    if syntax in (uid.RLELossless, uid.JPEGLSLossless):
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == uid.ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    return data


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda s: s.name[:24])
def test_lossless_encodings_give_the_same_voxels(dicom, tmp_path, syntax):
    plain = read(dicom.series(tmp_path / "plain", count=3))
    for index in range(3):
        dicom.save(encoded(dicom.image(index), syntax), tmp_path / "other" / f"{index}.dcm")
    other = read(tmp_path / "other")
    np.testing.assert_array_equal(other.voxels, plain.voxels)
    assert other.geometry == plain.geometry


def test_jpeg_2000_gives_the_same_voxels():
    plain, packed = (
        read(get_testdata_file(name, download=False))
        for name in ("MR_small.dcm", "MR_small_jp2klossless.dcm")
    )
    np.testing.assert_array_equal(packed.voxels, plain.voxels)


def test_signed_values(dicom, tmp_path):
    def sign(data, index):
        data.PixelRepresentation = 1
        data.BitsStored, data.HighBit = 16, 15
        data.RescaleIntercept = 0
        data.PixelData = (np.arange(48, dtype=np.int16) - 1000).tobytes()

    volume = read(dicom.series(tmp_path, count=1, change=sign))
    assert volume.voxels.min() == -1000
    assert volume.voxels.dtype == np.int16


@pytest.mark.parametrize("signed", [0, 1])
def test_overlays_in_unused_bits_are_not_read(dicom, tmp_path, signed):
    values = np.arange(48, dtype=np.int16) - (24 if signed else 0)

    def overlay(data, index):
        data.PixelRepresentation = signed
        data.RescaleIntercept = 0
        data.PixelData = ((values.astype(np.uint16) & 0x0FFF) | 0x7000).tobytes()

    volume = read(dicom.series(tmp_path, count=1, change=overlay))
    np.testing.assert_array_equal(volume.voxels.ravel(), values)


def test_fractional_slope_gives_float(dicom, tmp_path):
    def scale(data, index):
        data.RescaleSlope, data.RescaleIntercept = 0.5, 10.25

    volume = read(dicom.series(tmp_path, count=2, change=scale))
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels[1], dicom.stored(1) * 0.5 + 10.25)


def test_slopes_may_differ_between_slices(dicom, tmp_path):
    def scale(data, index):
        data.RescaleSlope, data.RescaleIntercept = 1 + index, 0

    volume = read(dicom.series(tmp_path, count=3, change=scale))
    for index in range(3):
        np.testing.assert_array_equal(volume.voxels[index], dicom.stored(index) * (1.0 + index))


def test_values_beyond_int16_are_not_wrapped(dicom, tmp_path):
    def widen(data, index):
        data.BitsStored, data.HighBit = 16, 15
        data.RescaleIntercept = -1024
        data.PixelData = np.full(48, 60000, np.uint16).tobytes()

    volume = read(dicom.series(tmp_path, count=2, change=widen))
    assert volume.voxels.dtype == np.float32
    assert float(volume.voxels.max()) == 60000 - 1024


def test_wide_declaration_narrow_values_stay_small(dicom, tmp_path):
    def widen(data, index):
        data.BitsStored, data.HighBit = 16, 15

    volume = read(dicom.series(tmp_path, count=2, change=widen))
    assert volume.voxels.dtype == np.int16


def test_monochrome1_is_turned_so_that_larger_is_brighter(dicom, tmp_path):
    def invert(data, _):
        data.PhotometricInterpretation = "MONOCHROME1"

    plain = read(dicom.radiograph(tmp_path / "plain.dcm"))
    turned = read(dicom.radiograph(tmp_path / "turned.dcm", invert))
    np.testing.assert_array_equal(turned.voxels.astype(int), 1023 - plain.voxels.astype(int))
    assert turned.meta["inverted"]
    assert turned.meta["photometric"] == "MONOCHROME1"


def test_hounsfield_units_are_never_inverted(dicom, tmp_path):
    def invert(data, _):
        data.PhotometricInterpretation = "MONOCHROME1"

    plain = read(dicom.series(tmp_path / "plain"))
    turned = read(dicom.series(tmp_path / "turned", change=invert))
    np.testing.assert_array_equal(turned.voxels, plain.voxels)
    assert not turned.meta["inverted"]


def test_radiograph_without_spacing(dicom, tmp_path):
    def imager(data, _):
        data.ImagerPixelSpacing = [0.15, 0.15]

    volume = read(dicom.radiograph(tmp_path / "cr.dcm", imager))
    assert volume.geometry.spacing == (None, None, None)
    assert volume.meta["imager_pixel_spacing"] == (0.15, 0.15)
    assert volume.modality == "CR"


def test_radiograph_with_calibrated_spacing(dicom, tmp_path):
    volume = read(
        dicom.radiograph(
            tmp_path / "cr.dcm", lambda data, _: setattr(data, "PixelSpacing", [0.2, 0.3])
        )
    )
    assert volume.geometry.spacing == (None, 0.2, 0.3)


def test_colour_becomes_channels(dicom, tmp_path):
    rgb = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)

    def colour(data, _):
        data.SOPClassUID, data.Modality = uid.SecondaryCaptureImageStorage, "OT"
        data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
        data.PlanarConfiguration = 0
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit = 7
        data.PixelData = rgb.tobytes()

    volume = read(dicom.radiograph(tmp_path / "sc.dcm", colour))
    assert volume.voxels.shape == (3, 1, 6, 8)
    np.testing.assert_array_equal(volume.voxels[:, 0], np.moveaxis(rgb, -1, 0))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("examples_palette.dcm", (3, 1, 350, 800)),
        ("examples_ybr_color.dcm", (3, 30, 240, 320)),
        ("SC_rgb_jpeg_dcmtk.dcm", (3, 1, 100, 100)),
        ("JPEG2000.dcm", (1, 1024, 256)),
        ("MR_small_jpeg_ls_lossless.dcm", (1, 64, 64)),
        ("JPGExtended.dcm", (1, 1024, 256)),
    ],
)
def test_files_of_pydicom(name, shape):
    volume = read(get_testdata_file(name, download=False))
    assert volume.voxels.shape == shape


def test_ybr_is_converted_as_pydicom_does():
    path = get_testdata_file("SC_ybr_full_422_uncompressed.dcm", download=False)
    expected = pydicom.pixels.pixel_array(path, raw=False)
    np.testing.assert_array_equal(read(path).voxels[:, 0], np.moveaxis(expected, -1, 0))


def test_twelve_bit_lossy_jpeg_is_near_its_original():
    lossy = read(get_testdata_file("JPGExtended.dcm", download=False)).voxels.astype(float)
    other = read(get_testdata_file("JPEG-lossy.dcm", download=False)).voxels.astype(float)
    assert np.abs(lossy - other).max() <= 1


def test_unknown_transfer_syntax_is_named(dicom, tmp_path):
    path = dicom.save(encoded(dicom.image(), uid.RLELossless), tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    data.save_as(path)
    with pytest.raises(errors.UnreadableFile, match=r"MPEG2.*1\.2\.840\.10008\.1\.2\.4\.100"):
        read(path)


def test_damaged_compressed_data(dicom, tmp_path):
    path = dicom.save(encoded(dicom.image(), uid.JPEGLSLossless), tmp_path / "a.dcm")
    content = bytearray(path.read_bytes())
    content[-60:-20] = bytes(40)
    path.write_bytes(bytes(content))
    try:
        volume = read(path)
    except errors.UnreadableFile:
        return
    assert volume.shape == (1, 6, 8)  # a codec may mend some damage, never change the size


def test_truncated_compressed_data(dicom, tmp_path):
    path = dicom.save(encoded(dicom.image(), uid.RLELossless), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(errors.UnreadableFile):
        read(path)


def test_compressed_image_of_another_size(dicom, tmp_path):
    data = encoded(dicom.image(), uid.JPEGLSLossless)
    for size, error in ((60, errors.UnreadableFile), (60000, errors.OverLimit)):
        data.Rows = data.Columns = size
        path = dicom.save(data, tmp_path / "a.dcm")
        with pytest.raises(error):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float_pixels_must_be_finite(dicom, tmp_path, value):
    pixels = np.zeros(48, np.float32)

    def floats(data, _):
        del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
        data.BitsAllocated = 32
        data.FloatPixelData = pixels.tobytes()

    fine = dicom.radiograph(tmp_path / "fine.dcm", floats)
    assert read(fine).voxels.dtype == np.float32
    pixels[7] = value
    with pytest.raises(errors.InvalidVoxels):
        read(dicom.radiograph(tmp_path / "bad.dcm", floats))


def test_file_that_shrinks_between_search_and_reading(dicom, tmp_path):
    [header] = find_series(dicom.series(tmp_path, count=2))
    path = header.files[0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(errors.UnreadableFile):
        header.load()


def test_failed_jpeg_of_twelve_bits_names_the_extra(dicom, tmp_path):
    from pydicom.encaps import encapsulate

    def change(data, _):
        data.file_meta.TransferSyntaxUID = uid.JPEGExtended12Bit
        data.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        data["PixelData"].is_undefined_length = True

    with pytest.raises(errors.UnreadableFile, match=r"diaphane\[jpeg12\]"):
        read(dicom.series(tmp_path, count=1, change=change))


@pytest.mark.parametrize("kind", ["YBR_PARTIAL_422", "HSV"])
def test_retired_colours_are_refused(dicom, tmp_path, kind):
    def colour(data, _):
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, kind, 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.PixelData = bytes(6 * 8 * 3)

    with pytest.raises(errors.UnreadableFile, match=kind):
        read(dicom.radiograph(tmp_path / "a.dcm", colour))


def test_colours_of_two_depths_are_refused(dicom, tmp_path):
    def colour(data, index):
        data.SOPClassUID, data.Modality = uid.SecondaryCaptureImageStorage, "OT"
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        bits = 16 if index == 2 else 8
        data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
        data.PixelData = np.full((6, 8, 3), 200, f"<u{bits // 8}").tobytes()

    with pytest.raises(errors.MixedSeries, match="depths"):
        read(dicom.series(tmp_path, change=colour))


def test_wide_pixels_in_big_endian_are_refused(dicom, tmp_path):
    data = dicom.image()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    data.BitsAllocated, data.BitsStored, data.HighBit = 32, 32, 31
    data.PixelData = dicom.stored().astype(">u4").tobytes()
    with pytest.raises(errors.UnreadableFile, match="big endian"):
        read(dicom.save(data, tmp_path / "a.dcm"))
