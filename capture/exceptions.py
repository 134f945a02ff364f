"""What can go wrong between a camera's socket and the spool."""


class CaptureError(Exception):
    """Base of this app's errors."""


class Refused(CaptureError):
    """A connection is turned away before the upgrade; `status` and `text` are the HTTP answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ServerCannotStart(CaptureError):
    """One sentence for the person who starts the recorder."""


class TooManyTests(CaptureError):
    """As many sources are being tried as the recorder tries at once."""
