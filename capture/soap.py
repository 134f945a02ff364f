"""The little SOAP that finding an ONVIF camera takes: questions built, answers taken apart.

Pure. Answers come from strangers: XML is parsed by defusedxml without a DTD, elements are looked
for by their local names (cameras disagree about prefixes), and texts are cut.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_TEXT = 200
MAX_PROFILES = 16
# Of one name in an answer. Each is looked through again, and they may lie in each other: 9,000
# nested ones took the web process 5 s.
MAX_ELEMENTS = 64
_ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_SCOPE = "onvif://www.onvif.org/"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA_2 = "http://www.onvif.org/ver20/media/wsdl"  # knows H.265
_SCHEMA = "http://www.onvif.org/ver10/schema"
# What cameras answer to: most to the first, some only to the second.
PROBED_TYPES = (
    ("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter"),
    (DEVICE, "Device"),
)
_ENCODINGS = {"h264": "h264", "h265": "hevc", "hevc": "hevc", "jpeg": "mjpeg"}


class BadAnswer(ValueError):
    """Not the XML that was asked for."""


@dataclass(frozen=True, slots=True)
class Match:
    """One camera's answer to a probe. `services`: addresses of its device service, as it says."""

    relates_to: str
    services: tuple[str, ...]
    name: str
    model: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream a camera offers; `codec` h264, hevc, mjpeg or "" where unknown."""

    token: str
    name: str
    codec: str
    width: int
    height: int
    fps: float


# --- questions ----------------------------------------------------------------------------------


def probe(message_id: str, types: tuple[str, str]) -> bytes:
    """A WS-Discovery Probe (2005/04), one datagram."""
    space, name = types
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="{_ENVELOPE}"'
        f' xmlns:a="{_ADDRESSING}" xmlns:d="{_DISCOVERY}" xmlns:t="{space}"><e:Header>'
        f"<a:MessageID>uuid:{message_id}</a:MessageID>"
        '<a:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>'
        f'<a:Action e:mustUnderstand="true">{_DISCOVERY}/Probe</a:Action></e:Header>'
        f"<e:Body><d:Probe><d:Types>t:{name}</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()


def question(body: str, header: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="{_ENVELOPE}">'
        f"<e:Header>{header}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
    ).encode()


def user_token(username: str, password: str, now: datetime) -> str:
    """A WS-Security UsernameToken with a digest: the password itself is not sent.

    `now` by the camera's clock: many refuse a token that is minutes off.
    """
    nonce, created = secrets.token_bytes(16), f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    mixed = nonce + created.encode() + password.encode()
    digest = base64.b64encode(hashlib.sha1(mixed, usedforsecurity=False).digest()).decode()
    kind = f"{_WSS}username-token-profile-1.0#PasswordDigest"
    encoding = f"{_WSS}soap-message-security-1.0#Base64Binary"
    return (
        f'<s:Security e:mustUnderstand="true" xmlns:s="{_WSS}wssecurity-secext-1.0.xsd"'
        f' xmlns:u="{_WSS}wssecurity-utility-1.0.xsd"><s:UsernameToken>'
        f'<s:Username>{escape(username)}</s:Username><s:Password Type="{kind}">{digest}</s:Password>'
        f'<s:Nonce EncodingType="{encoding}">{base64.b64encode(nonce).decode()}</s:Nonce>'
        f"<u:Created>{created}</u:Created></s:UsernameToken></s:Security>"
    )


def ask_time() -> str:
    return f'<GetSystemDateAndTime xmlns="{DEVICE}"/>'


def ask_services() -> str:
    return (
        f'<GetServices xmlns="{DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>'
    )


def ask_capabilities() -> str:
    """What cameras before `GetServices` know."""
    return f'<GetCapabilities xmlns="{DEVICE}"><Category>Media</Category></GetCapabilities>'


def ask_profiles(media: str) -> str:
    if media == MEDIA_2:
        return f'<GetProfiles xmlns="{media}"><Type>VideoEncoder</Type></GetProfiles>'
    return f'<GetProfiles xmlns="{media}"/>'


def ask_stream(media: str, token: str) -> str:
    if media == MEDIA_2:
        return (
            f'<GetStreamUri xmlns="{media}"><Protocol>RTSP</Protocol>'
            f"<ProfileToken>{escape(token)}</ProfileToken></GetStreamUri>"
        )
    return (
        f'<GetStreamUri xmlns="{media}"><StreamSetup xmlns:c="{_SCHEMA}">'
        "<c:Stream>RTP-Unicast</c:Stream><c:Transport><c:Protocol>RTSP</c:Protocol></c:Transport>"
        f"</StreamSetup><ProfileToken>{escape(token)}</ProfileToken></GetStreamUri>"
    )


# --- answers ------------------------------------------------------------------------------------


def parse(data: bytes) -> Element:
    """Raises BadAnswer, also for entities and a DTD."""
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError) as error:
        raise BadAnswer("it is not the XML that was asked for") from error
    if _local(root) != "Envelope":
        raise BadAnswer("it is not SOAP")
    return root


def fault_of(root: Element) -> str:
    """Of a fault the codes and reason in one line, "" where there is none."""
    fault = _first(root, "Fault")
    if fault is None:
        return ""
    said = [
        _text(each) for each in fault.iter() if _local(each) in ("Value", "Text", "faultstring")
    ]
    return " ".join(said)[:MAX_TEXT] or "fault"


def is_refusal(fault: str) -> bool:
    words = ("notauthorized", "failedauthentication", "unauthorized", "failedcheck")
    return any(word in fault.lower().replace(" ", "") for word in words)


def matches(data: bytes) -> list[Match]:
    """What answers to a probe; raises BadAnswer."""
    root = parse(data)
    relates_to = _text(_first(root, "RelatesTo"))
    found = []
    for each in _all(root, "ProbeMatch"):
        scopes = _long_text(_first(each, "Scopes")).split()
        found.append(
            Match(
                relates_to=relates_to.rpartition("uuid:")[2],
                services=tuple(_long_text(_first(each, "XAddrs")).split()[:8]),
                name=_scope(scopes, "name"),
                model=_scope(scopes, "hardware"),
            )
        )
    return found


def time_of(root: Element) -> datetime | None:
    """The camera's clock, UTC."""
    moment = _first(root, "UTCDateTime")
    if moment is None:
        return None
    names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
    try:
        parts = [int(_text(_first(moment, name))) for name in names]
        return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # six numbers
    except ValueError:
        return None


