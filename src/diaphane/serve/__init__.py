"""The house opened to others: the DICOM node that receives, queues and hands on.

Apps are handed in as functions; nothing here imports torch. Needs ``diaphane[serve]``.
"""

__all__: list[str] = []
