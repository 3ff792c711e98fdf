"""Who may call: AE titles, addresses and limits."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from diaphane.acquire.network import Peer
from diaphane.core.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds of the line.

    Attributes
    ----------
    associations:
        At once.
    pdu_bytes:
        Largest PDU taken.
    idle_seconds:
        An association without a word for so long is aborted.
    request_seconds:
        A connection must ask for an association, and finish TLS, within this time.
    """

    associations: int = 32
    pdu_bytes: int = 131_072
    idle_seconds: float = 120.0
    request_seconds: float = 15.0


@dataclass(frozen=True)
class Access:
    """The called title, and the callers.

    Attributes
    ----------
    title:
        Own AE title; another called title is rejected.
    peers:
        Title, host (name, address, network such as 10.1.0.0/16, or ``*``) and, to report storage
        commitment there, port. Without any, callers on this machine are let in, no others.
    """

    title: str
    peers: Sequence[Peer] = ()

    def check(self) -> None:
        """Refuse hosts that cannot be understood, before anybody calls.

        Raises
        ------
        UsageError
            A host that is neither known by name nor an address nor a network.
        """
        for peer in self.peers:
            if peer.host != "*" and not _networks(peer.host):
                raise UsageError(
                    f"The host of '{peer}' is not known.",
                    remedy="Give a name that resolves, an address, a network (10.1.0.0/16) or *.",
                )

    def peer(self, title: str, address: str) -> Peer | None:
        """Who is calling; ``None`` for one who may not."""
        known = _address(address)
        if not self.peers:
            return Peer(title, address) if known.is_loopback else None
        for peer in self.peers:
            if peer.title != title:
                continue
            if peer.host == "*":
                return Peer(title, address, peer.port)
            if any(known in network for network in _networks(peer.host)):
                return Peer(title, address, peer.port)
        return None

    def reachable(self, address: str) -> bool:
        """Whether anybody at an address may call; others are not listened to."""
        return any(self.peer(title, address) for title in {p.title for p in self.peers} or {""})


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine only."""
    try:
        return _address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _networks(host: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """What a host means; names are looked up at every call, since addresses change."""
    try:
        return [ipaddress.ip_network(host, strict=False)]
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None)
        except OSError:
            return []
        return [ipaddress.ip_network(_address(str(entry[4][0]))) for entry in found]
