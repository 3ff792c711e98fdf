"""Small valid files of every format that is read, and ways to damage them.

Everything here is made from nothing and from a seed: no file of anybody's is used.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import random
import shutil
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

AFFINE = np.array([[-0.7, 0, 0, 10], [0, 0.8, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
_UID = "1.2.826.0.1.3680043.8.498."


@contextlib.contextmanager
def within_a_gigabyte():
    """Fails when this process takes a gigabyte more inside than it had at the beginning.

    The mark of the most memory is set back first: other tests of the process may have set it high.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        yield  # only Linux tells it
        return

    def kept(name):
        return int(status.read_text().split(f"{name}:")[1].split()[0]) * 1024

    Path("/proc/self/clear_refs").write_text("5")
    before = kept("VmRSS")
    yield
    assert kept("VmHWM") - before < 2**30


def voxels(shape=(5, 12, 10), dtype=np.int16):
    """A blob in noise."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    noise = np.random.default_rng(0).normal(0, 8, shape)
    return (100 + 90 * (np.sum(grid**2, 0) < 0.5) + noise).clip(0, 255).astype(dtype)


def ct(index=0, shape=(12, 10)):
    """A CT slice, uncompressed."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = uid.CTImageStorage, f"{_UID}1.{index}"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{_UID}2", f"{_UID}3"
    data.FrameOfReferenceUID, data.Modality = f"{_UID}4", "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.PatientName, data.PatientID = "Planted^Name", "PID-7"
    data.SeriesDescription, data.Manufacturer = "Chest 5mm", "diaphane"
    data.SeriesNumber, data.InstanceNumber = 4, index + 1
    data.SliceThickness = 2.5
    data.ImagePositionPatient = [-10.0, -20.0, index * 2.5]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [0.5, 0.7]
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.PixelData = voxels((1, *shape), np.uint16).tobytes()
    return data


def picture(kind=uid.UltrasoundImageStorage, frames=1, shape=(12, 10)):
    """An image in colour, of one or more frames."""
    data = ct(shape=shape)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(data, name)
    del data.RescaleIntercept
    data.SOPClassUID, data.Modality = kind, "US"
    data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
    data.PlanarConfiguration = 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.NumberOfFrames = frames
    data.PixelData = voxels((frames, *shape, 3), np.uint8).tobytes()
    return data


def enhanced(count=3):
    """An enhanced MR object."""
    data = ct()
    data.SOPClassUID, data.Modality = uid.EnhancedMRImageStorage, "MR"
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, name)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.7], 2.5
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in range(count):
        frame, position, value, content = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, -20.0, index * 2.5]
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = 2, 1, "US"
        content.DimensionIndexValues, content.StackID = [1, index + 1], "1"
        content.InStackPositionNumber = index + 1
        frame.FrameContentSequence = [content]
        frame.PlanePositionSequence = [position]
        frame.PixelValueTransformationSequence = [value]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.NumberOfFrames = count
    data.PixelData = voxels((count, 12, 10), np.uint16).tobytes()
    return data


def with_lut(data):
    """A modality LUT and a VOI LUT."""
    for keyword, described in (
        ("ModalityLUTSequence", [256, 0, 16]),
        ("VOILUTSequence", [256, 0, 16]),
    ):
        item = Dataset()
        item.LUTDescriptor = described
        item.LUTData = np.arange(256, dtype=np.uint16).tobytes()
        item["LUTData"].VR = "OW"
        if keyword.startswith("Modality"):
            item.ModalityLUTType = "US"
        setattr(data, keyword, [item])
    del data.RescaleSlope, data.RescaleIntercept
    return data


def with_palette(data):
    """Palette colour."""
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "PALETTE COLOR"
    del data.PlanarConfiguration
    for name in ("Red", "Green", "Blue"):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(
            data, f"{name}PaletteColorLookupTableData", np.arange(256, dtype=np.uint16).tobytes()
        )
    data.PixelData = voxels((1, 12, 10), np.uint8).tobytes()
    return data


def with_floats(data):
    """Floating-point pixels."""
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.BitsAllocated = 32
    data.FloatPixelData = voxels((1, 12, 10), np.float32).tobytes()
    return data


def with_regions(data):
    """A calibrated region of ultrasound, and an overlay."""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 9, 11
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.05
    data.SequenceOfUltrasoundRegions = [region]
    data.add_new(0x60000010, "US", 12)
    data.add_new(0x60000011, "US", 10)
    data.add_new(0x60000040, "CS", "G")
    data.add_new(0x60000050, "SS", [1, 1])
    data.add_new(0x60000100, "US", 1)
    data.add_new(0x60000102, "US", 0)
    data.add_new(0x60003000, "OW", bytes(16))
    return data


