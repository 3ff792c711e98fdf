"""Text that may stay, and what tells who somebody is."""

from __future__ import annotations

import pytest

from diaphane.privacy.dicom.words import cleaned, identifiers_of, scrubbed

WHO = identifiers_of(
    names=["Nightingale^Florence", "van der Berg^Jan", "Müller^Zoë", "Sørensen^A", "山田^太郎"],
    numbers=["NHS-1820", "4711", "AB12345", "83914627", "ACQ7719035"],
    places=["St Thomas Hospital", "Chest Clinic Crimea"],
    dates=["18200512"],
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT Chest w contrast NIGHTINGALE FLORENCE 1234567", "CT Chest w contrast"),
        ("MR T2_tse_tra_p2 Dr. Long", "MR T2_tse_tra_p2"),
        ("ep2d_diff_3scan_trace", "ep2d_diff_3scan_trace"),
        ("Smith, John, 45 y old, CT THORAX/ABDOMEN 1.5mm B30f", "CT THORAX/ABDOMEN 1.5mm B30f"),
        ("Brain 3 x 3 x 5 mm +1 (555) 123-4567", "Brain 3 x 3 x 5 mm"),
        ("knee left 12 Mar 1980", "knee left"),
        ("chest 12/03/1980 10:35:00", "chest"),
        ("lung, see https://pacs.example/1 or mail a.b@example.org", "lung, or"),
        ("", ""),
        ("Kowalczyk", ""),
    ],
)
def test_only_words_of_technique_stay(text, left):
    assert cleaned(text, WHO) == left


@pytest.mark.parametrize(
    "text",
    [
        "PACS Nightingale", "pacs NIGHTINGALES", "xFlorencex", "Muller", "MÜLLER", "zoe",
        "scan of 4711", "NHS-1820", "nhs-1820 again", "1820-05-12", "12.05.1820", "18200512",
        "AB12345", "prefixAB12345", "山田さん", "Crimea", "Thomas", "839-14-627", "839 146 27",
        "83.914.627", "AB-123.45", "NHS 1820", "12 MAY 1820", "May 12th, 1820",
        "12.5.1820", "ACQ-7719035", "7719035", "MUELLER", "Sorensen", "Soerensen",
    ],
)  # fmt: skip
def test_identifiers_are_found_however_written(text):
    assert WHO.told_by(text)
    assert not WHO.told_by(scrubbed(text, WHO))
    assert not WHO.told_by(cleaned(text, WHO))


@pytest.mark.parametrize(
    "text", ["B30f", "syngo CT VB20A", "chest", "147112", "1.2.3", "Acme 7T", "van"]
)
def test_what_tells_nobody_stays(text):
    assert not WHO.told_by(text)
    assert scrubbed(text, WHO) == text


def test_machine_text_keeps_its_rest():
    assert scrubbed("Coil NIGHTINGALE rev 2", WHO) == "Coil rev 2"


def test_uids_of_instances_go_from_machine_text_and_versions_stay():
    uid = "1.2.276.0.7230010.3.1.2.8323329.5555.1"
    others = "1.2.840.10008.5.1.4.1.1.2 v1.2.3.4.5.6"
    assert scrubbed(f"{others} of {uid}", WHO).strip() == f"{others} of"


def test_a_number_counts_however_it_is_written():
    who = identifiers_of([], ["0083914627", "123"], [])
    assert all(
        map(who.counts, ("83914627", "+83914627", "8.3914627E7", "83914627.0 ", "083914627"))
    )
    assert not any(map(who.counts, ("83914628", "123", "839", "x", "")))
