"""The conformance statement says what the code offers; heads of data sets are read as pydicom does."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest

import peers
from diaphane.serve.conformance import fill, tables
from diaphane.serve.heads import DEFLATED, Head, read_head

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dicom-conformance.md"


def test_the_page_holds_the_tables_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == fill(page)
    for table in tables().values():
        assert table in page


def test_uids_are_read_as_pydicom_reads_them() -> None:
    compared = 0
    for name in sorted(Path(pydicom.data.__path__[0]).rglob("test_files/*.dcm")):
        try:
            data = pydicom.dcmread(name)
            content = peers.data_set(name)
            syntax = str(data.file_meta.TransferSyntaxUID)
        except Exception:  # noqa: BLE001  # pydicom's damaged files
            continue
        uids = [str(data.get(k, "")) for k in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
        found = read_head(content, syntax)
        if found is not None:
            assert found == Head(*uids), name
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", *sorted(DEFLATED)])
def test_what_is_no_data_set_has_no_head(syntax: str) -> None:
    sample = BytesIO(bytes(range(256)) * 40).getvalue()
    for start in range(0, 256, 7):
        assert read_head(sample[start:], syntax) is None
