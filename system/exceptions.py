"""What can go wrong in the house itself, one sentence each."""


class SetupFailed(Exception):
    """The recorder cannot start; the message is one sentence for the person at the terminal."""


class SupervisorUnavailable(Exception):
    """The supervisor does not answer: the recorder's parts were started without it."""


class SettingIsFixed(Exception):
    """The environment decides this setting; `str()` names the variable."""

    def __init__(self, group: str, name: str, message: str) -> None:
        super().__init__(message)
        self.group = group
        self.name = name


class BackupFailed(Exception):
    """No back-up was made, or one was not put back; the message is one sentence."""
