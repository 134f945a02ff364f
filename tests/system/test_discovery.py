"""mDNS as the firmware asks: one question, one packet with everything in it."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable

import pytest
from zeroconf import NonUniqueNameException, ServiceInfo
from zeroconf._dns import DNSAddress, DNSPointer, DNSService, DNSText
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf.asyncio import AsyncZeroconf

from system import addresses, discovery
from system.discovery import INSTANCE, SERVICE_TYPE, Announcer

GROUP = ("224.0.0.251", 5353)


@pytest.fixture
async def announcer() -> AsyncIterator[Announcer]:
    """On loopback only, under a name of its own: other recorders may run on this machine."""
    announcer = Announcer(41450, f"roost-test-{secrets.token_hex(4)}.local")
    yield announcer
    await announcer.close()


def ask_once(port: int, limit_s: float = 5) -> DNSIncoming | None:
    """One PTR question from a port of our own, as a resolver without a cache sends it; the first
    packet that answers for the recorder on `port`."""
    question = b"".join(
        bytes([len(label)]) + label.encode() for label in SERVICE_TYPE.rstrip(".").split(".")
    )
    # Responders ignore a packet equal to one of the last second: hence the number.
    number = secrets.randbelow(65535) + 1
    packet = (
        struct.pack(">6H", number, 0, 1, 0, 0, 0) + question + b"\0" + struct.pack(">2H", 12, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(limit_s)
        asking.sendto(packet, GROUP)
        while True:
            try:
                answer = DNSIncoming(asking.recv(9000))
            except TimeoutError:
                return None
            if any(isinstance(r, DNSService) and r.port == port for r in answer.answers()):
                return answer


async def ask(port: int) -> DNSIncoming | None:
    return await asyncio.to_thread(ask_once, port)


async def test_one_packet_answers_everything_the_firmware_needs(announcer: Announcer) -> None:
    assert await announcer.follow(["127.0.0.1"])
    answer = await ask(41450)
    assert answer is not None
    records = answer.answers()
    pointer = next(r for r in records if isinstance(r, DNSPointer) and r.name == SERVICE_TYPE)
    assert pointer.alias.startswith(INSTANCE), "a number follows where another recorder has it"
    service = next(r for r in records if isinstance(r, DNSService) and r.name == pointer.alias)
    assert service.server.endswith(".local.")
    text = next(r for r in records if isinstance(r, DNSText) and r.name == pointer.alias)
    for pair in (b"version=1.0.0", b"secure=true", b"wsPath=/ws"):
        assert bytes([len(pair)]) + pair in text.text
    found = [r.address for r in records if isinstance(r, DNSAddress) and r.name == service.server]
    assert found == [socket.inet_aton("127.0.0.1")]


async def test_it_follows_the_addresses_and_says_good_bye(announcer: Announcer) -> None:
    assert await announcer.follow(["127.0.0.1"])
    assert not await announcer.follow(["127.0.0.1"]), "nothing to say anew"
    assert not await announcer.follow([])
    assert not announcer.is_announcing
    assert await asyncio.to_thread(ask_once, 41450, 1.0) is None
    assert await announcer.follow(["127.0.0.1"])
    assert await ask(41450) is not None


async def test_it_waits_for_a_network_and_says_so_once(
    announcer: Announcer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await announcer.follow([])
    assert sum("No network" in record.message for record in caplog.records) == 1


async def test_an_interface_that_is_still_coming_up_costs_one_try(
    announcer: Announcer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_options: object) -> None:
        raise OSError(19, "No such device")

    with monkeypatch.context() as patched:
        patched.setattr(discovery, "AsyncZeroconf", refuse)
        assert not await announcer.follow(["127.0.0.1"])
    assert "No such device" in caplog.text
    assert await announcer.follow(["127.0.0.1"]), "and the next one works"


async def test_two_recorders_are_both_found(announcer: Announcer) -> None:
    await announcer.follow(["127.0.0.1"])
    second = Announcer(41451, f"roost-test-{secrets.token_hex(4)}.local")
    try:
        assert await second.follow(["127.0.0.1"])
        assert await ask(41450) is not None
        assert await ask(41451) is not None
    finally:
        await second.close()


class Claimed(AsyncZeroconf):
    """On a network where somebody answers to every name that is asked for: it is mine."""

    async def async_register_service(
        self,
        info: ServiceInfo,
        ttl: int | None = None,
        allow_name_change: bool = False,
        cooperating_responders: bool = False,
        strict: bool = True,
    ) -> Awaitable[None]:
        assert not allow_name_change, "zeroconf would go on renaming for ever"
        if not cooperating_responders:
            raise NonUniqueNameException
        return await super().async_register_service(info, ttl, cooperating_responders=True)


async def test_nobody_keeps_it_from_being_found_by_claiming_its_names(
    announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "AsyncZeroconf", Claimed)
    assert await announcer.follow(["127.0.0.1"])
    answer = await ask(41450)
    assert answer is not None
    aliases = [record.alias for record in answer.answers() if isinstance(record, DNSPointer)]
    assert any(re.fullmatch(rf"{INSTANCE}-[0-9a-f]{{8}}\..+", alias) for alias in aliases), aliases


class Adapter:
    def __init__(self, name: str, *found: str) -> None:
        self.name = name
        self.ips = [type("IP", (), {"ip": address}) for address in found]


def test_cameras_are_told_no_address_that_they_cannot_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapters = [
        Adapter("lo", "127.0.0.1"),
        Adapter("docker0", "172.17.0.1"),
        Adapter("br-3f2a", "172.18.0.1"),
        Adapter("veth12ab", "169.254.3.4"),
        Adapter("wlan0", "192.168.1.23"),
        Adapter("eth0", "10.0.0.5"),
    ]
    monkeypatch.setattr("ifaddr.get_adapters", lambda: adapters)
    assert addresses.lan_addresses() == ["10.0.0.5", "192.168.1.23"]


def test_a_recorder_inside_a_container_has_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the interface is called eth0, whatever the range."""
    monkeypatch.setattr("ifaddr.get_adapters", lambda: [Adapter("eth0", "172.17.0.2")])
    assert addresses.lan_addresses() == ["172.17.0.2"]
