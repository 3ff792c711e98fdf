"""The verb ``bundles``: list, verify, show, import, export."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from diaphane.cli import app


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path / "home"))


def run(*args):
    return CliRunner().invoke(app, ["bundles", *map(str, args)])


def test_the_life_of_a_bundle(home, toy_bundle, tmp_path):
    packed = tmp_path / "toy.zip"
    assert run("export", toy_bundle, "--out", packed).exit_code == 0
    assert run("verify", packed).exit_code == 0
    assert run("import", packed).exit_code == 0
    found = run()
    assert found.exit_code == 0
    line = next(line for line in found.output.splitlines() if line.startswith("toy"))
    for word in ("1.0.0", "binary", "MB", "CC0-1.0", "user"):
        assert word in line
    rows = json.loads(run("--json").stdout)["bundles"]
    assert any(row["name"] == "toy" and row["origin"] == "user" for row in rows)
    assert "# Toy" in run("show", "toy").output
    shown = json.loads(run("show", "toy", "--json").stdout)
    assert shown["classes"] == ["benign", "malignant"]
    assert "seen" not in shown
    again = run("import", packed)
    assert again.exit_code == 2
    assert "--replace" in again.output
    assert run("import", packed, "--replace", "--quiet").output == ""


def test_export_names_the_file_itself(home, toy_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("export", toy_bundle).exit_code == 0
    assert (tmp_path / "toy-1.0.0.zip").is_file()


def test_changed_byte(home, toy_bundle, tmp_path):
    copy = shutil.copytree(toy_bundle, tmp_path / "copy")
    (copy / "card.md").write_text("changed")
    for action in ("verify", "import", "export", "show"):
        found = run(action, copy)
        assert found.exit_code == 3
        assert "card.md" in found.output
        assert "Traceback" not in found.output
    found = json.loads(run("verify", copy, "--json").stdout)
    assert found["error"] == "BundleCorrupt"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("verify",), 2),
        (("verify", "nothing-of-that-name"), 3),
        (("list", "toy"), 2),
        (("burn", "toy"), 2),
    ],
)
def test_wrong_usage(home, args, code):
    found = run(*args)
    assert found.exit_code == code, found.output
    assert "Traceback" not in found.output


def test_export_wants_a_file(home, toy_bundle, tmp_path):
    (tmp_path / "folder").mkdir()
    done = run("export", toy_bundle, "--out", tmp_path / "folder")
    assert done.exit_code == 2
    assert "FILE.zip" in done.output
    assert list((tmp_path / "folder").iterdir()) == []
