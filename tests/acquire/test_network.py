"""The client side against Orthanc with DICOMweb, DCMTK's storescp, and our own receiver."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import RLELossless

import peers
from commands import Command, diaphane
from diaphane.acquire.network import Line, Peer, Query, Tls, Web, echo, find, outgoing
from diaphane.core.errors import MissingExtra, NetworkError, UsageError
from diaphane.privacy.audit import AuditChain

pytestmark = pytest.mark.integration
needs_orthanc = pytest.mark.skipif(peers.program("Orthanc") is None, reason="Orthanc is not here")
needs_dcmtk = pytest.mark.skipif(peers.program("storescp") is None, reason="DCMTK is not here")


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six objects of two patients, one study each."""
    return peers.objects(tmp_path_factory.mktemp("sent"), 6, studies=2)


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Path]
) -> Iterator[tuple[peers.Orthanc, str, int]]:
    """An Orthanc that has got the objects, its name as a peer, and the port it reports to."""
    report = peers.free_port()
    with peers.orthanc(tmp_path_factory.mktemp("orthanc"), {"us": ("DIAPHANE", report)}) as running:
        yield running, f"ORTHANC@127.0.0.1:{running.dicom}", report


@needs_orthanc
def test_send_with_a_promise_and_find_and_fetch(
    archive: tuple[peers.Orthanc, str, int], sent: list[Path], tmp_path: Path
) -> None:
    running, peer, report = archive
    done = diaphane(
        "send",
        sent[0].parent,
        "--to",
        peer,
        "--commit",
        "--listen",
        f"127.0.0.1:{report}",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"to": peer, "sent": 6, "converted": 0, "refused": []}
    kept = {
        json.dumps(i["MainDicomTags"]["SOPInstanceUID"]).strip('"')
        for i in running.ask("/instances?expand")
    }
    assert kept == {peers.instance(path) for path in sent}

    assert diaphane("find", peer, "--echo").stdout.strip() == f"{peer} answers"
    hidden = diaphane("find", peer, "PatientName=wolken*", "--json")
    found = json.loads(hidden.stdout)["matches"]
    assert len(found) == 2
    assert {row["NumberOfStudyRelatedInstances"] for row in found} == {"3"}
    for word in ("Wolkenstein", str(pydicom.dcmread(sent[0]).StudyInstanceUID), "ID00000"):
        assert word not in hidden.stdout + hidden.stderr
    shown = diaphane("find", peer, "PatientID=ID000001", "--identity", "show", "--json")
    [match] = json.loads(shown.stdout)["matches"]
    assert match["PatientName"] == "Wolkenstein^Oswald"

    out = tmp_path / "fetched"
    got = diaphane("find", peer, "PatientID=ID000001", "--fetch", out, "--json")
    assert json.loads(got.stdout)["fetched"] == 3, got.stderr
    expected = {peers.instance(path): path for path in sent[1::2]}
    for path in out.rglob("*.dcm"):
        original = expected.pop(peers.instance(path))
        assert (
            pydicom.dcmread(path).pixel_array.tobytes()
            == pydicom.dcmread(original).pixel_array.tobytes()
        )
        assert peers.data_set(path) == peers.data_set(original)
    assert not expected
    series = find(
        Query("series", {"StudyInstanceUID": match["StudyInstanceUID"]}), Line(Peer.parse(peer))
    )
    assert [row["Modality"] for row in series] == ["OT"]
    assert AuditChain().verify().intact


@needs_orthanc
def test_dicomweb_stores_finds_and_fetches(
    archive: tuple[peers.Orthanc, str, int], tmp_path: Path
) -> None:
    running, _, _ = archive
    more = peers.objects(tmp_path / "more", 2, name="Hohenems^Merk")
    done = diaphane("send", *more, "--to", running.web, "--json")
    assert json.loads(done.stdout)["sent"] == 2, done.stderr
    got = diaphane(
        "find", running.web, "PatientName=Hohenems*", "--fetch", tmp_path / "got", "--json"
    )
    told = json.loads(got.stdout)
    assert told["fetched"] == 2, got.stderr
    assert "Hohenems" not in got.stdout + got.stderr
    fetched = {
        peers.instance(path): pydicom.dcmread(path) for path in (tmp_path / "got").rglob("*.dcm")
    }
    for path in more:
        assert fetched[peers.instance(path)] == pydicom.dcmread(path)
    study = str(pydicom.dcmread(more[0]).StudyInstanceUID)
    rows = diaphane(
        "find", running.web, f"StudyInstanceUID={study}", "--level", "series", "--identity", "show", "--json"
    )  # fmt: skip
    assert json.loads(rows.stdout)["matches"][0]["Modality"] == "OT"
    assert diaphane("find", running.web, "PatientName=Nobody").returncode == 3


