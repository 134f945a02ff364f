"""Where a camera's video may come from: addresses are taken apart, checked and built anew.

Standard library only, no database and no network. Nothing of what a person typed is passed on:
`Address.url_without_login` is put together from the checked parts, and whoever connects asks
`check_ip` about the address it really connects to, so that a name cannot point somewhere else
between the check and the connection. No message holds a user name or a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn
from urllib.parse import quote, unquote

MAX_URL_LETTERS = 500
MAX_USERNAME_LETTERS = 120
MAX_PASSWORD_LETTERS = 200
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
SIMULATED_CODECS = ("h264", "hevc", "mjpeg")
USB_FORMATS = ("mjpeg", "h264", "raw")
PI_FORMATS = ("h264", "mjpeg")
MAX_SIZE = (3840, 2160)
MAX_FPS = 60

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# What clouds answer their own machines with keys at, and other hosts' cameras never have.
# 169.254.169.254 is link-local and needs no entry.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
_NETWORK = re.compile(
    r"(?P<scheme>rtsps?|https?)://(?:(?P<login>[^/?]*)@)?(?P<host>\[[^\]/?@]*\]|[^:/?@\[\]]*)"
    r"(?::(?P<port>[0-9]*))?(?P<path>[/?].*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_VIDEO_DEVICE = re.compile(
    r"/dev/(?:video[0-9]{1,3}|v4l/by-(?:id|path)/[A-Za-z0-9][A-Za-z0-9_.:+-]{0,200})"
)
_PICTURE_SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")
# What stays itself in a path; everything else is percent-encoded.
_PATH_LETTERS = "/?&=:;,.~!$'()*+-_%"
# Some cameras want the log-in in the address: /snap.cgi?user=a&pwd=b, and some recorders
# /user=a_password=b_channel=1_stream=0.sdp. It is taken out like one before the host.
_LOGIN_IN_PATH = (
    re.compile(
        r"[?&/](?:user(?:name)?|usr|loginuse)=(?P<username>[^&/?]*)"
        r"|[?&/](?:pass(?:word|wd)?|pwd|psw|loginpas)=(?P<password>[^&/?]*)",
        re.IGNORECASE,
    ),
    re.compile(
        r"/user=(?P<username>[^/?&_]*)_password=(?P<password>[^/?&]*?)(?=_channel|_stream|$)"
    ),
)


class BadAddress(ValueError):
    """No camera may be taken from this address; the message is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class Address:
    """A source's address in checked parts. `repr` does not show the log-in.

    `path` has the query, is percent-encoded and begins with "/"; where the log-in stands in it,
    it says `{username}` and `{password}` (`request_path` fills them in).
    `kind`: rtsp, http, usb, picamera, simulated.
    """

    kind: str
    url_without_login: str
    scheme: str = ""  # rtsp, rtsps, http, https
    host: str = ""  # a name in small letters, or an IP address without brackets
    port: int = 0
    path: str = ""  # usb: the device file
    number: int = 0  # picamera
    # simulated: codec, size, fps, audio; usb and picamera: size, fps and format as far as given
    options: Mapping[str, str] = field(default_factory=dict)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("rtsps", "https")

    @property
    def netloc(self) -> str:
        """Host and port as people and request lines write them, the usual port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """Host and port, always both, for sentences: 192.168.1.20:554."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def request_path(path: str, username: str, password: str) -> str:
    """`Address.path` with the log-in filled in: only ever for the camera itself."""
    return path.replace("{username}", quote(username, safe="")).replace(
        "{password}", quote(password, safe="")
    )


def parse(text: str, *, allow_loopback: bool = False) -> Address:
    """Raises BadAddress. A host given as a number is checked here, a name when it is connected to."""
    text = text.strip()
    if not text:
        _refuse("The address is empty.")
    if len(text) > MAX_URL_LETTERS:
        _refuse(f"The address is longer than {MAX_URL_LETTERS} letters.")
    if any(letter < " " or letter == "\x7f" for letter in text):
        _refuse("The address holds control characters.")
    if text.startswith("/dev/"):
        text = "usb:" + text
    scheme = _SCHEME.match(text)
    if scheme is None:
        _refuse("The address must begin with rtsp:// or http://, usb:, picamera: or simulated:.")
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name in DEFAULT_PORTS:
        return _network(text, allow_loopback)
    take = {"usb": _usb, "picamera": _picamera, "simulated": _simulated}.get(name)
    if take is None:
        _refuse(
            f"Cameras cannot be taken from {name}: addresses, only from rtsp, rtsps, http, https,"
            " usb, picamera and simulated."
        )
    return take(rest)


