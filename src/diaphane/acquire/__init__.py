"""Scans come in: DICOM, NIfTI, MetaImage, NRRD, pictures, stacks and data sets."""

from diaphane.acquire.series import SeriesHeader, SeriesList, find_series, read_series

__all__ = ["SeriesHeader", "SeriesList", "find_series", "read_series"]
