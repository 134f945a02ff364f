"""What can go wrong with recordings, one sentence each."""


class RecordingError(Exception):
    """Base of this app's errors; the text is a sentence a person can act on."""


class EncodeError(RecordingError):
    """FFmpeg failed, stalled or did not keep every frame; nothing was written."""


class EncoderMissingError(RecordingError):
    """No FFmpeg program was found."""


class BadSegmentError(RecordingError):
    """A spool segment cannot be read at all."""


class BadHourFileError(RecordingError):
    """A file in the place of an hour file was not written by this recorder."""


class DiskError(RecordingError):
    """The disk refused an append; the file was left as it was before."""


class FileMissingError(RecordingError):
    """The video file of a recording is not on disk, or not where a recording may be."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The video file {path} is missing on disk.")


class RecordingLockedError(RecordingError):
    """A locked recording is never deleted."""

    def __init__(self) -> None:
        super().__init__("This recording is locked. Unlock it before you delete it.")


class RecordingInUseError(RecordingError):
    """The hour may still be appended to, or a deletion of it has begun."""
