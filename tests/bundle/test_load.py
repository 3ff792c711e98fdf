"""Loading and verifying: folders, zips, and everything that can be wrong with them."""

import json
import shutil
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from diaphane.bundle import (
    export_bundle,
    import_bundle,
    installed,
    load_bundle,
    verify,
)
from diaphane.bundle.archive import SUMS, sums_of
from diaphane.core.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleTooNew,
    UnsafeArchive,
    UsageError,
)


@pytest.fixture
def copy(toy_bundle, tmp_path):
    return shutil.copytree(toy_bundle, tmp_path / "copy")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "home"))


def resigned(folder):
    """Hashes made to fit again, as someone who means harm would."""
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != SUMS}
    (folder / SUMS).write_bytes(sums_of(files))
    return folder


def edited(folder, **changes):
    manifest = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**manifest, **changes}))
    return resigned(folder)


def test_shipped_manifests_are_written_as_they_were_read():
    shipped = [found for found in installed() if found.origin == "shipped"]
    assert shipped
    for found in shipped:
        text = (found.path / "bundle.json").read_text(encoding="utf-8")
        assert verify(found.path).manifest.to_json() == text


def test_folder_and_zip_are_the_same_bundle(toy_bundle, tmp_path):
    there = load_bundle(toy_bundle)
    packed = export_bundle(toy_bundle, tmp_path / "toy.zip")
    back = load_bundle(packed)
    assert back.sha256 == there.sha256
    assert back.manifest == there.manifest
    assert back.card == "# Toy\n"
    again = export_bundle(packed, tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()


def test_sums_are_what_sha256sum_checks(toy_bundle):
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not here")
    done = subprocess.run(
        ["sha256sum", "-c", SUMS], cwd=toy_bundle, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_files_at_the_root_of_a_zip(toy_bundle, tmp_path):
    path = tmp_path / "flat.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in toy_bundle.iterdir():
            archive.write(file, file.name)
    assert load_bundle(path).name == "toy"


def test_run_folder_stands_for_its_bundle(toy_bundle, tmp_path):
    shutil.copytree(toy_bundle, tmp_path / "run" / "bundle")
    assert load_bundle(tmp_path / "run").name == "toy"


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "card.md", "reference.safetensors"])
def test_changed_byte_names_the_file(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleCorrupt, match=name):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "card.md", "LICENSE", SUMS])
def test_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleCorrupt, match=name):
        load_bundle(copy)


def test_file_that_is_not_listed(copy):
    (copy / "extra.txt").write_text("hello")
    with pytest.raises(BundleCorrupt, match=r"extra\.txt"):
        load_bundle(copy)


def test_newer_schema(copy):
    with pytest.raises(BundleTooNew, match="schema version 2"):
        load_bundle(edited(copy, schema_version=2, something_new=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"task": "regression"}, "task"),
        ({"classes": ["a", "a"]}, "classes"),
        ({"positive": "benign"}, "negative first"),
        ({"name": "../toy"}, "lower-case"),
        ({"schema_version": "1"}, "schema_version"),
    ],
)
def test_wrong_manifest_names_the_field(copy, changes, said):
    with pytest.raises(BundleCorrupt, match=said):
        load_bundle(edited(copy, **changes))


def test_manifest_that_is_not_json(copy):
    (copy / "bundle.json").write_text("{")
    with pytest.raises(BundleCorrupt, match="not JSON"):
        load_bundle(resigned(copy))


def test_graph_that_is_not_a_graph(copy):
    (copy / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleCorrupt, match=r"model\.onnx"):
        verify(resigned(copy))


def test_reference_that_does_not_fit(copy):
    (copy / "reference.safetensors").write_bytes(save({"mean": np.zeros((1, 2), np.float32)}))
    with pytest.raises(BundleCorrupt, match=r"reference\.safetensors"):
        load_bundle(resigned(copy))


