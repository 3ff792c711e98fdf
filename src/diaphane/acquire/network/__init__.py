"""The client side of the network: peers are asked, sent to and fetched from."""

from diaphane.acquire.network.association import Line, associated, echo
from diaphane.acquire.network.committing import Promise, commit
from diaphane.acquire.network.peer import Peer, Tls, ae_title, require_pynetdicom
from diaphane.acquire.network.sending import Delivery, Outgoing, outgoing, send

__all__ = [
    "Delivery",
    "Line",
    "Outgoing",
    "Peer",
    "Promise",
    "Tls",
    "ae_title",
    "associated",
    "commit",
    "echo",
    "outgoing",
    "require_pynetdicom",
    "send",
]
