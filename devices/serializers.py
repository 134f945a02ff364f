"""What `/api/v1/devices/` takes and gives (docs/design/interfaces.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import livestate
from devices.exceptions import BadConfig
from devices.framerates import HIGH, LOW, validate_frame_rates
from devices.models import (
    Device,
    DeviceEvent,
    DeviceKey,
    Enrolment,
    Presence,
    Source,
    TelemetrySample,
)
from devices.sensor import DEFAULT_CONFIG, INTEGERS, RESOLUTIONS, validate_config
from devices.services import COMMANDS
from devices.wording import sentence, source_sentence

MAX_POSITION = 10_000


class ConfigSerializer(serializers.Serializer[Any]):
    """Only describes the six values in the schema; devices.sensor checks them."""

    resolution = serializers.ChoiceField(choices=list(RESOLUTIONS))
    framerate = serializers.IntegerField(
        min_value=INTEGERS["framerate"][0], max_value=INTEGERS["framerate"][1]
    )
    quality = serializers.IntegerField(
        min_value=INTEGERS["quality"][0], max_value=INTEGERS["quality"][1]
    )
    brightness = serializers.IntegerField(min_value=-2, max_value=2)
    contrast = serializers.IntegerField(min_value=-2, max_value=2)
    saturation = serializers.IntegerField(min_value=-2, max_value=2)


@extend_schema_field(ConfigSerializer(partial=True))
class ConfigField(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("config must be an object.")
        try:
            return dict(validate_config(data))
        except BadConfig as error:
            raise serializers.ValidationError(f"{error}.") from error

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return {**DEFAULT_CONFIG, **value}


class RatesSerializer(serializers.Serializer[Any]):
    """Only describes them in the schema; devices.framerates checks them."""

    idle = serializers.IntegerField(min_value=LOW, max_value=HIGH, help_text="nobody watches")
    watched = serializers.IntegerField(
        min_value=LOW, max_value=HIGH, help_text="somebody has the live view open"
    )
    motion = serializers.IntegerField(
        min_value=LOW, max_value=HIGH, help_text="the camera says that motion woke it"
    )


@extend_schema_field(RatesSerializer(allow_null=True))
class RatesField(serializers.Field[Any, Any, Any, Any]):
    def to_internal_value(self, data: Any) -> Any:
        try:
            return validate_frame_rates(data)
        except BadConfig as error:
            raise serializers.ValidationError(f"{error}.") from error

    def to_representation(self, value: Any) -> Any:
        return value


class SourceStateSerializer(serializers.Serializer[None]):
    """How it goes with a camera that is fetched: what everybody may know who may see it."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Source.Kind.choices)
    state = serializers.ChoiceField(choices=Source.State.choices)
    code = serializers.CharField(help_text="why it fails, for programs; empty when it does not")
    sentence = serializers.CharField()


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """Rows come from `DeviceQuerySet.with_waiting` with `source__node`; the context has `live`, as
    `livestate.read()` gives it, `alive_nodes`, as `sources.alive_nodes()` does, and `now`."""

    enrolment = serializers.SerializerMethodField()
    presence = serializers.SerializerMethodField()
    is_inactive = serializers.SerializerMethodField()
    is_connected = serializers.SerializerMethodField()
    is_recording = serializers.SerializerMethodField()
    received_fps = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField()
    source = serializers.SerializerMethodField()  # type: ignore[assignment]  # DRF's metaclass takes it out of the class
    config = ConfigField(required=False)
    frame_rates = RatesField(required=False, allow_null=True)
    address = serializers.CharField(source="last_address", read_only=True, allow_null=True)
    name = serializers.CharField(max_length=80, required=False)
    position = serializers.IntegerField(min_value=0, max_value=MAX_POSITION, required=False)

    class Meta:
        model = Device
        fields = (
            "id",
            "mac",
            "name",
            "kind",
            "enrolment",
            "presence",
            "presence_since",
            "last_seen_at",
            "is_inactive",
            "is_connected",
            "is_recording",
            "received_fps",
            "config",
            "frame_rates",
            "position",
            "address",
            "connection_count",
            "firmware_version",
            "firmware_board",
            "update_key",
            "last_reset_reason",
            "sentence",
            "source",
        )
        read_only_fields = (
            "mac",
            "kind",
            "presence_since",
            "last_seen_at",
            "connection_count",
            "firmware_version",
            "firmware_board",
            "update_key",
            "last_reset_reason",
        )

    def _live(self, device: Device) -> livestate.LiveDevice | None:
        live: dict[int, livestate.LiveDevice] = self.context["live"]
        return live.get(device.pk)

    def _now(self) -> datetime:
        now: datetime = self.context["now"]
        return now

    @extend_schema_field(serializers.ChoiceField(choices=Enrolment.choices))
    def get_enrolment(self, device: Device) -> str:
        return Enrolment.PENDING.value if _is_waiting(device) else Enrolment.APPROVED.value

    @extend_schema_field(serializers.ChoiceField(choices=Presence.choices))
    def get_presence(self, device: Device) -> str:
        return livestate.presence_of(device, self._live(device))

    def get_is_inactive(self, device: Device) -> bool:
        return self._live(device) is None and device.is_inactive(self._now())

    def get_is_connected(self, device: Device) -> bool:
        return self._live(device) is not None

    def get_is_recording(self, device: Device) -> bool:
        live = self._live(device)
        return live is not None and live.is_recording

    def get_received_fps(self, device: Device) -> float:
        live = self._live(device)
        return 0.0 if live is None else round(live.fps, 1)

    def get_sentence(self, device: Device) -> str:
        return sentence(
            device,
            self._live(device),
            is_waiting=_is_waiting(device),
            now=self._now(),
            alive_nodes=self.context["alive_nodes"],
        )

    @extend_schema_field(SourceStateSerializer(allow_null=True))
    def get_source(self, device: Device) -> dict[str, Any] | None:
        source: Source | None = getattr(device, "source", None)
        if source is None:
            return None
        alive = self.context["alive_nodes"]
        return {
            "id": source.pk,
            "kind": source.kind,
            "state": source.state_now(alive),
            "code": source.code_now(alive),
            "sentence": source_sentence(source, alive, self._now()),
        }


