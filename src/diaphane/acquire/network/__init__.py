"""The client side of the network: peers are asked, sent to and fetched from."""

from diaphane.acquire.network.association import Line, associated, echo
from diaphane.acquire.network.committing import Promise, commit
from diaphane.acquire.network.finding import Query, fetch, find, move
from diaphane.acquire.network.peer import Peer, Tls, ae_title, as_word, require_pynetdicom
from diaphane.acquire.network.sending import Delivery, Outgoing, outgoing, send
from diaphane.acquire.network.web import Web, is_web

__all__ = [
    "Delivery",
    "Line",
    "Outgoing",
    "Peer",
    "Promise",
    "Query",
    "Tls",
    "Web",
    "ae_title",
    "as_word",
    "associated",
    "commit",
    "echo",
    "fetch",
    "find",
    "is_web",
    "move",
    "outgoing",
    "require_pynetdicom",
    "send",
]