def mosaic():
    """A Siemens mosaic of 2 x 2 tiles with a CSA header of nothing but its beginning."""
    data = ct(shape=(16, 16))
    data.SOPClassUID, data.Modality = uid.MRImageStorage, "MR"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    data.Manufacturer = "SIEMENS"
    block = data.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 3)
    block.add_new(0x28, "FD", 0.0)
    csa = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(
        0x10,
        "OB",
        csa_header(
            {
                "NumberOfImagesInMosaic": ["3"],
                "SliceNormalVector": ["0", "0", "1"],
                "MosaicRefAcqTimes": ["0", "1", "2"],
            }
        ),
    )
    csa.add_new(0x20, "OB", csa_header({"MrPhoenixProtocol": ["sSliceArray.lSize = 3"]}))
    return data


def csa_header(fields):
    """Siemens' CSA2 layout."""
    out = [b"SV10\x04\x03\x02\x01", struct.pack("<II", len(fields), 77)]
    for name, values in fields.items():
        out.append(struct.pack("<64si4siii", name.encode(), len(values), b"FD\0\0", 3, 6, 77))
        for number in range(6):
            text = values[number].encode() + b"\0" if number < len(values) else b""
            out.append(struct.pack("<4i", len(text), len(text), 77, len(text)) + text)
            out.append(bytes(-len(text) % 4))
    return b"".join(out)


def segmentation(source):
    """A SEG with two segments of one frame each."""
    data = copy.deepcopy(enhanced(2))
    data.SOPClassUID, data.Modality = uid.SegmentationStorage, "SEG"
    data.SegmentationType = "BINARY"
    segments = []
    for number in (1, 2):
        segment, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "thing"
        segment.SegmentNumber, segment.SegmentLabel = number, f"segment {number}"
        segment.SegmentAlgorithmType = "MANUAL"
        segment.SegmentedPropertyCategoryCodeSequence = [code]
        segment.SegmentedPropertyTypeCodeSequence = [code]
        segments.append(segment)
    data.SegmentSequence = segments
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        used = Dataset()
        used.ReferencedSegmentNumber = number + 1
        frame.SegmentIdentificationSequence = [used]
        del frame.PixelValueTransformationSequence
    reference, series = Dataset(), Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = (
        source.SeriesInstanceUID,
        [reference],
    )
    data.ReferencedSeriesSequence = [series]
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = np.packbits(np.arange(240) % 3 == 0, bitorder="little").tobytes()
    return data


def structures(source):
    """An RTSTRUCT with one contour."""
    data = ct()
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(data, keyword)
    data.SOPClassUID, data.Modality = uid.RTStructureSetStorage, "RTSTRUCT"
    roi, contour, item, image = Dataset(), Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "thing", f"{_UID}4"
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = (
        source.SOPClassUID,
        source.SOPInstanceUID,
    )
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", 4
    item.ContourData = [-9, -19, 0, -6, -19, 0, -6, -16, 0, -9, -16, 0]
    item.ContourImageSequence = [image]
    contour.ReferencedROINumber, contour.ContourSequence = 1, [item]
    data.StructureSetROISequence, data.ROIContourSequence = [roi], [contour]
    return data