def test_pickles_are_not_opened(copy):
    """An npz of objects in place of the reference is refused, not unpickled."""
    np.savez(copy / "reference.npz", mean=np.array([{"a": 1}], dtype=object))
    (copy / "reference.npz").rename(copy / "reference.safetensors")
    with pytest.raises(BundleCorrupt, match=r"reference\.safetensors"):
        load_bundle(resigned(copy))


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "a/../../evil", "..\\evil", "C:evil", "a//b"]
)
def test_zip_that_writes_outside(toy_bundle, tmp_path, name):
    path = export_bundle(toy_bundle, tmp_path / "toy.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(UnsafeArchive):
        load_bundle(path)


def test_zip_with_a_link(toy_bundle, tmp_path):
    path = export_bundle(toy_bundle, tmp_path / "toy.zip")
    entry = zipfile.ZipInfo("toy/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="link"):
        load_bundle(path)


def test_zip_bomb(toy_bundle, tmp_path):
    path = export_bundle(toy_bundle, tmp_path / "toy.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("toy/zeros", bytes(32 << 20))
    with pytest.raises(UnsafeArchive, match="unpack"):
        load_bundle(path)


def test_name_twice_in_a_zip(toy_bundle, tmp_path):
    path = export_bundle(toy_bundle, tmp_path / "toy.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("toy/card.md", "other")
    with pytest.raises(UnsafeArchive, match="twice"):
        load_bundle(path)


@pytest.mark.parametrize("keep", [10, 0.5])
def test_truncated_zip(toy_bundle, tmp_path, keep):
    path = export_bundle(toy_bundle, tmp_path / "toy.zip")
    data = path.read_bytes()
    path.write_bytes(data[: keep if keep > 1 else int(len(data) * keep)])
    with pytest.raises(BundleCorrupt, match="zip"):
        load_bundle(path)


def test_unknown_name_and_folder_without_bundle(home, tmp_path):
    with pytest.raises(BundleNotFound, match="no bundle 'nothing-here'"):
        load_bundle("nothing-here")
    with pytest.raises(BundleNotFound, match=r"bundle\.json"):
        load_bundle(tmp_path)


def test_import_then_name(home, toy_bundle, tmp_path):
    packed = export_bundle(toy_bundle, tmp_path / "toy.zip")
    import_bundle(packed)
    assert load_bundle("toy").sha256 == load_bundle(toy_bundle).sha256
    (row,) = [b for b in installed() if b.origin == "user"]
    assert (row.name, row.version, row.task, row.licence) == ("toy", "1.0.0", "binary", "CC0-1.0")
    assert row.size > 0
    with pytest.raises(UsageError, match="already installed"):
        import_bundle(packed)
    import_bundle(packed, replace=True)


def test_import_refuses_what_is_damaged(home, copy):
    (copy / "card.md").write_text("changed")
    with pytest.raises(BundleCorrupt):
        import_bundle(copy)
    assert not [b for b in installed() if b.origin == "user"]


def test_damaged_bundle_is_listed_with_its_problem(home, toy_bundle):
    place = import_bundle(toy_bundle)
    (place / "bundle.json").write_text("{")
    (row,) = [b for b in installed() if b.origin == "user"]
    assert row.problem == "bundle.json is not JSON."


def test_extras_stay_inside(toys, tmp_path, toy_bundle):
    from diaphane.bundle import write_bundle

    model = toy_bundle / "model.onnx"
    for name in ("../x", "card.md", SUMS):
        with pytest.raises(UsageError):
            write_bundle(
                tmp_path / "b", toys.toy_manifest(), model, card="", licence="", extras={name: b""}
            )
    write_bundle(
        tmp_path / "b", toys.toy_manifest(), model, card="", licence="", extras={"x/y.txt": b"1"}
    )
    assert load_bundle(tmp_path / "b").reference is None


def test_full_disk_leaves_nothing(toy_bundle, tmp_path):
    """Under a file-size limit writing fails with a named error and no trace."""
    script = (
        "import sys, signal, resource\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from diaphane.bundle import export_bundle, load_bundle\n"
        "from diaphane.core.errors import OutputError\n"
        "load_bundle(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    export_bundle(sys.argv[1], sys.argv[2])\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    target = tmp_path / "out" / "toy.zip"
    done = subprocess.run(
        [sys.executable, "-c", script, str(toy_bundle), str(target)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "disk is full" in done.stdout
    assert list(target.parent.iterdir()) == []
