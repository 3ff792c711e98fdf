"""Text that may stay, and what tells who somebody is."""

from __future__ import annotations

import pytest

from diaphane.privacy.dicom.words import cleaned, identifiers_of, scrubbed

WHO = identifiers_of(
    names=["Nightingale^Florence", "van der Berg^Jan", "Müller^Zoë", "山田^太郎"],
    numbers=["NHS-1820", "4711", "AB12345"],
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
        "AB12345", "prefixAB12345", "山田さん", "Crimea", "Thomas",
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