def dumped(data):
    """The file's bytes."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def in_syntax(data, syntax):
    """The object in another uncompressed or lossless transfer syntax."""
    data = copy.deepcopy(data)
    if syntax in (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == uid.ExplicitVRBigEndian and "PixelData" in data and data.BitsAllocated == 16:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    return data


def in_jpeg(data, syntax=uid.JPEGBaseline8Bit, **options):
    """The object with its frames as JPEG."""
    data = copy.deepcopy(data)
    shape = (data.get("NumberOfFrames", 1), data.Rows, data.Columns)
    pixels = np.frombuffer(data.PixelData, np.uint8)
    frames = []
    for plane in (
        pixels.reshape(*shape, data.SamplesPerPixel).squeeze(-1)
        if data.SamplesPerPixel == 1
        else pixels.reshape(*shape, 3)
    ):
        out = io.BytesIO()
        Image.fromarray(plane).save(out, "JPEG", **options)
        frames.append(out.getvalue())
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    if data.SamplesPerPixel == 3:
        data.PhotometricInterpretation = "YBR_FULL_422"
    return data


def dicom_files():
    """DICOM objects by name."""
    plain = ct()
    grey = picture()
    grey.SamplesPerPixel, grey.PhotometricInterpretation = 1, "MONOCHROME2"
    del grey.PlanarConfiguration
    grey.PixelData = voxels((1, 12, 10), np.uint8).tobytes()
    made = {
        "ct": plain,
        "us": with_regions(picture()),
        "cine": picture(uid.UltrasoundMultiFrameImageStorage, 3),
        "enhanced": enhanced(),
        "mosaic": mosaic(),
        "lut": with_lut(ct()),
        "palette": with_palette(picture()),
        "float": with_floats(ct()),
        "seg": segmentation(plain),
        "rtstruct": structures(plain),
        "jpeg": in_jpeg(picture()),
        "jpeg_progressive": in_jpeg(grey, progressive=True),
        "jpeg_cine": in_jpeg(picture(uid.UltrasoundMultiFrameImageStorage, 3)),
    }
    for name, syntax in {
        "implicit": uid.ImplicitVRLittleEndian,
        "big": uid.ExplicitVRBigEndian,
        "deflated": uid.DeflatedExplicitVRLittleEndian,
        "rle": uid.RLELossless,
        "jpegls": uid.JPEGLSLossless,
    }.items():
        made[name] = in_syntax(plain, syntax)
    made["j2k"] = in_syntax(ct(shape=(40, 36)), uid.JPEG2000Lossless)
    made["enhanced_rle"] = in_syntax(enhanced(), uid.RLELossless)
    made["us_rle"] = in_syntax(picture(), uid.RLELossless)
    made["us_j2k"] = in_syntax(picture(shape=(40, 36)), uid.JPEG2000Lossless)
    return made


def itk_bytes(folder, suffix, *, compressed=False):
    """A MetaImage or NRRD file, as SimpleITK writes it."""
    image = sitk.GetImageFromArray(voxels())
    image.SetSpacing((0.7, 0.8, 2.5))
    path = folder / f"scratch{suffix}"
    sitk.WriteImage(image, str(path), compressed)
    data = path.read_bytes()
    path.unlink()
    return data


def seeds(folder):
    """Valid files by name, as bytes; ``folder`` is scratch."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {f"{name}.dcm": dumped(data) for name, data in dicom_files().items()}
    found["bare"] = found["implicit.dcm"][found["implicit.dcm"].index(b"\x08\x00\x05\x00") :]
    image = nibabel.Nifti1Image(voxels(), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    found["a.nii"] = image.to_bytes()
    found["a.nii.gz"] = gzip.compress(nibabel.Nifti1Image(voxels(), AFFINE).to_bytes(), mtime=0)
    found["two.nii"] = nibabel.Nifti2Image(voxels(dtype=np.float32), AFFINE).to_bytes()
    for suffix in (".mha", ".nrrd"):
        found[f"a{suffix}"] = itk_bytes(folder, suffix)
        found[f"z{suffix}"] = itk_bytes(folder, suffix, compressed=True)
    found |= picture_files()
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        train_images=voxels((4, 8, 8), np.uint8), train_labels=np.arange(4)[:, None] % 2,
        test_images=voxels((2, 8, 8), np.uint8), test_labels=np.arange(2)[:, None] % 2,
    )  # fmt: skip
    found["a.npz"] = arrays.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(3):
            entry = zipfile.ZipInfo(f"series/{index}.dcm", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, dumped(ct(index)), zipfile.ZIP_DEFLATED)
    found["series.zip"] = packed.getvalue()
    return found


