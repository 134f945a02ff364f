"""Under which addresses and names cameras and browsers reach this machine."""

from __future__ import annotations

import ipaddress
import re
import socket

import ifaddr

# Bridges and cables of containers and virtual machines: nobody on the LAN reaches them. In a
# container the machine's own interface is called eth0, so a name is a better sign than a range.
_VIRTUAL = re.compile(
    r"^(docker|br-|veth|virbr|vnet|lxc|lxd|cni|cali|flannel|podman|kube|weave|tun|tap|wg|tailscale|zt)"
)


def lan_addresses() -> list[str]:
    """IPv4 addresses that cameras can dial, sorted; [] without a network. Never loopback."""
    found = set()
    for adapter in ifaddr.get_adapters():
        if _VIRTUAL.match(adapter.name):
            continue
        for address in adapter.ips:
            if isinstance(address.ip, str) and _is_reachable(address.ip):
                found.add(address.ip)
    return sorted(found, key=ipaddress.IPv4Address)


def _is_reachable(text: str) -> bool:
    address = ipaddress.IPv4Address(text)
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def announced_name() -> str:
    """The name that mDNS gives our addresses: one of our own, because `raspberrypi.local` may be
    announced by the system's responder, with container addresses in it."""
    return f"roost-{host_name()}.local"


def host_name() -> str:
    """The machine's short name, fit for DNS: `raspberrypi`."""
    short = socket.gethostname().split(".")[0]
    return re.sub(r"[^a-z0-9-]+", "-", short.lower()).strip("-") or "roost"
