"""``analyze`` from Python: where results may go, and what is left when it fails."""

import json

import numpy as np
import pytest
from PIL import Image

from commands import diaphane
from diaphane import analyze
from diaphane.apps import find_app
from diaphane.core.errors import BundleNotFound, EmptyInput, UsageError
from diaphane.privacy import AuditChain


@pytest.fixture
def stack(tmp_path):
    folder = tmp_path / "stack"
    folder.mkdir()
    for z in range(3):
        plane = np.zeros((20, 20), np.uint8)
        plane[5:14, 4:12] = 120
        Image.fromarray(plane).save(folder / f"{z}.png")
    return folder


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    place = tmp_path_factory.mktemp("b") / "toy"
    return toys.write_toy(place, manifest=toys.eight_bit_manifest())


def names(folder):
    return {entry.name for entry in folder.iterdir()}


def test_an_earlier_result_is_replaced_and_nothing_else(stack, bundle, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    analyze(stack, bundle, out)
    first = names(out)
    assert {"findings.json", "report.html", "report.txt", "masks.nii.gz"} == first
    analyze(stack, bundle, out)
    assert names(out) == first
    (out / "thesis.docx").write_text("mine")
    with pytest.raises(UsageError, match="other things"):
        analyze(stack, bundle, out)
    assert (out / "thesis.docx").read_text() == "mine"
    assert names(tmp_path) == {"stack", "out"}


@pytest.mark.parametrize("where", ["stack", "."])
def test_the_input_is_never_replaced(stack, bundle, where, tmp_path):
    with pytest.raises(UsageError, match="replace the input"):
        analyze(stack, bundle, tmp_path / where)
    assert len(names(stack)) == 3


def test_a_file_in_the_way(stack, bundle, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="a file"):
        analyze(stack, bundle, tmp_path / "out")


def test_a_failure_keeps_the_earlier_result(stack, bundle, tmp_path):
    analyze(stack, bundle, tmp_path / "out")
    before = (tmp_path / "out" / "findings.json").read_bytes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyInput):
        analyze(tmp_path / "empty", bundle, tmp_path / "out")
    assert (tmp_path / "out" / "findings.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lang": "fr"}, "'fr'"),
        ({"identity": "maybe"}, "'maybe'"),
        ({"points": [(0, 0, 0)]}, "takes no points"),
        ({"series": "3"}, "not DICOM"),
    ],
)
def test_wrong_calls(stack, bundle, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        analyze(stack, bundle, tmp_path / "out", **changes)
    assert names(tmp_path) == {"stack"}


def test_apps_by_name(bundle):
    assert find_app("lung-ct").name == "lung-ct"
    assert find_app(bundle).name == "generic"
    with pytest.raises(BundleNotFound):
        find_app("no-such-thing")


def test_nothing_is_written_without_out(stack, bundle, tmp_path):
    seen = []
    found = analyze(stack, bundle, progress=lambda stage, share: seen.append((stage, share)))
    assert len(found.findings) == 1
    assert names(tmp_path) == {"stack"}
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {"choose", "read", "model"} <= found.timings.keys()


def test_no_identity_and_no_path_in_findings(stack, bundle, tmp_path):
    analyze(stack, bundle, tmp_path / "out")
    text = (tmp_path / "out" / "findings.json").read_text()
    assert str(tmp_path) not in text
    assert "stack" not in json.loads(text).get("pseudonym", "")


def test_an_analysis_is_entered_in_the_audit_chain(stack, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "home"))
    found = analyze(stack, bundle, tmp_path / "out")
    ((entry, fault),) = AuditChain().entries()
    assert not fault
    assert (entry.event.action, entry.event.study) == ("analyze", found.pseudonym)
    assert entry.event.detail["bundle_1"] == found.bundles[0].sha256
    # A chain that does not hold stops nobody, and is said.
    chain = tmp_path / "home" / "audit.jsonl"
    chain.write_bytes(chain.read_bytes() + b"{}\n")
    again = analyze(stack, bundle, tmp_path / "out")
    assert ("not_audited", {}) in again.notes
    said = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert "not_audited" in [note["code"] for note in said["notes"]]
    assert "not recorded there" in (tmp_path / "out" / "report.html").read_text()
    done = diaphane("analyze", stack, "--with", bundle, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 0
    assert "audit chain could not be written" in done.stderr