def picture_files():
    """Pictures by name."""
    grey, colour = voxels((12, 10), np.uint8), voxels((12, 10, 3), np.uint8)
    deep = voxels((12, 10), np.uint16) * 200
    found = {}
    for name, pixels, options in (
        ("grey.png", grey, {}),
        ("colour.png", colour, {}),
        ("deep.png", deep, {}),
        ("a.jpg", colour, {}),
        ("progressive.jpg", grey, {"progressive": True}),
        ("a.bmp", colour, {}),
        ("a.tif", deep, {}),
        ("lzw.tif", grey, {"compression": "tiff_lzw"}),
        ("jpeg.tif", colour, {"compression": "jpeg"}),
        ("g4.tif", grey > 100, {"compression": "group4"}),
    ):
        out = io.BytesIO()
        form = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper())
        Image.fromarray(pixels).save(out, form, **options)
        found[name] = out.getvalue()
    out = io.BytesIO()
    pages = [Image.fromarray(grey), Image.fromarray(grey)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    found["pages.tif"] = out.getvalue()
    out = io.BytesIO()
    Image.fromarray(grey).convert("P").save(out, "PNG")
    found["palette.png"] = out.getvalue()
    return found


def tables(folder):
    """A manifest folder and an nnU-Net folder; returns the files that say what is in them."""
    manifest, nnunet = folder / "manifest", folder / "nnunet"
    for place in (manifest, nnunet / "imagesTr", nnunet / "labelsTr"):
        place.mkdir(parents=True, exist_ok=True)
    pictures = picture_files()
    (manifest / "a.png").write_bytes(pictures["grey.png"])
    (manifest / "labels.csv").write_text('file,label,group,point\na.png,x,p1,"1,2,3"\n')
    (manifest / "labels.json").write_text('{"1": "thing"}')
    (nnunet / "imagesTr" / "c_0000.png").write_bytes(pictures["grey.png"])
    (nnunet / "labelsTr" / "c.png").write_bytes(pictures["grey.png"])
    (nnunet / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "MR"},
                "labels": {"background": 0, "thing": 1},
                "numTraining": 1,
                "file_ending": ".png",
            }
        )
    )
    return [manifest / "labels.csv", manifest / "labels.json", nnunet / "dataset.json"]


# ------------------------------------------------------------------ damage

_WORDS = [
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00", b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff",
    b"\xe0\x7f\x10\x00OW\x00\x00\xff\xff\xff\xff", b"\x28\x00\x08\x00IS\x0a\x002147483647",
    b"UN\x00\x00\xff\xff\xff\xff", b"1e308", b"-1e308", b"nan", b"99999999999999999999", b"\\" * 40,
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc4", b"\xff\x4f\xff\x51", b"\xff\x93", b"II*\x00",
    b"../../../etc/passwd", b"/dev/zero", b"\x1b]0;owned\x07", b"%d%s%n", b"\x00" * 64, b"=1+1",
]  # fmt: skip
_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    4096,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
)


