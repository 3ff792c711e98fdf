"""Text burned into pixels: found, blanked, shown to a person, and nothing of it left."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from commands import diaphane
from diaphane.core.errors import UsageError
from diaphane.privacy.dicom.folder import Order, deidentify_folder
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.pixels import blank, find_text, is_searched

ROWS, COLUMNS = 240, 320
KINDS = ("grey", "frames", "colour", "rle", "jpeg", "palette")


def picture(seed: int) -> tuple[np.ndarray, tuple[slice, slice]]:
    """A fan of speckle with a name above it, 8 bit, and the place of the name."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    fan = (np.abs(x - 160) < y - 50) & (np.hypot(x - 160, y - 50) < 180)
    made = np.where(fan, rng.rayleigh(35, (ROWS, COLUMNS)), 4).clip(0, 160).astype(np.uint8)
    image = Image.fromarray(made)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(18)
    draw.text((12, 10), "NIGHTINGALE^FLORENCE", fill=240, font=font)
    left, top, right, bottom = (
        int(v) for v in draw.textbbox((12, 10), "NIGHTINGALE^FLORENCE", font=font)
    )
    return np.asarray(image), (slice(top, bottom), slice(left, right))


def ultrasound(kind: str) -> tuple[Dataset, tuple[slice, slice]]:
    """An ultrasound object of a kind, with a name burned in."""
    grey, place = picture(KINDS.index(kind))
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = (
        UltrasoundMultiFrameImageStorage if kind == "frames" else UltrasoundImageStorage
    )
    data.SOPInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid()
    data.SeriesInstanceUID, data.Modality = generate_uid(), "US"
    data.PatientID, data.PatientName = "N-1820", "Nightingale^Florence"
    data.ImageType = ["ORIGINAL", "PRIMARY"]
    data.Rows, data.Columns = ROWS, COLUMNS
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelRepresentation, data.SamplesPerPixel = 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    pixels = grey
    if kind == "frames":
        data.NumberOfFrames = 3
        pixels = np.stack([grey, np.roll(grey, 1, 1), grey])
    elif kind in ("colour", "rle", "jpeg"):
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.PhotometricInterpretation = "RGB"
        pixels = np.stack([grey, grey, grey // 3 if kind != "jpeg" else grey], -1)
    elif kind == "palette":
        data.PhotometricInterpretation = "PALETTE COLOR"
        ramp = (np.arange(256, dtype="<u2") * 257).tobytes()
        for colour in ("Red", "Green", "Blue"):
            setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(data, f"{colour}PaletteColorLookupTableData", ramp)
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB"
    if kind == "rle":
        data.compress(RLELossless)
    elif kind == "jpeg":
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "jpeg", quality=90)
        data.PixelData = encapsulate([packed.getvalue()])
        data.PhotometricInterpretation = "YBR_FULL_422"
        data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return data, place


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory) -> Path:
    """A folder with IN, OUT and pictures, made by the verb."""
    root = tmp_path_factory.mktemp("burned")
    (root / "in").mkdir()
    for kind in KINDS:
        data, _ = ultrasound(kind)
        data.SeriesDescription = kind
        data.save_as(root / "in" / f"{kind}.dcm", enforce_file_format=True)
    done = diaphane(
        "deidentify", root / "in", root / "out", "--clean", "pixels", "--previews", root / "seen"
    )
    assert done.returncode == 0, done.stderr
    return root


def written(root: Path, kind: str) -> Any:
    """The object that came of a kind: its shape tells."""
    out = [pydicom.dcmread(path) for path in (root / "out").rglob("*.dcm")]
    assert len(out) == len(KINDS)
    key = pydicom.dcmread(root / "in" / f"{kind}.dcm").file_meta.MediaStorageSOPInstanceUID
    from diaphane.privacy.dicom.values import Secret
    from diaphane.privacy.keys import load_key

    new = Secret(load_key()).uid(key)
    return next(data for data in out if new == data.SOPInstanceUID)


@pytest.mark.parametrize("kind", KINDS)
def test_no_planted_text_remains_in_what_the_verb_writes(cleaned, kind):
    data = written(cleaned, kind)
    _, place = picture(KINDS.index(kind))
    pixels = data.pixel_array
    frames = pixels if kind == "frames" else pixels[None]
    for frame in frames:
        assert not np.ptp(frame[place], axis=(0, 1)).any()
        assert np.ptp(frame[120:200, 130:190], axis=(0, 1)).all()  # the fan is still there
    assert data.BurnedInAnnotation == "NO"
    assert data.ImageType[0] == "DERIVED"
    assert data.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_the_check_finds_no_text_and_a_person_sees_before_and_after(cleaned):
    done = diaphane("deidentify", "--check", cleaned / "out")
    assert done.returncode == 0, done.stderr
    seen = list((cleaned / "seen").iterdir())
    assert {p.stem for p in seen} == {p.stem for p in (cleaned / "out").rglob("*.dcm")}
    assert stat.S_IMODE((cleaned / "seen").stat().st_mode) == 0o700
    for path in seen:
        both = np.asarray(Image.open(path))
        assert both.shape == (ROWS, 2 * COLUMNS + 8, 3)
        _, place = picture(0)
        assert both[place].max() > 200
        assert both[:, -COLUMNS:][place].max() < 20


