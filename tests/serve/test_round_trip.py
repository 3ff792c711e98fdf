"""A study comes in, is analysed, and its results go to Orthanc: once each, also after a kill."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest

import peers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(peers.program("storescu") is None, reason="DCMTK's storescu is not here"),
    pytest.mark.skipif(peers.program("Orthanc") is None, reason="Orthanc is not here"),
]
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def jobs(out: Path, place: str = "") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (out / "queue" / place).glob("*.json")]


def kept(archive: peers.Orthanc) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(BytesIO(archive.file(key))) for key in archive.ask("/instances")]


def references(result: pydicom.Dataset) -> set[str]:
    """SOP instances that a result speaks of, wherever."""
    found = set()

    def visit(_: Any, element: Any) -> None:
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))

    result.walk(visit)
    return found


def came_back(archive: peers.Orthanc, out: Path, sources: list[Path]) -> list[pydicom.Dataset]:
    """The results at the archive, each once, all speaking of the study that was sent."""
    peers.until(lambda: jobs(out, "done"), 300)
    results = kept(archive)
    local = [pydicom.dcmread(path) for path in (out / "results").rglob("*.dcm")]
    assert sorted(r.SOPInstanceUID for r in results) == sorted(r.SOPInstanceUID for r in local)
    first = pydicom.dcmread(sources[0], stop_before_pixels=True)
    uids = {peers.instance(path) for path in sources}
    assert SEGMENTATION in {r.SOPClassUID for r in results}
    for result in results:
        assert result.StudyInstanceUID == first.StudyInstanceUID
        assert result.PatientID == first.PatientID
        assert references(result) & uids
    return results


def test_results_wait_for_a_peer_that_is_down_and_survive_a_kill(
    receive: Callable[..., Any], segments: ModuleType, tmp_path: Path
) -> None:
    from diaphane.acquire.phantom import Phantom, write_dicom_series
    from diaphane.core.geometry import Geometry
    from diaphane.core.volume import Volume

    grey, truth = segments.ring_image()
    geometry = Geometry.axial(grey.shape, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    volume = Volume(grey.astype(np.float32), geometry, "CT", "HU")
    sent = write_dicom_series(Phantom(volume, (), truth, truth > 1, 3), tmp_path / "sent")
    bundle = segments.write_rings(tmp_path / "rings")
    port = peers.free_port()
    running = receive(
        "--quiet-for", 1, "--analyze", bundle, "--send-to", f"ORTHANC@127.0.0.1:{port}",
        "--retry", 0.5,
    )  # fmt: skip
    assert len(peers.storescu(running.port, sent)) == len(sent)
    peers.until(lambda: [job for job in jobs(running.out) if job["stage"] == "deliver"], 120)
    running.kill()
    running.start()
    with peers.orthanc(tmp_path / "orthanc", port=port) as archive:
        results = came_back(archive, running.out, sent)
        for result in results:  # the archive sends them on to us, as its rules may: no new answer
            path = tmp_path / f"{result.SOPInstanceUID}.dcm"
            result.save_as(path)
            assert peers.storescu(running.port, [path], "-R") == [path]
        peers.until(lambda: len(jobs(running.out, "done")) == 2)
        assert running.stop().returncode == 0
        assert len(archive.ask("/instances")) == len(results)
    assert not jobs(running.out, "failed")


def test_a_study_that_the_app_refuses_is_put_aside_with_the_reason(
    receive: Callable[..., Any], segments: ModuleType, tmp_path: Path
) -> None:
    sent = peers.objects(tmp_path / "sent", 1)
    data = pydicom.dcmread(sent[0])
    data.SamplesPerPixel = 7
    data.save_as(sent[0])
    running = receive("--quiet-for", 0.5, "--analyze", segments.write_rings(tmp_path / "rings"))
    assert peers.storescu(running.port, sent) == sent
    [job] = peers.until(lambda: jobs(running.out, "failed"), 120)
    assert "refuses the study" in job["problem"]
    assert (running.out / "studies" / job["name"]).is_dir()


BLOCK = """
import pathlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "monai", "onnx", "sklearn"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
pathlib.Path(__file__).with_name("blocked").touch()
"""


@pytest.mark.shared_data
def test_a_real_chest_comes_back_with_its_segmentation_without_torch(
    receive: Callable[..., Any],
    shared_data: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Analysed in a Python where torch cannot be imported; only DICOM results name the patient."""
    block = tmp_path / "block"
    block.mkdir()
    (block / "sitecustomize.py").write_text(BLOCK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(block), *filter(None, sys.path)]))
    sent = sorted(shared_data("lung_pet_ct_dx/A0001_L").rglob("*.dcm"))
    with peers.orthanc(tmp_path / "orthanc") as archive:
        running = receive(
            "--quiet-for", 2, "--analyze", "lung-ct",
            "--send-to", f"ORTHANC@127.0.0.1:{archive.dicom}",
        )  # fmt: skip
        assert len(peers.storescu(running.port, sent)) == len(sent)
        results = came_back(archive, running.out, sent)
    assert (block / "blocked").exists()
    (folder,) = (running.out / "results").iterdir()
    assert {p.name for p in folder.iterdir()} == {
        "findings.json", "report.html", "report.txt", "masks.nii.gz", "seg.dcm", "sr.dcm",
    }  # fmt: skip
    for result in results:
        (mine,) = (p for p in folder.glob("*.dcm") if peers.instance(p) == result.SOPInstanceUID)
        assert pydicom.dcmread(mine) == result
    findings = json.loads((folder / "findings.json").read_text())["findings"]
    assert findings[0]["code"] == "mass"
    patient = pydicom.dcmread(sent[0], stop_before_pixels=True)
    for path in (p for p in folder.iterdir() if p.suffix in (".json", ".html", ".txt")):
        said = path.read_text(encoding="utf-8")
        for word in ("Lung_Dx", patient.PatientID, patient.StudyInstanceUID, str(running.out)):
            assert word not in said
