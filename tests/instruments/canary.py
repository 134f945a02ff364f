"""Looks for a planted secret wherever it could have leaked to.

The answer says how much was read: a search that found nothing because it looked at nothing fails.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


@dataclass
class Search:
    files: int = 0
    bytes: int = 0
    hits: list[str] = field(default_factory=list)


def spellings(secret: str) -> list[bytes]:
    """As it is, percent-encoded, in hex, and in base64 at each of the three alignments."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        # The characters at both ends also depend on what stands before and after.
        found.add(text[4 if shift else 0 :].rstrip(b"=")[:-1])
    return [each for each in found if len(each) >= 6]


def find(secret: str, *places: Path, allowed: Iterable[str] = ()) -> Search:
    """Every file below `places`; `allowed` are name endings of files that may hold the secret.

    Raises ValueError for a secret too short to be recognised or when there was nothing to read.
    """
    if len(secret) < 12:
        raise ValueError("a canary needs at least 12 characters")
    needles, search, exempt = spellings(secret), Search(), tuple(allowed)
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not (exempt and path.name.endswith(exempt)):
                data = path.read_bytes()
                search.files += 1
                search.bytes += len(data)
                search.hits += [f"{path} at {at}" for n in needles if (at := data.find(n)) >= 0]
    if not search.bytes:
        raise ValueError("nothing was read: the search proves nothing")
    return search


def find_in_processes(secret: str, pids: Iterable[int]) -> Search:
    """Command lines, which every account of the machine may read."""
    search = Search()
    for pid in pids:
        try:
            data = Path(f"/proc/{pid}/cmdline").read_bytes()
        except FileNotFoundError:
            continue
        search.files += 1
        search.bytes += len(data)
        search.hits += [f"argv of {pid}" for needle in spellings(secret) if needle in data]
    if not search.bytes:
        raise ValueError("no process was read: the search proves nothing")
    return search
