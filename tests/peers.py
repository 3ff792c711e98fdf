"""Real peers for the network's tests and benchmark: DCMTK's programs and Orthanc, from Debian.

pynetdicom installs scripts of DCMTK's names into the environment, so programs are looked for in
the system's own folders.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SYSTEM = "/usr/bin:/usr/sbin:/usr/local/bin"
PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))
PLAIN = {**os.environ, "TCP_NODELAY": "1"}


def program(name: str) -> str | None:
    """Path of a system's program, never that of a script in the environment."""
    return shutil.which(name, path=SYSTEM)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def objects(
    folder: Path, count: int, *, studies: int = 1, side: int = 16, name: str = "Wolkenstein^Oswald"
) -> list[Path]:
    """Small secondary captures of planted names, spread over studies."""
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    keys = [(generate_uid(), generate_uid()) for _ in range(studies)]
    noise = np.random.default_rng(5)
    made = []
    for number in range(count):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SpecificCharacterSet = "ISO_IR 100"
        data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = keys[number % studies]
        data.PatientName, data.PatientID, data.Modality = name, f"ID{number % studies:06d}", "OT"
        data.StudyDate = data.StudyTime = data.AccessionNumber = data.PatientBirthDate = ""
        data.PatientSex = data.ReferringPhysicianName = data.StudyID = ""
        data.SeriesNumber, data.InstanceNumber, data.ConversionType = 1, number, "WSD"
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows = data.Columns = side
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.PixelData = noise.integers(0, 4096, (side, side), np.uint16).tobytes()
        made.append(folder / f"{number:05d}.dcm")
        data.save_as(made[-1], enforce_file_format=True)
    return made


def data_set(path: Path) -> bytes:
    """The encoded data set of a DICOM file, after its file meta information."""
    content = path.read_bytes()
    return content[144 + struct.unpack_from("<I", content, 140)[0] :]


def instance(path: Path) -> str:
    """SOP Instance UID of a DICOM file."""
    import pydicom

    return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def storescu(
    port: int, files: Sequence[Path], *options: str, called: str = "DIAPHANE"
) -> list[Path]:
    """Send with DCMTK; the files that the other side acknowledged."""
    done = subprocess.run(
        [str(program("storescu")), "-v", *options, "-aec", called, "127.0.0.1", str(port), *files],
        capture_output=True, text=True, check=False, env=PLAIN,
    )  # fmt: skip
    acknowledged, current = [], None
    for line in (done.stdout + done.stderr).splitlines():
        if "Sending file:" in line:
            current = Path(line.partition("Sending file:")[2].strip())
        elif "Received Store Response (Success)" in line and current is not None:
            acknowledged.append(current)
    return acknowledged


class Storm:
    """Several senders at once, each sending again what was not acknowledged, until all is."""

    def __init__(self, port: int, files: Sequence[Path], senders: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self.acknowledged: list[Path] = []
        self._threads = [
            threading.Thread(target=self._send, args=(list(files[k::senders]),), daemon=True)
            for k in range(senders)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, left: list[Path]) -> None:
        while left:
            done = storescu(self._port, left[:20])
            with self._lock:
                self.acknowledged += done
            left = [path for path in left if path not in set(done)]
            if not done:
                time.sleep(0.1)

    def wait(self, count: int) -> None:
        """Until so many are acknowledged."""
        until(lambda: len(self.acknowledged) >= count, 300)

    def join(self) -> None:
        """Until all are."""
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive()


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that will be; what it came to."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Orthanc:
    """An Orthanc on this machine with DICOMweb; its peers are added as (AE, port)."""

    def __init__(
        self, folder: Path, peers: dict[str, tuple[str, int]] | None = None, port: int | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.dicom = free_port(), port or free_port()
        plugin = next(
            (p for place in PLUGINS for p in sorted(place.glob("libOrthancDicomWeb.so*"))), None
        )
        settings = {
            "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index"),
            "HttpPort": self.http, "DicomPort": self.dicom, "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True, "DicomAlwaysAllowEcho": True,
            "DicomCheckCalledAet": True, "TcpNoDelay": True, "StableAge": 1,
            "DicomModalities": {
                name: [title, "127.0.0.1", port] for name, (title, port) in (peers or {}).items()
            },
            "Plugins": [str(plugin)] if plugin else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        config = folder / "orthanc.json"
        config.write_text(json.dumps(settings))
        self._log = (folder / "orthanc.log").open("w")
        self._process = subprocess.Popen(
            [str(program("Orthanc")), str(config)], stdout=self._log, stderr=self._log
        )
        until(lambda: listens(self.http) and listens(self.dicom), 60)

    @property
    def web(self) -> str:
        """Address of its DICOMweb."""
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or POST with a body, as JSON."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data) as answer:
            return json.load(answer)

    def file(self, key: str) -> bytes:
        """An instance as it is kept."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/instances/{key}/file") as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@contextmanager
def orthanc(
    folder: Path, peers: dict[str, tuple[str, int]] | None = None, port: int | None = None
) -> Iterator[Orthanc]:
    """An Orthanc that ends with the block."""
    running = Orthanc(folder, peers, port)
    try:
        yield running
    finally:
        running.stop()
