"""Keyed pseudonyms and plain cases."""

from __future__ import annotations

import os
import pickle
import stat
import threading

import numpy as np
import pytest

from diaphane.core.case import Case, Identified, Identity, Series, SourceRef
from diaphane.core.errors import OutputError, PrivacyError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser, home_folder, load_key, plain

VOLUME = Volume(np.zeros((1, 2, 2), np.uint8), Geometry((1, 2, 2)))
WHO = Identity(patient_name="Nightingale^Florence", patient_id="NHS-1820", study_uid="1.2.3")


def test_same_text_same_pseudonym_and_never_the_text(tmp_path):
    names = Pseudonymiser.load(tmp_path)
    first = names.pseudonym("NHS-1820")
    assert (
        first == names.pseudonym("NHS-1820") == Pseudonymiser.load(tmp_path).pseudonym("NHS-1820")
    )
    assert first.startswith("P-")
    assert len(first) == 18
    assert first != names.pseudonym("NHS-1821")
    assert first[2:] != names.pseudonym("NHS-1820", "case")[2:]
    assert names.key.hex() not in repr(names)


def test_names_that_are_not_unicode(tmp_path):
    assert Pseudonymiser.load(tmp_path).pseudonym("caf\udce9.dcm", "case").startswith("C-")


def test_other_keys_other_pseudonyms(tmp_path):
    one = Pseudonymiser.load(tmp_path / "a").pseudonym("x")
    assert one != Pseudonymiser.load(tmp_path / "b").pseudonym("x")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_key_is_for_its_owner_only(tmp_path):
    load_key(tmp_path / "home")
    path = tmp_path / "home" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    load_key(tmp_path / "home")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["pseudonym.key"]


def test_threads_that_start_together_get_one_key(tmp_path):
    keys = []
    threads = [
        threading.Thread(target=lambda: keys.append(load_key(tmp_path / "h"))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 12
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", ["", "not hex", "abcd"])
def test_damaged_key(tmp_path, content):
    (tmp_path / "pseudonym.key").write_text(content)
    with pytest.raises(PrivacyError, match="damaged"):
        load_key(tmp_path)


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="DIAPHANE_HOME"):
        load_key(tmp_path / "file" / "home")


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path))
    assert home_folder() == tmp_path
    monkeypatch.delenv("DIAPHANE_HOME")
    assert home_folder().name == ".diaphane"


def test_plain_case_has_the_patients_pseudonym(tmp_path):
    names = Pseudonymiser.load(tmp_path)
    case = plain(Identified(Case("C-1", {"image": VOLUME}), WHO), names)
    assert case.group == names.pseudonym("NHS-1820", "patient")
    assert "Nightingale" not in repr(case)
    nameless = plain(Identified(Case("C-1", {"image": VOLUME}), Identity(study_uid="1.2.3")), names)
    assert nameless.group == names.pseudonym("1.2.3", "study")
    by_name = Identity(patient_name="A^B", birth_date="20000101")
    assert plain(Identified(Case("C-1", {"image": VOLUME}), by_name), names).group.startswith("P-")
    nobody = plain(Identified(Case("C-1", {"image": VOLUME}), Identity()), names)
    assert nobody.group == ""


def test_a_stated_group_is_kept(tmp_path):
    case = Case("C-1", {"image": VOLUME}, group="G-1")
    assert plain(Identified(case, WHO), Pseudonymiser.load(tmp_path)).group == "G-1"


def test_plain_series_and_its_source(tmp_path):
    series = Series("S-1", 3, VOLUME, SourceRef([tmp_path / "Nightingale.dcm"]))
    identified = Identified(series, WHO)
    assert plain(identified) is series
    assert "Nightingale" not in repr(identified) + repr(series)
    with pytest.raises(PrivacyError):
        pickle.dumps(series.source)