def damaged(data, chance, others=()):
    """The bytes with a few faults."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if not out:
            break
        # Headers stand at the beginning; half of the faults go there.
        end = len(out) if chance.random() < 0.5 else min(len(out), chance.choice((200, 600, 1500)))
        at = chance.randrange(max(end, 1))
        kind = chance.randrange(10)
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at] = chance.randrange(256)
        elif kind in (2, 3):
            form = chance.choice(("<H", ">H", "<I", ">I"))
            number = chance.choice(_NUMBERS) % (1 << (8 * struct.calcsize(form)))
            out[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 4:
            del out[at : at + chance.choice((1, 2, 4, 16, 100))]
        elif kind == 5:
            block = out[at : at + chance.choice((2, 8, 12, 64, 300))]
            out[at:at] = block * chance.choice((1, 1, 3, 50))
        elif kind == 6:
            out[at:at] = chance.choice(_WORDS)
        elif kind == 7:
            word = chance.choice(_WORDS)
            out[at : at + len(word)] = word
        elif kind == 8:
            del out[chance.randrange(len(out)) :]
        elif others:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            size = chance.choice((8, 60, 500))
            out[at : at + size] = other[start : start + size]
    return bytes(out)


_VALUES = {
    "text": ("", "\0", "x" * 70, "\\\\\\", "\x1b[31m", "1", "nan", "inf", "-inf", "1e308", "-1e-308", "1e40", "0", "-1", "99999999999999", "0.0\\0.0", "1\\2\\3\\4\\5\\6\\7", "\u202e", "=cmd()", "../x", "MOSAIC", "MONOCHROME1", "YBR_FULL", "PALETTE COLOR", "LOCALIZER", "SEG"),
    "number": (0, 1, 2, 3, 4, 5, 8, 11, 12, 16, 17, 24, 31, 32, 33, 63, 64, 65, 255, 256, 32767, 32768, 65535),
    "float": (0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -0.0),
}  # fmt: skip
_ODD_VR = ("OB", "UN", "SQ", "DS", "US", "FD", "AT", "LO", "UI", "PN", "OW", "OF", "TM", "UT")
_CLASSES = (
    uid.CTImageStorage, uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.EnhancedCTImageStorage,
    uid.PositronEmissionTomographyImageStorage, uid.NuclearMedicineImageStorage,
    uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage, uid.SegmentationStorage,
    uid.RTStructureSetStorage, uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.DigitalMammographyXRayImageStorageForPresentation, uid.MediaStorageDirectoryStorage,
    uid.ComputedRadiographyImageStorage, uid.XRayAngiographicImageStorage, uid.BreastTomosynthesisImageStorage,
)  # fmt: skip
_SYNTAXES = (
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLosslessSV1, uid.JPEGLSLossless,
    uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000, uid.UID("1.2.840.10008.1.2.4.201"), uid.UID("1.2.840.10008.1.2.4.100"), uid.UID("1.2.3"),
)  # fmt: skip


def _elements(data, depth=0):
    for element in data:
        yield data, element.tag
        if element.VR == "SQ" and depth < 4:
            for item in element.value:
                yield from _elements(item, depth + 1)


def rewritten(data, chance):
    """A DICOM object with a few elements changed, and written again; a byte fault now and then."""
    data = copy.deepcopy(data)
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        for _ in range(chance.choice((1, 1, 2, 3))):
            places = list(_elements(data))
            where, tag = chance.choice(places)
            _change(data, where, tag, chance)
        out = io.BytesIO()
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        data.save_as(out)
        found = out.getvalue()
        return damaged(found, chance) if chance.random() < 0.2 else found
    return damaged(dumped(ct()), chance)


def _change(data, where, tag, chance):
    element = where[tag]
    kind = chance.randrange(12)
    if kind == 0:
        del where[tag]
    elif kind == 1:
        data.SOPClassUID = chance.choice(_CLASSES)
    elif kind == 2:
        data.file_meta.TransferSyntaxUID = chance.choice(_SYNTAXES)
    elif kind == 3:
        value = {"SQ": [], "OB": b"", "US": 3, "FD": 1.0, "AT": 1, "OW": b"ab", "OF": b"abcd"}
        vr = chance.choice(_ODD_VR)
        where[tag] = pydicom.DataElement(tag, vr, value.get(vr, "1"), validation_mode=0)
    elif element.VR == "SQ":
        items = list(element.value)
        if kind == 4:
            items = []
        elif kind < 8:
            items = items * chance.choice((2, 3, 40))
        elif items:
            del items[chance.randrange(len(items))]
        element.value = pydicom.Sequence(items)
    elif isinstance(element.value, bytes):
        element.value = damaged(element.value, chance)
    elif element.VR in ("US", "SS", "UL", "SL"):
        new = chance.choice(_VALUES["number"])
        element.value = new if kind < 10 else [new] * 3
    elif element.VR in ("FD", "FL"):
        element.value = chance.choice(_VALUES["float"])
    else:
        text = chance.choice(_VALUES["text"])
        where[tag] = pydicom.DataElement(
            tag, "LO" if element.VR in ("DS", "IS") else element.VR, text, validation_mode=0
        )
        if element.VR in ("DS", "IS"):
            where[tag]._value = text  # keep what no number is
            where[tag].VR = element.VR


# ------------------------------------------------------------------ archives and media

_TRAPS = (
    "../out.dcm", "a/../../out.dcm", "/tmp/out.dcm", "C:\\out.dcm", "..\\out.dcm", "a\x1b[2J\n.dcm",
    "./a.dcm", "a/./b.dcm", "a//b.dcm", "\0.dcm", "x" * 300, "a/" * 60 + "a.dcm", "__MACOSX/a.dcm", ".hidden.dcm",
    "labels.csv", "dataset.json", "a.zip", "a.npz", "series/0.dcm", "CON.dcm", "", ".", "\u202egpj.dcm",
)  # fmt: skip
_MODES = (0, 0o100644, 0o120777, 0o010600, 0o020600, 0o040755)


def zipped(members, chance):
    """A zip archive of ``(name, content)`` with a trap or none, and damage or none."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        trap = chance.randrange(7)
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        if trap < 3:
            item = zipfile.ZipInfo(chance.choice(_TRAPS) or "a")
            item.external_attr = chance.choice(_MODES) << 16 if trap == 0 else 0
            archive.writestr(item, chance.choice((b"/etc/passwd", members[0][1])))
        elif trap == 3:
            packing = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            archive.writestr(
                "big.dcm", members[0][1] + bytes(chance.choice((2**20, 2**24))), packing
            )
        elif trap == 4:
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as deeper:
                deeper.writestr("a.dcm", members[0][1])
            archive.writestr("inner.zip", inner.getvalue())
    found = out.getvalue()
    return damaged(found, chance) if chance.random() < 0.6 else found


