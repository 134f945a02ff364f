"""Cameras that the environment asks for (CAMERA_SOURCE, RTSP_URL, HTTP_URL), made at start."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from devices.exceptions import PasswordLost, RegistrationRefused
from devices.models import Source
from devices.nodes import local_node
from devices.sources import (
    Wish,
    checked,
    create_source,
    device_kind,
    password_of,
    update_source,
)

logger = logging.getLogger(__name__)


def apply_environment(wanted: Mapping[str, str]) -> None:
    """`wanted`: address (checked, perhaps with a log-in) by the name of its variable, empty where
    that is not set. Safe to repeat: an unchanged source is not touched.

    A camera whose variable is gone stays, with its video, as one like every other.
    """
    for name, url in wanted.items():
        if url:
            _bring_about(name, checked(url=url))
    gone = [name for name, url in wanted.items() if not url]
    Source.objects.filter(environment_name__in=gone).update(environment_name="")


def _bring_about(name: str, wish: Wish) -> None:
    shown = Source.objects.filter(device__removing_since=None)
    source = shown.filter(environment_name=name).first()
    if source is None:  # the variable was gone for a while, or a person was quicker
        source = shown.filter(url=wish.url, node=local_node(), environment_name="").first()
    if source is None:
        _make(name, wish)
        return
    if source.environment_name != name:
        Source.objects.filter(pk=source.pk).update(environment_name=name)
    if (source.url, source.username, _password(source)) != (wish.url, wish.username, wish.password):
        changes = {"url": wish.url, "username": wish.username, "password": wish.password}
        update_source(source_pk=source.pk, changes=changes, is_by_environment=True)
        logger.info("%s changed the address of %s", name, source.device)


def _make(name: str, wish: Wish) -> None:
    label = device_kind(wish.kind).label
    try:
        source = create_source(name=label, wish=wish, environment_name=name)
    except RegistrationRefused as error:  # the recorder works without it
        logger.warning("%s asks for a camera that cannot be added: %s", name, error)
        return
    logger.info("%s asks for a camera: %s is added", name, source.device)


def _password(source: Source) -> str | None:
    """None where it cannot be read any more: then the variable's is written down anew."""
    try:
        return password_of(source)
    except PasswordLost:
        return None
