"""Receiving, with DCMTK's senders: nothing acknowledged is lost, and nobody else gets in."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

import peers
from diaphane.privacy.audit import AuditChain

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(peers.program("storescu") is None, reason="DCMTK's storescu is not here"),
]
Start = Callable[..., Any]


def echo(port: int, *words: str, called: str = "DIAPHANE") -> int:
    return subprocess.run(
        [str(peers.program("echoscu")), *words, "-aec", called, "127.0.0.1", str(port)],
        capture_output=True, check=False,
    ).returncode  # fmt: skip


def handed_on(running: Any, count: int) -> dict[str, list[Path]]:
    """Once so many objects are."""
    peers.until(lambda: sum(map(len, running.studies().values())) >= count)
    return dict(running.studies())


def test_nothing_acknowledged_is_lost_in_five_kills(receive: Start, tmp_path: Path) -> None:
    count, kills = 300, 5
    sent = peers.objects(tmp_path / "sent", count, studies=12)
    running = receive("--quiet-for", 1)
    storm = peers.Storm(running.port, sent, senders=10)
    for number in range(kills):
        storm.wait((number + 1) * count // (kills + 2))
        running.kill()
        running.start()
    storm.join()
    assert sorted(storm.acknowledged) == sorted(sent)
    found = handed_on(running, count)
    peers.until(lambda: not any((running.out / "incoming").iterdir()))
    assert running.stop().returncode == 0
    expected = {peers.instance(path): peers.data_set(path) for path in sent}
    places = Counter(path.stem for files in found.values() for path in files)
    assert places == Counter(expected.keys())  # each exactly once
    for files in found.values():
        for path in files:
            assert peers.data_set(path) == expected[path.stem]
            assert pydicom.dcmread(path).file_meta.MediaStorageSOPInstanceUID == path.stem
    assert AuditChain().verify().intact


def test_a_study_is_handed_on_once_and_what_comes_late_beside_it(
    receive: Start, tmp_path: Path
) -> None:
    sent = peers.objects(tmp_path / "sent", 5)
    study = str(pydicom.dcmread(sent[0]).StudyInstanceUID)
    running = receive("--quiet-for", 0.5)
    assert len(peers.storescu(running.port, sent[:3])) == 3
    handed_on(running, 3)
    assert len(peers.storescu(running.port, sent)) == 5  # three of them again
    found = handed_on(running, 5)
    assert {name: len(files) for name, files in found.items()} == {study: 3, f"{study}_2": 2}


def test_other_bytes_under_the_same_uid_are_refused(receive: Start, tmp_path: Path) -> None:
    first = peers.objects(tmp_path / "sent", 1)[0]
    other = tmp_path / "other.dcm"
    data = pydicom.dcmread(first)
    data.PatientName = "Another^One"
    data.save_as(other)
    running = receive("--quiet-for", 0.5, "--json")
    assert peers.storescu(running.port, [first]) == [first]
    assert peers.storescu(running.port, [other]) == []
    [kept] = handed_on(running, 1).values()
    assert peers.storescu(running.port, [other]) == []  # nor after that
    assert peers.data_set(kept[0]) == peers.data_set(first)
    told = json.loads(running.stop().stdout)
    assert told["objects"] == {"other_bytes": 2, "stored": 1}


def test_every_encoding_is_kept_as_it_was_sent(receive: Start, tmp_path: Path) -> None:
    plain = peers.objects(tmp_path / "sent", 1)[0]
    running = receive("--quiet-for", 8)
    options = {"+ti": "-xi", "+te": "-xe", "+tb": "-xb", "+td": "-xd"}
    sent = []
    for number, (convert, offer) in enumerate(options.items()):
        data = pydicom.dcmread(plain)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        data.OtherPatientIDsSequence = [pydicom.Dataset()]
        data.OtherPatientIDsSequence[0].PatientID = "inner"
        data.save_as(tmp_path / "plain.dcm")
        path = tmp_path / f"{number}.dcm"
        subprocess.run(
            [str(peers.program("dcmconv")), convert, "-e", str(tmp_path / "plain.dcm"), str(path)],
            check=True,
        )
        assert peers.storescu(running.port, [path], offer) == [path]
        sent.append(path)
    [found] = handed_on(running, len(sent)).values()
    for path in sent:
        kept = next(file for file in found if file.stem == peers.instance(path))
        assert pydicom.dcmread(kept).file_meta.TransferSyntaxUID == (
            pydicom.dcmread(path).file_meta.TransferSyntaxUID
        )
        # DCMTK encodes anew what it sends; what it would send is in the values.
        assert pydicom.dcmread(kept) == pydicom.dcmread(path)


def test_only_known_peers_get_in(receive: Start, tmp_path: Path) -> None:
    running = receive("--peer", "SCANNER@127.0.0.1", "--peer", "OTHER@10.9.8.7")
    assert echo(running.port, "-aet", "SCANNER") == 0
    assert echo(running.port, "-aet", "SCANNER", called="WRONG") != 0
    assert echo(running.port, "-aet", "STRANGER") != 0
    assert echo(running.port, "-aet", "OTHER") != 0  # from another address
    said = running.stop().stderr
    assert said.count("rejected") == 3
    assert said.count("add it as --peer") == 2
    assert "it calls another title than ours" in said


def test_there_is_an_end_to_associations_and_to_room(receive: Start, tmp_path: Path) -> None:
    small, large = (peers.objects(tmp_path / str(s), 1, side=s)[0] for s in (16, 1024))
    running = receive("--max-associations", 1, "--max-object", 1, "--json")
    assert peers.storescu(running.port, [small, large]) == [small]
    with socket.create_connection(("127.0.0.1", running.port)):
        peers.until(lambda: echo(running.port) != 0)
    peers.until(lambda: echo(running.port) == 0)
    assert json.loads(running.stop().stdout)["objects"] == {"stored": 1, "too_large": 1}
    free = shutil.disk_usage(tmp_path).free // 2**20
    running = receive("--keep-free", free * 2, "--json", out=tmp_path / "full")
    assert peers.storescu(running.port, [small]) == []
    assert json.loads(running.stop().stdout)["objects"] == {"disk_full": 1}


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x01\0\xff\xff\xff\xff",
        b"\x01\0\0\0\0\x10" + bytes(16),
        b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x03",
        struct.pack(">BxI", 1, 74)
        + b"\0\1\0\0"
        + b"DIAPHANE".ljust(16)
        + b"X".ljust(16)
        + bytes(38),
    ],
)
def test_what_is_no_dicom_ends_its_own_connection_only(receive: Start, said: bytes) -> None:
    running = receive()
    with socket.create_connection(("127.0.0.1", running.port), 20) as line:
        line.sendall(said)
        line.settimeout(20)
        while line.recv(4096):
            pass
    assert echo(running.port) == 0


def test_a_folder_has_one_receiver_and_others_are_denied(receive: Start, tmp_path: Path) -> None:
    first = receive()
    second = receive(out=first.out).stop()
    assert second.returncode == 2
    assert "Another receiver" in second.stderr
    outside = receive("--host", "0.0.0.0", out=tmp_path / "outside").stop()
    assert outside.returncode == 2
    assert "--peer" in outside.stderr


def test_names_stay_out_of_logs_and_of_the_queue(receive: Start, tmp_path: Path) -> None:
    sent = peers.objects(tmp_path / "sent", 2)
    running = receive("--quiet-for", 0.5)
    peers.storescu(running.port, sent)
    handed_on(running, 2)
    peers.until(lambda: list((running.out / "queue" / "done").glob("*.json")))
    done = running.stop()
    assert "2 objects" in done.stderr
    uids = {str(pydicom.dcmread(path)[tag].value) for path in sent for tag in (0x80018, 0x20000D)}
    for word in (*uids, "Wolkenstein", "Oswald", "ID000000"):
        assert word not in done.stderr + done.stdout


def test_tls_checks_both_sides(receive: Start, tmp_path: Path) -> None:
    openssl = peers.program("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    for who in ("authority", "ours", "theirs", "stranger"):
        sign = (
            []
            if who in ("authority", "stranger")
            else ["-CA", "authority.pem", "-CAkey", "authority.key"]
        )
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", f"/CN={who}", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", f"{who}.key", "-out", f"{who}.pem", *sign],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    mine = {name: tmp_path / f"ours.{name}" for name in ("pem", "key")}
    running = receive(
        "--tls-cert", mine["pem"], "--tls-key", mine["key"], "--tls-ca", tmp_path / "authority.pem"
    )

    def secured(who: str) -> int:
        pair = [str(tmp_path / f"{who}.key"), str(tmp_path / f"{who}.pem")]
        return echo(running.port, "+tls", *pair, "+cf", str(tmp_path / "authority.pem"))

    assert secured("theirs") == 0
    assert secured("stranger") != 0
    assert echo(running.port) != 0
