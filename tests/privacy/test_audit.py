"""The audit chain: every change shows, no crash does."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import diaphane
from diaphane.core.case import Identity
from diaphane.core.errors import EmptyInput, OutputError, PrivacyError
from diaphane.privacy import AuditChain, Event, Pseudonymiser, study_pseudonym

KEY = bytes(range(32))
STUDY = "E-0123456789abcdef"


def chain_of(folder: Path, entries: int) -> AuditChain:
    chain = AuditChain(folder / "audit.jsonl", KEY)
    for k in range(entries):
        chain.append(Event("send", STUDY, {"files": k, "peer": "PACS@10.0.0.7:104"}))
    return chain


def seal_of(chain: AuditChain) -> Path:
    return chain.path.with_name(chain.path.name + ".seal")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Chain and seal of six entries, and the seal as it was after four."""
    folder = tmp_path_factory.mktemp("chain")
    chain = chain_of(folder, 4)
    old = seal_of(chain).read_bytes()
    chain = chain_of(folder, 2)
    return chain.path.read_bytes(), seal_of(chain).read_bytes(), old


def put(folder: Path, chain: bytes | None, seal: bytes | None) -> AuditChain:
    made = AuditChain(folder / "audit.jsonl", KEY)
    for path, data in ((made.path, chain), (seal_of(made), seal)):
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
    return made


def test_what_was_done_can_be_read_again(tmp_path):
    chain = chain_of(tmp_path / "home", 3)
    found = chain.verify()
    assert (found.entries, found.faults, found.notes, found.intact) == (3, (), (), True)
    entries = [entry for entry, fault in chain.entries() if not fault]
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert entries[2].event == Event("send", STUDY, {"files": 2, "peer": "PACS@10.0.0.7:104"})
    assert entries[2].hash == found.head
    assert entries[2].time.endswith("+00:00")
    assert entries[0].user
    assert chain.verify(head=entries[0].hash).intact


def test_no_chain(tmp_path):
    with pytest.raises(EmptyInput):
        AuditChain(tmp_path / "audit.jsonl", KEY).verify()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_files_are_for_their_owner_only(tmp_path):
    chain = chain_of(tmp_path / "home", 1)
    chain.path.chmod(0o644)
    chain_of(tmp_path / "home", 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in chain.path.parent.iterdir()}
    assert modes == dict.fromkeys(("audit.jsonl", "audit.jsonl.seal", "audit.jsonl.lock"), 0o600)


@pytest.mark.parametrize(
    "event",
    [
        Event("send", "Nightingale^Florence"),
        Event("send", "1.2.840.113619.2.55"),
        Event("Send"),
        Event("send", STUDY, {"path": "/scans/nightingale/1.dcm"}),
        Event("send", STUDY, {"uid": "1.2.840.113619.2.55.3"}),
        Event("send", STUDY, {"name": "Nightingale^Florence"}),
        Event("send", STUDY, {"name": "Zoë"}),
        Event("send", STUDY, {"files": float("nan")}),
    ],
)
def test_identity_is_not_taken(tmp_path, event):
    chain = chain_of(tmp_path, 1)
    with pytest.raises(PrivacyError, match="codes"):
        chain.append(event)
    assert chain.verify().entries == 1


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="DIAPHANE_HOME"):
        chain_of(tmp_path / "file", 1)


@st.composite
def mutations(draw, data: bytes) -> bytes:
    """The chain with bytes changed, cut out or put in, or with lines dropped, doubled or moved."""
    lines = data.splitlines(keepends=True)
    at = st.integers(0, len(data) - 1)
    line = st.integers(0, len(lines) - 1)
    kind = draw(st.sampled_from(["flip", "cut", "insert", "truncate", "drop", "double", "move"]))
    if kind == "flip":
        k, mask = draw(at), draw(st.integers(1, 255))
        return data[:k] + bytes([data[k] ^ mask]) + data[k + 1 :]
    if kind == "cut":
        k = draw(at)
        return data[:k] + data[k + draw(st.integers(1, 400)) :]
    if kind == "insert":
        k = draw(at)
        return data[:k] + draw(st.binary(min_size=1, max_size=40)) + data[k:]
    if kind == "truncate":
        return data[: draw(at)]
    k = draw(line)
    taken = lines.pop(k)
    if kind == "double":
        lines.insert(k, taken)
    if kind != "drop":
        lines.insert(draw(st.integers(0, len(lines))), taken)
    return b"".join(lines)


