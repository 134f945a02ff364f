"""Logging in to a camera as RTSP and HTTP have it: Basic (RFC 7617) and Digest (RFC 7616, 2069)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable

from capture.drivers import words

_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z]+\s*=|\s*(?:,|$))")
# A name begins where it begins: one of 32,000 letters, tried from each of them, held the agent and so
# every other camera up for 4 s.
_PARAMETER = re.compile(r"(?<![A-Za-z-])([A-Za-z-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")
_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}


class Login:
    """User and password of one connection, and what the camera last asked to see of them."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._challenge: dict[str, str] = {}
        self._count = 0

    @property
    def is_given(self) -> bool:
        return bool(self._username or self._password)

    def challenge(self, headers: Iterable[str]) -> None:
        """`headers`: the WWW-Authenticate lines of a 401. Raises SourceError when that is the end."""
        if not self.is_given:
            raise words.refused(has_login=False)
        offered = [each for header in headers for each in challenges(header)]
        ranked = sorted((_rank(each), at) for at, each in enumerate(offered) if _rank(each) < 9)
        if not ranked:
            names = ", ".join(each["scheme"] for each in offered)
            raise words.unknown_login(names or "an unknown way")
        self._challenge = offered[ranked[0][1]]
        self._count = 0

    def authorization(self, method: str, uri: str) -> str:
        """Value of the Authorization header; "" before the camera asked."""
        match self._challenge.get("scheme"):
            case "basic":
                login = f"{self._username}:{self._password}".encode()
                return "Basic " + base64.b64encode(login).decode()
            case "digest":
                return self._digest(method, uri)
        return ""

    def _digest(self, method: str, uri: str) -> str:
        asked = self._challenge
        realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
        algorithm = asked.get("algorithm", "MD5")
        hashed = _HASHES[algorithm.upper().removesuffix("-SESS")]
        self._count += 1
        count, own_nonce = f"{self._count:08x}", secrets.token_hex(8)

        def digest(*parts: str) -> str:
            return hashed(":".join(parts).encode())

        first = digest(self._username, realm, self._password)
        if algorithm.upper().endswith("-SESS"):
            first = digest(first, nonce, own_nonce)
        second = digest(method, uri)
        fields = {"username": self._username, "realm": realm, "nonce": nonce, "uri": uri}
        plain = {"algorithm": algorithm} if "algorithm" in asked else {}
        if "qop" in asked:
            fields["response"] = digest(first, nonce, count, own_nonce, "auth", second)
            fields["cnonce"] = own_nonce
            plain |= {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(first, nonce, second)
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        quoted = [f'{name}="{_quotable(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join(quoted + [f"{name}={value}" for name, value in plain.items()])


def challenges(header: str) -> list[dict[str, str]]:
    """One dictionary a challenge, "scheme" in small letters; several may stand in one header."""
    starts = [(match.start(1), match[1].lower()) for match in _SCHEME.finditer(header)]
    found = []
    for at, (start, scheme) in enumerate(starts):
        end = starts[at + 1][0] if at + 1 < len(starts) else len(header)
        fields = {
            match[1].lower(): re.sub(r"\\(.)", r"\1", match[2])
            if match[2] is not None
            else match[3]
            for match in _PARAMETER.finditer(header, start + len(scheme), end)
        }
        found.append({**fields, "scheme": scheme})
    return found


def _rank(challenge: dict[str, str]) -> int:
    """The lower, the better; 9: cannot be answered."""
    if challenge["scheme"] == "basic":
        return 3
    qop = challenge.get("qop", "auth").replace(",", " ").split()
    name = challenge.get("algorithm", "MD5").upper().removesuffix("-SESS")
    if challenge["scheme"] != "digest" or name not in _HASHES or "auth" not in qop:
        return 9
    return list(_HASHES).index(name)


def _quotable(text: str) -> str:
    """As a quoted-string; a line break would begin a header of its own."""
    plain = text.replace("\r", "").replace("\n", "")
    return plain.replace("\\", "\\\\").replace('"', '\\"')