def test_the_check_tells_when_text_is_left(cleaned, tmp_path):
    data = written(cleaned, "grey")
    data.PixelData = picture(0)[0].tobytes()
    data.save_as(tmp_path / "one.dcm")
    done = diaphane("deidentify", "--check", tmp_path)
    assert done.returncode == 1
    assert "pixels: text" in done.stderr


def ct() -> tuple[Dataset, np.ndarray]:
    """A primary CT slice with a name burned in, and where its ink is."""
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    canvas = Image.new("L", (data.Columns, data.Rows))
    ImageDraw.Draw(canvas).text((6, 8), "SMITH^JOHN", fill=255, font=ImageFont.load_default(14))
    ink = np.asarray(canvas) > 128
    pixels = data.pixel_array.copy()
    pixels[ink] = pixels.max()
    data.PixelData = pixels.tobytes()
    return data, ink


@pytest.mark.parametrize("clean", ["pixels", "pixels-everywhere"])
def test_primary_slices_are_searched_when_asked(tmp_path, clean):
    data, ink = ct()
    (tmp_path / "in").mkdir()
    data.save_as(tmp_path / "in" / "ct.dcm")
    profile = Profile(clean=frozenset({clean}))
    outcome = deidentify_folder(Order(tmp_path / "in", tmp_path / "out", profile))
    (path,) = [tmp_path / "out" / done.path for done in outcome.done]
    new = pydicom.dcmread(path)
    codes = [item.CodeValue for item in new.DeidentificationMethodCodeSequence]
    assert codes.count("113101") == 1
    if clean == "pixels":
        assert new.PixelData == data.PixelData
        assert "BurnedInAnnotation" not in new  # nobody looked
    else:
        assert np.ptp(new.pixel_array[ink]) == 0
        assert new.BurnedInAnnotation == "NO"


def test_pixels_that_would_take_all_memory_are_refused_and_the_rest_is_done(tmp_path):
    """A hundred frames of 4 MiB from a few hundred bytes each are tried in a worker first."""
    (tmp_path / "in").mkdir()
    good, _ = ultrasound("rle")
    good.save_as(tmp_path / "in" / "good.dcm", enforce_file_format=True)
    bomb, _ = ultrasound("grey")
    bomb.SOPClassUID = bomb.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    bomb.Rows = bomb.Columns = 2048
    bomb.PixelData = np.zeros((2048, 2048), np.uint8).tobytes()
    bomb.compress(JPEG2000Lossless)
    frame = next(generate_frames(bomb.PixelData, number_of_frames=1))
    bomb.NumberOfFrames, bomb.PixelData = 100, encapsulate([frame] * 100)
    bomb.save_as(tmp_path / "in" / "bomb.dcm", enforce_file_format=True)
    assert (tmp_path / "in" / "bomb.dcm").stat().st_size < 100_000
    done = diaphane("deidentify", tmp_path / "in", tmp_path / "out", "--clean", "pixels")
    assert done.returncode == 1, done.stderr
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    (row,) = (tmp_path / "rejected.csv").read_text().splitlines()[1:]
    assert "bomb.dcm" in row


def test_what_is_searched_follows_from_the_object():
    data, _ = ct()
    assert not is_searched(data)
    for keyword, value in (
        ("BurnedInAnnotation", "YES"),
        ("ImageType", ["DERIVED", "SECONDARY", "MPR"]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        ("PhotometricInterpretation", "RGB"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"),
        ("Modality", "DX"),
    ):
        data, _ = ct()
        setattr(data, keyword, value)
        assert is_searched(data), keyword


def test_pictures_of_identity_stay_apart(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    pixels = Profile(clean=frozenset({"pixels"}))
    for place in (out / "seen", source / "seen"):
        with pytest.raises(UsageError):
            Order(source, out, pixels, previews=place)
    with pytest.raises(UsageError):
        Order(source, out, Profile(), previews=tmp_path / "seen")


def test_outside_of_ultrasound_regions_is_blanked():
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 30
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 99, 109
    data.SequenceOfUltrasoundRegions = [region]
    boxes = [box for box in find_text(data) if box.reason == "outside_region"]
    outside = np.ones(data.pixel_array.shape, bool)
    outside[30:110, 20:100] = False
    inside = data.pixel_array[~outside]
    blank(data, boxes)
    assert np.ptp(data.pixel_array[outside]) == 0
    assert np.array_equal(data.pixel_array[~outside], inside)
    assert not [box for box in find_text(data) if box.reason == "outside_region"]