def media_of(root: Element) -> dict[str, str]:
    """Addresses of the media services by their namespace, from either of the two answers."""
    found = {
        _text(_first(each, "Namespace")): _text(_first(each, "XAddr"))
        for each in _all(root, "Service")
    }
    old = _first(root, "Media")
    if old is not None:
        found.setdefault(MEDIA, _text(_first(old, "XAddr")))
    return {space: found[space] for space in (MEDIA_2, MEDIA) if found.get(space)}


def profiles_of(root: Element) -> list[Profile]:
    found = []
    for each in _all(root, "Profiles"):
        encoder = _first(each, "VideoEncoderConfiguration")
        encoder = _first(each, "VideoEncoder") if encoder is None else encoder
        token = each.get("token", "")
        if token and encoder is not None and len(token) <= MAX_TEXT:
            found.append(
                Profile(
                    token=token,
                    name=_text(_first(each, "Name")) or token,
                    codec=_ENCODINGS.get(_text(_first(encoder, "Encoding")).lower(), ""),
                    width=int(_number(_first(encoder, "Width"))),
                    height=int(_number(_first(encoder, "Height"))),
                    fps=_number(_first(encoder, "FrameRateLimit")),
                )
            )
    return found[:MAX_PROFILES]


def stream_of(root: Element) -> str:
    """The stream's URI, as the camera says; check it."""
    return _long_text(_first(root, "Uri"))


# --- reading ------------------------------------------------------------------------------------


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _all(root: Element, name: str) -> Iterator[Element]:
    return islice((each for each in root.iter() if _local(each) == name), MAX_ELEMENTS)


def _first(root: Element, name: str) -> Element | None:
    return next(_all(root, name), None)


def _text(element: Element | None) -> str:
    return _long_text(element)[:MAX_TEXT]


def _long_text(element: Element | None) -> str:
    """On one line, without what does not print."""
    raw = "" if element is None or element.text is None else element.text
    plain = "".join(letter if letter.isprintable() else " " for letter in raw[:4096])
    return " ".join(plain.split())


def _number(element: Element | None) -> float:
    try:
        value = float(_text(element) or 0)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 100_000 else 0.0


def _scope(scopes: list[str], kind: str) -> str:
    prefix = f"{_SCOPE}{kind}/"
    for scope in scopes:
        if scope.lower().startswith(prefix):
            said = unquote(scope[len(prefix) :], errors="replace").replace("_", " ")
            return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:MAX_TEXT]
    return ""
