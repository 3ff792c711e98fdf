"""Masks of body, lungs and airways, proposal of candidates and the outline of a nodule."""

from diaphane.anatomy.candidates import Candidate, propose_candidates
from diaphane.anatomy.lungs import LEFT, RIGHT, Lungs, body_mask, locate, segment_lungs
from diaphane.anatomy.nodules import segment_nodule

__all__ = [
    "LEFT",
    "RIGHT",
    "Candidate",
    "Lungs",
    "body_mask",
    "locate",
    "propose_candidates",
    "segment_lungs",
    "segment_nodule",
]
