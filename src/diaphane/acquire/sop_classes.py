"""Kinds of DICOM objects by their SOP class. Source: DICOM PS3.4 table B.5-1."""

from __future__ import annotations

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
ENHANCED_CLASSES = frozenset(
    {
        PARAMETRIC_MAP,
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR in colour
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET
        "1.2.840.10008.5.1.4.1.1.13.1.1",  # 3-D angiography
        "1.2.840.10008.5.1.4.1.1.13.1.2",  # 3-D craniofacial
        "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast tomosynthesis
    }
)
SECTION_CLASSES = ENHANCED_CLASSES | {
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.128",  # PET
    "1.2.840.10008.5.1.4.1.1.20",  # NM
}
IMAGE_CLASSES = SECTION_CLASSES | {
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX
    "1.2.840.10008.5.1.4.1.1.1.2",  # MG
    "1.2.840.10008.5.1.4.1.1.3.1",  # US, multi-frame
    "1.2.840.10008.5.1.4.1.1.6.1",  # US
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
    "1.2.840.10008.5.1.4.1.1.12.1",  # XA
}
CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
