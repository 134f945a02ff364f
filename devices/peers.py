"""The address at the other end of a socket.

X-Forwarded-For is looked at nowhere: anyone can write it.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=256)  # asked several times a request
def peer_address(text: str | None) -> Address | None:
    """`None` where there is none, as on a Unix socket; an IPv4 client of a dual-stack socket is
    the IPv4 address that it has."""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def peer_text(text: str | None) -> str | None:
    """As stored in a row."""
    address = peer_address(text)
    return None if address is None else str(address)