def _is_waiting(device: Device) -> bool:
    is_waiting: bool = device.is_waiting  # type: ignore[attr-defined]
    return is_waiting


class CommandSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=COMMANDS)


class ApproveSerializer(serializers.Serializer[Any]):
    key = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="the key to approve; without it the newest that waits",
    )


class KeySerializer(serializers.ModelSerializer[DeviceKey]):
    class Meta:
        model = DeviceKey
        fields = ("id", "enrolment", "issued_to", "created_at", "last_used_at", "revoked_at")
        read_only_fields = fields


class TelemetrySerializer(serializers.ModelSerializer[TelemetrySample]):
    class Meta:
        model = TelemetrySample
        fields = (
            "at",
            "uptime_ms",
            "free_heap_bytes",
            "boot_count",
            "rssi_dbm",
            "drops",
            "temperature_c",
            "battery_mv",
            "received_fps",
            "received_bytes_per_second",
            "dropped_frames",
        )
        read_only_fields = fields


class EventSerializer(serializers.ModelSerializer[DeviceEvent]):
    class Meta:
        model = DeviceEvent
        fields = ("at", "kind", "detail", "rssi_dbm")
        read_only_fields = fields


class SinceSerializer(serializers.Serializer[Any]):
    """The query of telemetry and events."""

    since = serializers.CharField(
        required=False, help_text="a moment: epoch milliseconds, or ISO 8601 with a time zone"
    )

    def validate_since(self, text: str) -> datetime:
        if text.isascii() and text.isdigit() and len(text) <= 14:
            return datetime.fromtimestamp(int(text) / 1000, tz=timezone.get_default_timezone())
        moment: datetime = serializers.DateTimeField().to_internal_value(text)
        return moment
