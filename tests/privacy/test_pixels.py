"""Text burned into pixels: found, blanked, and nothing of it left."""

import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file

from diaphane.privacy.pixels import blank, find_text, preview


def test_planted_text_is_gone_and_the_object_says_so(tmp_path):
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    canvas = Image.new("L", (data.Columns, data.Rows))
    ImageDraw.Draw(canvas).text((6, 8), "SMITH^JOHN", fill=255, font=ImageFont.load_default(14))
    ink = np.asarray(canvas) > 128
    pixels = data.pixel_array.copy()
    pixels[ink] = pixels.max()
    data.PixelData = pixels.tobytes()
    boxes = find_text(data)
    preview(data, boxes, tmp_path / "seen.png")
    assert Image.open(tmp_path / "seen.png").width > 2 * data.Columns
    blank(data, boxes)
    assert np.ptp(data.pixel_array[ink]) == 0
    assert data.BurnedInAnnotation == "NO"
    assert data.ImageType[0] == "DERIVED"


def test_outside_of_ultrasound_regions_is_blanked():
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    region = pydicom.Dataset()
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
