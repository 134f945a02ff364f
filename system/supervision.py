"""Asking the supervisor over its private socket (docs/design/interfaces.md)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from system.exceptions import SupervisorUnavailable

DEADLINE_S = 10.0
ANSWER_LIMIT_BYTES = 256 * 1024


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer; `{"error": …}` where the supervisor refuses. Blocks; raises SupervisorUnavailable."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline(ANSWER_LIMIT_BYTES)
        result = json.loads(line)
    except (OSError, ValueError) as error:
        raise SupervisorUnavailable(
            "The supervisor does not answer; start the recorder with `make run`."
        ) from error
    if not isinstance(result, dict):
        raise SupervisorUnavailable("The supervisor gave an answer that is not an object.")
    return result
