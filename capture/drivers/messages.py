"""Heads of RTSP and HTTP messages, which are written alike (RFC 2326 §4, RFC 9112 §2).

Lenient in what is read, as cameras are written by people in a hurry: bare line feeds, odd case,
folded lines. Everything is bounded; ValueError for what is neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from capture.drivers.connection import Channel

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 256 * 1024  # of an SDP or an error page
HEAD_ENDS = (b"\r\n\r\n", b"\n\n")


@dataclass(frozen=True, slots=True)
class Message:
    """`first_line`: request or status line; names of headers in small letters, in order."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def status(self) -> int:
        """0 where this is no answer."""
        words = self.first_line.split(None, 2)
        is_answer = len(words) > 1 and words[0].upper().startswith(("RTSP/", "HTTP/", "ICY"))
        return int(words[1]) if is_answer and words[1].isdecimal() and len(words[1]) == 3 else 0

    @property
    def reason(self) -> str:
        return (self.first_line.split(None, 2) + [""] * 3)[2]

    @property
    def body_bytes(self) -> int:
        """Content-Length; 0 without one. Raises ValueError."""
        text = self.get("content-length") or "0"
        if not (text.isdecimal() and text.isascii() and len(text) < 12):
            raise ValueError("the length of an answer is no number")
        return int(text)


def parse_head(data: bytes) -> Message:
    """`data`: up to and with the empty line."""
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").strip("\n").split("\n")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and headers:  # folded
            name, value = headers.pop()
            headers.append((name, f"{value} {line.strip()}"))
            continue
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip().lower(), value.strip()))
    return Message(lines[0].strip(), tuple(headers))


async def read_head(channel: Channel) -> Message:
    """Raises Closed, and ValueError for a head without an end."""
    return parse_head(await channel.read_until(HEAD_ENDS, MAX_HEAD_BYTES))


async def read_message(channel: Channel) -> Message:
    """Head and the body that its Content-Length announces."""
    head = await read_head(channel)
    if head.body_bytes > MAX_BODY_BYTES:
        raise ValueError("an answer is too long")
    return Message(head.first_line, head.headers, await channel.read_exactly(head.body_bytes))


def build(first_line: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """`headers` without line breaks: whoever fills them in sees to that."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
