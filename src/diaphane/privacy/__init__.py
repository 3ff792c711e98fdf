"""Identity stays at the door: keyed pseudonyms, cases without identity, and the audit chain."""

from diaphane.privacy.audit import AuditChain
from diaphane.privacy.events import Event, Verdict, study_pseudonym
from diaphane.privacy.keys import home_folder, load_key
from diaphane.privacy.plain import plain
from diaphane.privacy.pseudonyms import Pseudonymiser
from diaphane.privacy.text import without_switches

__all__ = [
    "AuditChain",
    "Event",
    "Pseudonymiser",
    "Verdict",
    "home_folder",
    "load_key",
    "plain",
    "study_pseudonym",
    "without_switches",
]
