"""Identity stays at the door: keyed pseudonyms, and cases without identity."""

from diaphane.privacy.keys import home_folder, load_key
from diaphane.privacy.plain import plain
from diaphane.privacy.pseudonyms import Pseudonymiser

__all__ = ["Pseudonymiser", "home_folder", "load_key", "plain"]
