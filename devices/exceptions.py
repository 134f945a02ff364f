"""What can go wrong with a device; `str()` of each is a sentence for a person or a camera's log."""


class DeviceError(Exception):
    """The base of this app's errors."""


class BadMac(DeviceError):
    """The text is not six pairs of hexadecimal digits."""


class RegistrationRefused(DeviceError):
    """Registration is closed, or the recorder has as many devices as it may have."""


class BadConfig(DeviceError):
    """A configuration value is unknown or out of range; `key` names it, nothing was changed."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class UnknownDevice(DeviceError):
    """There is no such device, or no such key of it (it may have been deleted a moment ago)."""


class NotConnected(DeviceError):
    """The camera has no open connection, so a command cannot reach it."""


class NotDelivered(DeviceError):
    """The message broker is down, so a command did not leave this process."""


class DeviceHasRecordings(DeviceError):
    """Deleting the device would orphan its video."""


class SettingIsFixed(DeviceError):
    """The environment decides this, so it cannot be changed while the recorder runs."""


class BadSource(DeviceError):
    """A value of a source cannot be used; `field` names it, nothing was changed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class PasswordLost(DeviceError):
    """The stored password was sealed with another secret key."""


class UnknownNode(DeviceError):
    """There is no such node."""


class NodeNameTaken(DeviceError):
    """Nodes are told apart by their names."""


class NodeInUse(DeviceError):
    """Deleting the node would leave cameras without anybody who brings them."""


class FirmwareRefused(DeviceError):
    """A firmware file, key or roll-out cannot be; `field` names what is wrong, nothing was kept."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class FirmwareInUse(DeviceError):
    """The image is on its way to cameras, or the board has a roll-out under way already."""


class UnknownFirmware(DeviceError):
    """There is no such image, key or roll-out, or it may not be used like this (any more)."""