@settings(max_examples=300, deadline=None)
@given(drawn=st.data())
def test_every_change_of_the_chain_shows(tmp_path_factory, written, drawn):
    whole, seal, _ = written
    changed = drawn.draw(mutations(whole))
    chain = put(tmp_path_factory.getbasetemp(), changed, seal)
    assert chain.verify().intact is (changed == whole)


@settings(max_examples=100, deadline=None)
@given(drawn=st.data())
def test_every_change_of_the_seal_shows(tmp_path_factory, written, drawn):
    whole, seal, _ = written
    changed = drawn.draw(mutations(seal))
    chain = put(tmp_path_factory.getbasetemp(), whole, changed)
    assert chain.verify().intact is (changed == seal)


def test_faults_are_told_apart(tmp_path, written):
    whole, seal, old = written
    lines = whole.splitlines(keepends=True)
    join = b"".join

    def said(chain: bytes | None, sealed: bytes | None) -> str:
        return " ".join(put(tmp_path, chain, sealed).verify().faults)

    assert "1 entries are missing" in said(join(lines[:2] + lines[3:]), seal)
    assert "cut off: 6 entries" in said(join(lines[:4]), seal)
    assert "cut off" in said(None, seal)
    assert "entry 3 stands after entry 4" in said(
        join([*lines[:2], lines[3], lines[2], *lines[4:]]), seal
    )
    assert "Line 2 was changed" in said(whole.replace(b'"files":1', b'"files":7'), seal)
    assert "put in" in said(join([*lines[:2], b"{}\n", *lines[2:]]), seal)
    assert "missing" in said(whole, None)
    assert "an old one" in said(whole, old)
    assert "cut short" in said(whole[:-9], seal)
    assert "not the one that was sealed" in said(whole, _other_seal(tmp_path / "other"))
    # Both files as they were after four entries hold in themselves; a noted head does not.
    noted = json.loads(lines[5])["hash"]
    back = put(tmp_path, join(lines[:4]), old)
    assert back.verify().intact
    assert back.verify(head=noted).faults == (
        "The noted head is not in the chain: an older copy was put back.",
    )
    other = AuditChain(back.path, bytes(32)).verify()
    assert "No line was signed with the key" in other.faults[0]


def _other_seal(folder: Path) -> bytes:
    return seal_of(chain_of(folder, 6)).read_bytes()


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_crash_is_told_from_tampering(tmp_path, cut, before):
    """The entry is on disk, whole or torn, and its count is not."""
    chain = chain_of(tmp_path, before)
    seal = seal_of(chain).read_bytes() if before else None
    sealed = chain.path.read_bytes() if before else b""
    chain_of(tmp_path, 1)
    whole = chain.path.read_bytes()
    for rest, kept in ((whole[len(sealed) :][:-cut], False), (whole[len(sealed) :], True)):
        put(tmp_path, sealed + rest, seal)
        found = chain.verify()
        assert found.intact
        assert len(found.notes) == 1
        chain.append(Event("delete"))
        found = chain.verify()
        assert (found.intact, found.notes, found.entries) == (True, (), before + 1 + kept)


@pytest.mark.parametrize("rest", [b"x", b"{}\n", b'{"action":"send"}\n', b"\n"])
def test_what_no_crash_explains_is_kept_as_it_is(tmp_path, written, rest):
    whole, seal, old = written
    for changed, count in ((whole + rest, seal), (whole, old), (whole, None), (whole[:-1], seal)):
        chain = put(tmp_path, changed, count)
        assert not chain.verify().intact
        with pytest.raises(PrivacyError, match="does not hold"):
            chain.append(Event("send"))
        assert chain.path.read_bytes() == changed


WRITER = """
import sys
from pathlib import Path
from diaphane.privacy import AuditChain, Event
chain = AuditChain(Path(sys.argv[1]), bytes(range(32)))
for k in range(int(sys.argv[2])):
    chain.append(Event("send", "", {"k": k}))
    print(k, flush=True)
"""


