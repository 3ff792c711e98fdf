"""Scans come in: DICOM, NIfTI, MetaImage, NRRD, pictures, stacks and data sets."""

from diaphane.acquire.dataset import Dataset, Entry
from diaphane.acquire.describing import describe
from diaphane.acquire.drawn import list_segments, read_mask, read_segments
from diaphane.acquire.opening import open_dataset, open_inputs
from diaphane.acquire.reading import read
from diaphane.acquire.series import SeriesHeader, SeriesList, find_series, read_series
from diaphane.core.options import Limits, ReadOptions

__all__ = [
    "Dataset",
    "Entry",
    "Limits",
    "ReadOptions",
    "SeriesHeader",
    "SeriesList",
    "describe",
    "find_series",
    "list_segments",
    "open_dataset",
    "open_inputs",
    "read",
    "read_mask",
    "read_segments",
    "read_series",
]
