"""What never reaches a log, an error page or an answer. One filter, on every handler.

Standard library only: the supervisor passes its children's output through it, too.
"""

from __future__ import annotations

import logging
import re

HIDDEN = "[hidden]"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # rtsp://user:password@host: the user stays, it helps to tell cameras apart. The scheme's length
    # is bounded: a path of 16,000 letters, which anybody may ask for, took 0.8 s of the event loop.
    (re.compile(r"(?P<head>[a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"]*):[^\s/'\"]+@", re.IGNORECASE), r"\g<head>:[hidden]@"),
    (re.compile(r"(?P<head>\b(?:Bearer|Basic|Token)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\g<head>[hidden]"),
    # A value in quotes goes to the closing one: a password may hold blanks and commas. It may hold
    # quotes, too, with a backslash before them.
    (
        re.compile(
            r"(?P<head>(?:passwo?r?d|passwd|secret)[\"']?\s*(?:=>|[=:,])\s*b?(?P<quote>[\"']))"
            r"(?!\[hidden\])(?:\\.|(?!(?P=quote))[^\\\n]){1,1000}",
            re.IGNORECASE,
        ),
        r"\g<head>[hidden]",
    ),
    # Header, JSON, query string, keyword argument: name, separator, value.
    (
        re.compile(
            r"(?P<head>(?:x-api-key|api[-_]?key|apikey|auth[-_]?token|access[-_]?token|csrftoken"
            r"|csrfmiddlewaretoken|sessionid|roost_session|passwo?r?d|passwd|secret(?:[-_]?key)?"
            r"|token)b?[\"']?\s*(?:=>|[=:,])\s*b?[\"']?)(?!\[hidden\])[^\s\"'&,;)}\]]+",
            re.IGNORECASE,
        ),
        r"\g<head>[hidden]",
    ),
    # A shared clip's address is all that is needed to see it.
    (re.compile(r"(?P<head>/shared/)[A-Za-z0-9_-]{20,}"), r"\g<head>[hidden]"),
    # A device key wherever it stands alone: 64 hexadecimal characters.
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE), HIDDEN),
)  # fmt: skip


def redact(text: str) -> str:
    """The text with every credential it recognises replaced by `[hidden]`."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Renders the record once, arguments and traceback included, and redacts what came out."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a wrong format string must not cost the line
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