def writer(path: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(count)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_and_threads_at_once(tmp_path):
    path = tmp_path / "audit.jsonl"
    processes = [writer(path, 25) for _ in range(4)]
    threads = [threading.Thread(target=chain_of, args=(tmp_path, 25)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.communicate()[0].split()[-1] for process in processes] == ["24"] * 4
    found = AuditChain(path, KEY).verify()
    assert (found.faults, found.notes, found.entries) == ((), (), 150)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_what_was_acknowledged_survives_sigkill(tmp_path):
    chain = AuditChain(tmp_path / "audit.jsonl", KEY)
    acknowledged = 0
    for k in range(6):
        processes = [writer(chain.path, 10**6) for _ in range(2)]
        first = processes[0].stdout.readline()
        assert first == "0\n"
        time.sleep(0.013 * k)
        for process in processes:
            process.send_signal(signal.SIGKILL)
            acknowledged += len(process.communicate()[0].split())
        acknowledged += 1
        assert chain.verify().intact
    chain.append(Event("send"))
    found = chain.verify()
    assert found.intact
    assert not found.notes
    # A killed writer may have been heard no more about one entry that it wrote.
    assert acknowledged + 1 <= found.entries <= acknowledged + 1 + 12


def test_pseudonym_of_the_study():
    names = Pseudonymiser(KEY)
    by_uid = study_pseudonym(Identity(patient_id="7", study_uid="1.2.3"), names)
    assert by_uid == names.pseudonym("1.2.3", "study")
    assert study_pseudonym(Identity(patient_id="7"), names) == names.pseudonym("7", "patient")
    assert study_pseudonym(Identity(), names) == ""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An installation whose chain tells of two studies."""
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "home"))
    names = Pseudonymiser.load()
    chain = AuditChain()
    chain.append(Event("receive", names.pseudonym("1.2.3", "study"), {"files": 12}))
    chain.append(Event("analyze", names.pseudonym("1.2.3", "study"), {"app": "lung-ct"}))
    chain.append(Event("analyze", names.pseudonym("NHS-7", "patient")))
    return tmp_path / "home"


def test_verify_on_the_command_line(home):
    done = diaphane("audit", "verify")
    assert done.returncode == 0
    assert "3 entries, all hold" in done.stdout
    said = json.loads(diaphane("audit", "verify", "--json").stdout)
    assert said["intact"] is True
    assert diaphane("audit", "verify", "--head", said["head"]).returncode == 0
    assert diaphane("audit", "verify", "--head", "0" * 64).returncode == 3
    path = home / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"lung-ct", b"lung-xx"))
    done = diaphane("audit", "verify")
    assert done.returncode == 3
    assert "Line 2 was changed" in done.stderr
    assert json.loads(diaphane("audit", "verify", "--json").stdout)["intact"] is False
    assert "2!" not in diaphane("audit", "show").stdout
    assert "Line 2 was changed" in diaphane("audit", "show").stdout


def test_show_and_export_on_the_command_line(home, tmp_path):
    done = diaphane("audit", "show", "--study", "1.2.3", "--json")
    assert [row["action"] for row in json.loads(done.stdout)["entries"]] == ["receive", "analyze"]
    assert "1.2.3" not in done.stdout
    shown = diaphane("audit", "show", "--study", "NHS-7").stdout.splitlines()
    assert len(shown) == 2
    assert "NHS-7" not in "".join(shown)
    day = json.loads(done.stdout)["entries"][0]["time"][:10]
    one_day = ("audit", "show", "--json", "--since", day, "--until", day)
    assert len(json.loads(diaphane(*one_day).stdout)["entries"]) == 3
    late = diaphane("audit", "show", "--json", "--since", "2999-01-01")
    assert json.loads(late.stdout)["entries"] == []
    out = tmp_path / "chain.csv"
    assert diaphane("audit", "export", "--out", out, "--action", "analyze").returncode == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["2", "3"]
    assert json.loads(rows[0]["detail"]) == {"app": "lung-ct"}
    assert diaphane("audit", "export", "--out", tmp_path / "chain.jsonl").returncode == 0
    lines = (tmp_path / "chain.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["receive", "analyze", "analyze"]


@pytest.mark.parametrize(
    "words",
    [
        ("show", "--since", "yesterday"),
        ("export",),
        ("export", "--out", "chain.xlsx"),
        ("show", "--out", "chain.csv"),
        ("show", "--head", "00"),
        ("verify", "--study", "1.2.3"),
    ],
)
def test_wrong_usage(home, words):
    done = diaphane("audit", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_chain_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "empty"))
    done = diaphane("audit", "verify")
    assert done.returncode == 3
    assert "no audit chain" in done.stderr