@needs_orthanc
def test_orthanc_asks_us_for_a_promise_and_moves_to_us(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port = peers.free_port()
    made = peers.objects(tmp_path / "made", 2)
    with peers.orthanc(tmp_path / "orthanc", {"us": ("DIAPHANE", port)}) as running:
        receiver = Command(
            "receive", "--out", tmp_path / "out", "--port", port, "--quiet-for", 1,
            "--peer", f"ORTHANC@127.0.0.1:{running.dicom}",
        )  # fmt: skip
        try:
            peers.until(lambda: peers.listens(port))
            peer = f"ORTHANC@127.0.0.1:{running.dicom}"
            assert diaphane("send", *made, "--to", peer).returncode == 0
            moved = diaphane("find", peer, "PatientID=ID000000", "--move-to", "DIAPHANE", "--json")
            assert json.loads(moved.stdout)["fetched"] == 2, moved.stderr
            kept = peers.until(lambda: sorted((tmp_path / "out" / "studies").glob("*/*.dcm")))
            assert {path.stem for path in kept} == {peers.instance(path) for path in made}
            objects = [
                [str(pydicom.dcmread(path).SOPClassUID), peers.instance(path)] for path in made
            ]
            absent = [objects[0][0], "1.2.3.4.5"]
            for asked, status in ((objects, "Success"), ([*objects, absent], "Failure")):
                job = running.ask("/modalities/us/storage-commitment", {"DicomInstances": asked})
                path = job["Path"]
                report = peers.until(
                    lambda p=path: (r := running.ask(p))["Status"] != "Pending" and r
                )
                assert report["Status"] == status
        finally:
            receiver.send(15)
            receiver.done()


@needs_dcmtk
def test_what_a_peer_does_not_take_is_unpacked_or_refused(tmp_path: Path) -> None:
    plain = peers.objects(tmp_path / "made", 1)[0]
    packed = tmp_path / "packed.dcm"
    data = pydicom.dcmread(plain)
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(packed)
    notes = tmp_path / "notes.dcm"
    notes.write_text("not DICOM")
    port = peers.free_port()
    (tmp_path / "kept").mkdir()
    scp = subprocess.Popen(
        [str(peers.program("storescp")), "+xe", "-od", str(tmp_path / "kept"), str(port)]
    )
    try:
        peers.until(lambda: peers.listens(port))
        done = diaphane("send", packed, notes, "--to", f"ANY@127.0.0.1:{port}", "--json")
    finally:
        scp.terminate()
        scp.wait()
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["sent"], told["converted"]) == (1, 1)
    [kept] = (tmp_path / "kept").iterdir()
    assert (
        pydicom.dcmread(kept).pixel_array.tobytes() == pydicom.dcmread(plain).pixel_array.tobytes()
    )
    assert [row["path"] for row in told["refused"]] == [str(notes)]


def test_a_promise_of_our_own_receiver_on_the_same_association(tmp_path: Path) -> None:
    made = peers.objects(tmp_path / "made", 3)
    port = peers.free_port()
    receiver = Command("receive", "--out", tmp_path / "out", "--port", port, "--quiet-for", 1)
    try:
        peers.until(lambda: peers.listens(port))
        peer = f"DIAPHANE@127.0.0.1:{port}"
        done = diaphane("send", tmp_path / "made", "--to", peer, "--commit")
        assert done.returncode == 0, done.stderr
        assert "3 of 3 objects are with" in done.stdout
        assert "committed" in done.stdout
        rejected = diaphane("send", made[0], "--to", f"OTHER@127.0.0.1:{port}")
        assert rejected.returncode == 3
        assert "another title" in rejected.stderr
    finally:
        receiver.send(15)
        receiver.done()


def test_a_peer_that_is_down_is_named_and_no_patient(tmp_path: Path) -> None:
    made = peers.objects(tmp_path / "made", 1)
    port = peers.free_port()
    done = diaphane("send", made[0], "--to", f"GONE@127.0.0.1:{port}", "--timeout", 5)
    assert done.returncode == 3
    assert f"GONE@127.0.0.1:{port}: no connection: nobody listens there." in done.stderr
    assert "Wolkenstein" not in done.stderr
    with pytest.raises(NetworkError, match="no connection"):
        echo(Line(Peer("GONE", "127.0.0.1", port)))


