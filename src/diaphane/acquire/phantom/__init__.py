"""A chest CT that never was: anatomy, planted nodules, and its DICOM series."""

from diaphane.acquire.phantom.lesions import Nodule, insert_nodule
from diaphane.acquire.phantom.scan import Phantom, chest_phantom

__all__ = ["Nodule", "Phantom", "chest_phantom", "insert_nodule"]
