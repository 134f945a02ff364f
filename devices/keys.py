"""MAC addresses and device keys as text."""

from __future__ import annotations

import hashlib
import re
import secrets

from devices.exceptions import BadMac

# Reserved for `manage.py simulatecamera`: locally administered, then "ROST".
SIMULATED_PREFIX = "02:52:4F:53:54"
# Of cameras that are pulled, which have no MAC that we know: locally administered, then "ROS".
PULLED_PREFIX = "06:52:4F:53"
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_KEY = re.compile(r"[0-9a-f]{64}")


def normalise_mac(text: object) -> str:
    """AA:BB:CC:DD:EE:FF from six hex pairs joined by `:` or `-`, in any case."""
    if not isinstance(text, str) or not _MAC.fullmatch(text):
        raise BadMac("deviceId must be a valid MAC address (XX:XX:XX:XX:XX:XX)")
    return text.upper().replace("-", ":")


def new_key() -> str:
    """64 hexadecimal characters, 256 random bits: as much as the firmware's buffer holds."""
    return secrets.token_hex(32)


def is_key(text: str) -> bool:
    """Whether the text can be a key of ours at all, before anything is looked up."""
    return _KEY.fullmatch(text) is not None


def key_hash(key: str) -> str:
    """What is stored and looked up.

    Plain SHA-256: the key is random, so a slow hash would only delay the camera, which gives
    the server one second for its answer.
    """
    return hashlib.sha256(key.encode()).hexdigest()
