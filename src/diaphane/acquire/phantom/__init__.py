"""A chest CT that never was: anatomy, planted nodules, and its DICOM series."""

from diaphane.acquire.phantom.dicom import write_dicom_series
from diaphane.acquire.phantom.lesions import Kind, Nodule, insert_nodule
from diaphane.acquire.phantom.scan import Phantom, chest_phantom

__all__ = ["Kind", "Nodule", "Phantom", "chest_phantom", "insert_nodule", "write_dicom_series"]