def check_ip(ip: str | IpAddress, *, allow_loopback: bool = False) -> IpAddress:
    """The address if a camera may be there; raises BadAddress.

    Private networks and the internet are allowed. An IPv6 address that only wraps an IPv4 one is
    judged by the inner one.
    """
    try:
        outer = ipaddress.ip_address(ip) if isinstance(ip, str) else ip
    except ValueError:
        _refuse("This is not an IP address.")
    inner = _unwrapped(outer)
    if inner.is_loopback and allow_loopback:
        return outer
    if reason := _objection(inner):
        _refuse(f"The address {outer} {reason}")
    return outer


def _unwrapped(ip: IpAddress) -> IpAddress:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)


def _objection(ip: IpAddress) -> str:
    if ip.is_loopback:
        return (
            "is this machine itself: cameras on it are taken only where the recorder was started"
            " with NVR_ALLOW_LOOPBACK_CAMERAS=1."
        )
    if ip.is_link_local:
        return "is link-local, where no camera is taken from: give the camera a fixed address."
    if ip.is_multicast:
        return "is a group's: the camera's own address is needed."
    if ip in _METADATA:
        return "belongs to the machine's own cloud services."
    if ip.is_unspecified or ip.is_reserved or ip in _THIS_NETWORK:
        return "is not one that a camera can have."
    return ""


def _refuse(sentence: str) -> NoReturn:
    raise BadAddress(sentence)


def _network(text: str, allow_loopback: bool) -> Address:
    if "#" in text or "\\" in text or " " in text:
        _refuse(
            "The address holds a #, a backslash or a blank: write %23, %5C or %20, or give the"
            " password in its own field."
        )
    parts = _NETWORK.fullmatch(text)
    if parts is None:
        _refuse("The address cannot be understood: it must be like rtsp://192.168.1.20:554/live.")
    login, path = parts["login"] or "", parts["path"] or "/"
    if "@" in login or "@" in path:
        _refuse(
            "The address holds more than one @, or one behind the host: write %40 (and %2F for a /"
            " in a password), or give the password in its own field."
        )
    scheme, host = parts["scheme"].lower(), _host(parts["host"], allow_loopback)
    username, password = _login(login)
    path, in_path = _without_login(_path(path))
    if in_path and (username or password):
        _refuse("The address holds a log-in before the host and another one behind it.")
    username, password = in_path or (username, password)
    port = _port(parts["port"], scheme)
    address = Address(scheme.removesuffix("s"), "", scheme, host, port, path)
    url = f"{scheme}://{address.netloc}{path}"
    return replace(address, url_without_login=url, username=username, password=password)


def _host(text: str, allow_loopback: bool) -> str:
    """In small letters, without the brackets of IPv6."""
    host = text.lower()
    if not host:
        _refuse("The address names no host.")
    if host.startswith("["):
        if "%" in host:
            _refuse("An IPv6 address must be without a zone (what follows its %).")
        try:
            return str(check_ip(ipaddress.IPv6Address(host[1:-1]), allow_loopback=allow_loopback))
        except ipaddress.AddressValueError:
            _refuse("The host in brackets is not an IPv6 address.")
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("The host may consist of plain letters, digits, dots and dashes only.")
    if _NUMERIC.fullmatch(labels[-1]):
        # Also 127.1, 2130706433 and 0x7f.1, which a resolver takes for addresses.
        try:
            return str(check_ip(ipaddress.IPv4Address(host), allow_loopback=allow_loopback))
        except ipaddress.AddressValueError:
            _refuse("The host must be a name or four numbers as in 192.168.1.20.")
    if labels[-1] == "localhost" and not allow_loopback:
        check_ip("127.0.0.1")
    return ".".join(labels)


def _port(text: str | None, scheme: str) -> int:
    if not text:
        return DEFAULT_PORTS[scheme]
    port = int(text) if len(text) <= 5 else 0
    if not 1 <= port <= 65535:
        _refuse("The port must be a number from 1 to 65535.")
    return port


def _login(text: str) -> tuple[str, str]:
    username, _, password = text.partition(":")
    return check_login(_decoded(username), _decoded(password))


def check_login(username: str, password: str) -> tuple[str, str]:
    """What every way of logging in can carry; raises BadAddress."""
    if any(letter < " " or letter == "\x7f" for letter in username + password):
        _refuse("User name and password may not hold control characters.")
    if ":" in username:
        _refuse("The user name may not hold a colon.")
    if len(username) > MAX_USERNAME_LETTERS or len(password) > MAX_PASSWORD_LETTERS:
        _refuse(
            f"The user name may have {MAX_USERNAME_LETTERS} letters, the password"
            f" {MAX_PASSWORD_LETTERS}."
        )
    return username, password


