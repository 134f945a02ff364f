"""Passwords of cameras, kept so that only this recorder can read them again.

They have to be given to the camera in clear, so a hash would not do. The key is derived from
SECRET_KEY, which lies beside the database, not in it: a copied database gives no password away.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from devices.exceptions import PasswordLost


def seal(password: str) -> str:
    """Empty for an empty password; else text that is different each time."""
    return _box(settings.SECRET_KEY).encrypt(password.encode()).decode() if password else ""


def unseal(sealed: str) -> str:
    """Raises PasswordLost when the secret key is another one by now."""
    if not sealed:
        return ""
    try:
        return _box(settings.SECRET_KEY).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise PasswordLost("The stored password cannot be read any more, enter it again") from error


@lru_cache(maxsize=2)
def _box(secret: str) -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"roost camera password")
    return Fernet(base64.urlsafe_b64encode(key.derive(secret.encode())))
