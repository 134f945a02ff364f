"""What can go wrong with captures."""

from __future__ import annotations


class CaptureError(Exception):
    """`code` for programs, `str()` a sentence for people.

    `contract` is the text that clients of the older camera-capture server know for it; the sentence
    where they know none. `detail`: a program's last words, redacted; for the log and the row.
    Codes: `no_camera` `busy` `permission` `unplugged` `missing_program` `unsupported` `timeout`
    `failed` `disk_full` `no_stream` `cancelled` `interrupted`.
    """

    def __init__(self, code: str, sentence: str, *, contract: str = "", detail: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.contract = contract or sentence
        self.detail = detail


class BadOrderError(Exception):
    """What was asked for cannot be taken; `field` names what is wrong, `str()` says why."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class CameraBusyError(Exception):
    """Somebody else has the camera now."""

    def __init__(self, sentence: str = "The camera is busy with another capture.") -> None:
        super().__init__(sentence)


class WrongStateError(Exception):
    """The capture is not (any more) in a state from which this is possible."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"A capture that is {before} cannot become {after}.")


class FileMissingError(Exception):
    """The file of a capture that should be there is not."""

    def __init__(self) -> None:
        super().__init__("The file of this capture is missing on disk.")


class QueueError(Exception):
    """The workers cannot be reached, so nothing would be taken now."""

    def __init__(self) -> None:
        super().__init__(
            "The recorder's workers cannot be reached just now. Try again in a moment."
        )