def tarred(members, chance):
    """A tar archive, plain or gzipped, with a trap or none, and damage or none."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=chance.choice(("w", "w:gz"))) as archive:
        for name, content in [*members, (chance.choice(_TRAPS) or "a", members[0][1])]:
            item = tarfile.TarInfo(name.replace("\0", ""))
            item.size = len(content)
            if chance.random() < 0.2:
                item.type, item.linkname, item.size = tarfile.SYMTYPE, "/etc/passwd", 0
            archive.addfile(item, io.BytesIO(content))
    found = out.getvalue()
    return damaged(found, chance) if chance.random() < 0.5 else found


def directory(names):
    """A DICOMDIR that lists these file IDs, each the parts of a path, as one series."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = f"{_UID}9"
    data.FileSetID = "DISC"
    data.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    records = []
    for kind, parts in [("SERIES", None), *(("IMAGE", parts) for parts in names)]:
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = 0
        record.RecordInUseFlag = 0xFFFF
        record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        record.DirectoryRecordType = kind
        if parts is None:
            record.SeriesInstanceUID = f"{_UID}3"
        else:
            record["ReferencedFileID"] = pydicom.DataElement(
                0x00041500, "CS", list(parts), validation_mode=0
            )
        records.append(record)
    data.DirectoryRecordSequence = records
    return data


_IDS = (
    ("..", "out"), ("/etc", "passwd"), ("IMAGES", "..", "..", "out"), ("IMAGES\0", "A"), ("",), (".",),
    ("images", "a"), ("IMAGES", "NONE"), ("C:", "A"), ("IMAGES/A",), ("IMAGES",), ("\x1b[2J",), ("LINK",),
)  # fmt: skip


class Corpus:
    """Any number of damaged inputs, each by its number: files, archives and media."""

    def __init__(self, scratch):
        self.seeds = seeds(scratch)
        self.objects = dicom_files()
        self._names = sorted(self.seeds)
        self._dicom = [name for name in self._names if name.endswith(".dcm")]

    def make(self, number):
        """Name and content of the file with this number; of ten two are archives, most others DICOM."""
        chance = random.Random(number)
        if number % 10 in (7, 8):
            names = chance.sample(self._dicom, 2)
            members = [(f"series/{index}.dcm", self.seeds["ct.dcm"]) for index in range(2)]
            members += [(f"other/{name}", damaged(self.seeds[name], chance)) for name in names]
            members = members[chance.randrange(3) :]
            if number % 10 == 7:
                return "a.zip", zipped(members, chance)
            return chance.choice(("a.tar", "a.tar.gz", "a.zip")), tarred(members, chance)
        if number % 3 == 0:
            name = chance.choice(self._names)
            others = [self.seeds[chance.choice(self._names)]]
            return name, damaged(self.seeds[name], chance, others)
        name = chance.choice(self._dicom)
        if number % 3 == 1:
            return name, damaged(self.seeds[name], chance, [self.seeds[chance.choice(self._dicom)]])
        return name, rewritten(self.objects[name.removesuffix(".dcm")], chance)

    def image(self, index):
        """A whole CT slice of one series."""
        return dumped(ct(index))

    def medium(self, number, folder):
        """A folder with images and a damaged DICOMDIR; the path of that."""
        chance = random.Random(number)
        inner = folder / "IMAGES"
        inner.mkdir(parents=True)
        (folder / "LINK").symlink_to("/etc/passwd")
        for name in ("A", "B"):
            content = self.seeds[chance.choice(("ct.dcm", "us.dcm", "enhanced.dcm"))]
            (inner / name).write_bytes(
                content if chance.random() < 0.7 else damaged(content, chance)
            )
        listed = [("IMAGES", "A"), ("IMAGES", "B")]
        listed += chance.sample(_IDS, chance.choice((0, 1, 1, 2)))
        data = directory(listed)
        kind = chance.randrange(4)
        content = rewritten(data, chance) if kind == 0 else dumped(data)
        (folder / "DICOMDIR").write_bytes(damaged(content, chance) if kind == 1 else content)
        return folder / "DICOMDIR"

    def write(self, number, folder):
        """The file on disk, under its name; every tenth is a DICOMDIR beside its images."""
        if number % 10 == 9:
            return self.medium(number, Path(folder) / f"{number}_medium")
        name, data = self.make(number)
        path = Path(folder) / f"{number}_{name}"
        path.write_bytes(data)
        return path

    def remove(self, path):
        """What :meth:`write` wrote."""
        if path.name == "DICOMDIR":
            shutil.rmtree(path.parent)
        else:
            path.unlink()
