"""The house opened to others: the DICOM node that receives, queues and hands on.

Apps are handed in as functions; nothing here imports torch. Needs ``diaphane[serve]``.
"""

from diaphane.serve.access import Access, Limits
from diaphane.serve.receiver import Receiver, Service
from diaphane.serve.store import Room

__all__ = ["Access", "Limits", "Receiver", "Room", "Service"]