@needs_orthanc
def test_a_wrong_address_of_dicomweb_says_what_to_look_at(archive) -> None:
    with pytest.raises(NetworkError, match=r"HTTP 404.*path in the address"):
        Web(f"{archive[0].web}x").find(Query("study"))
    with pytest.raises(NetworkError, match="nobody answers there"):
        Web(f"http://127.0.0.1:{peers.free_port()}/dicom-web").find(Query("study"))


@contextmanager
def storescp(folder: Path, *options: object) -> Iterator[int]:
    """DCMTK's receiver; its port."""
    port, words = peers.free_port(), map(str, options)
    running = subprocess.Popen(
        [str(peers.program("storescp")), *words, "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        peers.until(lambda: peers.listens(port))
        yield port
    finally:
        running.terminate()
        running.wait()


@needs_dcmtk
def test_what_was_sent_is_said_where_commitment_is_refused(tmp_path: Path) -> None:
    made = peers.objects(tmp_path / "made", 2)
    (tmp_path / "kept").mkdir()
    with storescp(tmp_path / "kept") as port:
        done = diaphane("send", tmp_path / "made", "--to", f"ANY@127.0.0.1:{port}", "--commit")
    assert done.returncode == 1, done.stderr
    assert "No storage commitment: ANY@" in done.stderr
    assert done.stderr.count("not committed") == len(made)
    assert "2 of 2 objects are with" in done.stdout
    assert len(list((tmp_path / "kept").iterdir())) == 2


@needs_dcmtk
@pytest.mark.skipif(peers.program("openssl") is None, reason="openssl is not here")
def test_why_there_is_no_connection_is_said(tmp_path: Path) -> None:
    for who in ("ours", "stranger"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={who}",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{who}.key",
             "-out", f"{who}.pem"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip

    def tls(certificate: str, authority: str) -> Tls:
        places = (tmp_path / f"{certificate}.{end}" for end in ("pem", "key"))
        return Tls(*places, tmp_path / f"{authority}.pem")

    def why(port: int, secured: Tls | None) -> str:
        with pytest.raises(NetworkError) as told:
            echo(Line(Peer("ANY", "127.0.0.1", port), tls=secured, timeout=10))
        return told.value.problem

    with storescp(tmp_path) as port:
        assert "does not speak TLS" in why(port, tls("ours", "ours"))
    pair = (tmp_path / "ours.key", tmp_path / "ours.pem")
    with storescp(tmp_path, "+tls", *pair, "+cf", pair[1]) as port:
        echo(Line(Peer("ANY", "127.0.0.1", port), tls=tls("ours", "ours")))
        assert "gives no DICOM answer" in why(port, None)
        assert "its certificate is not accepted" in why(port, tls("ours", "stranger"))
        assert "does not accept our certificate" in why(port, tls("stranger", "ours"))


@pytest.mark.parametrize(
    "text", ["", "A", "A@", "@h:1", "A@h", "A@h:0", "A@h:99999", "A" * 17 + "@h:1"]
)
def test_what_is_no_peer(text: str) -> None:
    with pytest.raises(UsageError):
        Peer.parse(text)


@pytest.mark.parametrize("text", ["A B@host:104", "X@[::1]:11112", "X@10.0.0.1:4242"])
def test_a_peer_is_written_as_it_is_read(text: str) -> None:
    assert str(Peer.parse(text)) == text


@pytest.mark.parametrize(
    "query",
    [
        Query("patient"),
        Query("series"),
        Query("image", {"StudyInstanceUID": "1.2"}),
        Query("study", {"No": "1"}),
    ],
)
def test_queries_that_no_peer_could_answer(query: Query) -> None:
    with pytest.raises(UsageError):
        query.check()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = outgoing(peers.objects(tmp_path, 1)[0])
    assert made.transfer_syntax == "1.2.840.10008.1.2.1"
    monkeypatch.setitem(__import__("sys").modules, "pynetdicom._config", None)
    with pytest.raises(MissingExtra, match=r"diaphane\[serve\]"):
        find(Query(), Line(Peer("A", "127.0.0.1", 1)))
