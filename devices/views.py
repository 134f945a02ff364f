"""The cameras' own HTTP API (the Pi Camera Server's paths): register, status, configuration.

Plain views, no DRF: the answers are fixed to the byte by cameras in the field.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from devices import livestate, services
from devices.contract import Refusal, device_endpoint, open_endpoint, read_body, reply
from devices.exceptions import BadConfig, BadMac, RegistrationRefused, UnknownDevice
from devices.models import Device
from devices.peers import peer_text
from devices.sensor import DEFAULT_CONFIG
from devices.services import Identity

logger = logging.getLogger(__name__)

# The reply must fit 300 bytes of the firmware's JSON document: these three and nothing more.
_REGISTER_CONFIG = ("resolution", "framerate", "quality")


@open_endpoint("POST")
def register(request: HttpRequest) -> HttpResponse:
    """One more key for whoever names a MAC; who may have one is `devices.services.register`'s."""
    mac = read_body(request).get("deviceId")
    if not mac:
        raise Refusal(HTTPStatus.BAD_REQUEST, "deviceId is required")
    try:
        done = services.register(mac=mac, address=peer_text(request.META.get("REMOTE_ADDR")))
    except BadMac as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
    except RegistrationRefused as error:
        raise Refusal(HTTPStatus.FORBIDDEN, str(error)) from error
    except DatabaseError as error:
        logger.exception("a device could not be registered")
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Failed to register device") from error
    config = _whole(done.device)
    return reply(
        {
            "success": True,
            "apiKey": done.key,
            "config": {name: config[name] for name in _REGISTER_CONFIG},
            "serverInfo": {"wsPort": settings.NVR_PORT, "wsPath": "/ws"},
        }
    )


@device_endpoint("GET")
def device_status(request: HttpRequest, identity: Identity) -> HttpResponse:
    del request
    device = Device.objects.filter(pk=identity.device_pk).first()
    if device is None:  # deleted since its key was looked up
        raise Refusal(HTTPStatus.NOT_FOUND, "Device not found")
    live = livestate.read().get(device.pk)
    return reply(
        {
            "deviceId": device.registered_as,
            "status": livestate.presence_of(device, live),
            "config": _whole(device),
            "lastSeen": iso_ms(device.last_seen_at),
            "isRecording": live is not None and live.is_recording,
            "totalConnections": device.connection_count,
        }
    )


@device_endpoint("PUT")
def device_config(request: HttpRequest, identity: Identity) -> HttpResponse:
    changes = read_body(request).get("config")
    if not isinstance(changes, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "config is required")
    try:
        services.update_config(device_pk=identity.device_pk, changes=changes)
    except BadConfig as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
    except UnknownDevice as error:
        raise Refusal(HTTPStatus.NOT_FOUND, "Device not found") from error
    return reply({"success": True, "message": "Configuration updated successfully"})


def iso_ms(at: datetime) -> str:
    """`2026-11-20T13:02:03.456Z`, as JavaScript writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole(device: Device) -> dict[str, Any]:
    """Rows made before a key existed have it all the same."""
    return {**DEFAULT_CONFIG, **device.config}
