"""What can go wrong with clips; `str()` of each is a sentence for a person."""


class ClipError(Exception):
    """The base of this app's errors."""


class BadWindowError(ClipError):
    """The window or the span that was asked for cannot be; `field` names what is wrong."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class WrongStateError(ClipError):
    """The clip is not (any more) in a state from which this is possible."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"A clip that is {before} cannot become {after}.")


class ClipLockedError(ClipError):
    """A locked clip is never deleted."""

    def __init__(self) -> None:
        super().__init__("This clip is locked. Unlock it before you delete it.")


class ClipFileMissingError(ClipError):
    """The file of a clip that should be there is not."""

    def __init__(self) -> None:
        super().__init__("The video of this clip is missing on disk.")


class NoFootageError(ClipError):
    """There is no video of the camera in the window; trying again would find none either."""


class NoRoomError(ClipError):
    """The disk has no room for the clip: recording comes first."""


class CutError(ClipError):
    """The clip could not be made; it may work at another time."""