def _decoded(text: str) -> str:
    if re.search("%(?![0-9a-fA-F]{2})", text):
        _refuse("A % in the address must be followed by two hexadecimal digits: write %25 for one.")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        _refuse("The address holds percent signs that give no letters.")


def _path(text: str) -> str:
    if any(letter < " " or letter == "\x7f" for letter in _decoded(text)):
        _refuse("The address holds control characters.")
    kept = re.split(r"(\{username\}|\{password\})", text if text.startswith("/") else "/" + text)
    return "".join(
        part if at % 2 else quote(part, safe=_PATH_LETTERS) for at, part in enumerate(kept)
    )


def _without_login(path: str) -> tuple[str, tuple[str, str] | None]:
    """The path with `{username}` and `{password}` in it, and the log-in that stood there."""
    form = _LOGIN_IN_PATH[1] if _LOGIN_IN_PATH[1].search(path) else _LOGIN_IN_PATH[0]
    found: dict[str, set[str]] = {"username": set(), "password": set()}
    stripped, copied = "", 0
    for match in form.finditer(path):
        for name, value in match.groupdict().items():
            if value and value != f"{{{name}}}":
                found[name].add(value)
                stripped += path[copied : match.start(name)] + f"{{{name}}}"
                copied = match.end(name)
    if not found["password"]:
        return path, None  # a user name alone is no secret
    if len(found["username"]) > 1 or len(found["password"]) > 1:
        _refuse("The address holds two different log-ins.")
    username, password = (_decoded(value) for value in ("".join(found[n]) for n in found))
    return stripped + path[copied:], check_login(username, password)


def _usb(text: str) -> Address:
    """As in usb:/dev/video0?size=1280x720&fps=15&format=mjpeg."""
    device, _, query = text.partition("?")
    if device.isascii() and device.isdecimal() and len(device) <= 3:
        device = f"/dev/video{int(device)}"
    if not _VIDEO_DEVICE.fullmatch(device):
        _refuse("A USB camera's address is like usb:/dev/video0.")
    options = _options(query, formats=USB_FORMATS)
    url = f"usb:{device}{_query(options)}"
    return Address(kind="usb", url_without_login=url, path=device, options=options)


def _picamera(text: str) -> Address:
    number, _, query = text.partition("?")
    number = number or "0"
    if number not in {str(each) for each in range(8)}:
        _refuse("A Pi camera's address is like picamera:0, with a number from 0 to 7.")
    options = _options(query, formats=PI_FORMATS)
    url = f"picamera:{number}{_query(options)}"
    return Address(kind="picamera", url_without_login=url, number=int(number), options=options)


def _simulated(text: str) -> Address:
    codec, _, query = text.lower().partition("?")
    if (codec := codec or SIMULATED_CODECS[0]) not in SIMULATED_CODECS:
        _refuse("A simulated camera's address is like simulated:h264, with h264, hevc or mjpeg.")
    options = {"size": "1280x720", "fps": "15", "audio": "0"} | _options(query, has_audio=True)
    url = f"simulated:{codec}{_query(options)}"
    return Address(kind="simulated", url_without_login=url, options={**options, "codec": codec})


def _options(
    query: str, *, formats: tuple[str, ...] = (), has_audio: bool = False
) -> dict[str, str]:
    """Only what is given, in the order of the query."""
    allowed = {"size", "fps", *(["format"] if formats else []), *(["audio"] if has_audio else [])}
    options: dict[str, str] = {}
    for pair in filter(None, query.lower().split("&")):
        name, _, value = pair.partition("=")
        if name not in allowed:
            _refuse("Behind the ? may stand " + ", ".join(sorted(allowed)) + ", as in fps=15.")
        options[name] = value
    if not _is_picture_size(options.get("size", "640x480")):
        _refuse("The size must be two even numbers up to 3840x2160, as in size=1280x720.")
    if options.get("fps", "1") not in {str(number) for number in range(1, MAX_FPS + 1)}:
        _refuse(f"The rate must be a whole number from 1 to {MAX_FPS}, as in fps=15.")
    if formats and options.get("format", formats[0]) not in formats:
        _refuse("The format must be one of " + ", ".join(formats) + ".")
    if options.get("audio", "0") not in ("0", "1"):
        _refuse("Sound is audio=1 or audio=0.")
    return options


def _is_picture_size(text: str) -> bool:
    if not (match := _PICTURE_SIZE.fullmatch(text)):
        return False
    sides = zip(map(int, match.groups()), MAX_SIZE, strict=True)
    return all(16 <= pixels <= most and not pixels % 2 for pixels, most in sides)


def _query(options: Mapping[str, str]) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in options.items()) if options else ""
