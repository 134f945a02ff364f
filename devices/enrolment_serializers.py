"""What `/api/v1/enrolment/` takes and gives (docs/design/interfaces.md)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import livestate
from devices.models import Device, Enrolment
from devices.source_serializers import RowNumberField

MOST_AT_ONCE = 500  # as many as one page of the list may have


class JoinRequestSerializer(serializers.ModelSerializer[Device]):
    """Rows come from `enrolment.requests`; the context has `live`, as `livestate.read` gives it."""

    device = serializers.IntegerField(source="pk")
    is_new = serializers.SerializerMethodField(help_text="false: a camera that was let in before")
    key = serializers.IntegerField(source="key_pk", help_text="what an approval lets in")
    asked_at = serializers.DateTimeField()
    asked_from = serializers.CharField(allow_null=True)
    first_asked_at = serializers.DateTimeField()
    ask_count = serializers.IntegerField()
    address_count = serializers.IntegerField(help_text="how many addresses asked")
    connected_from = serializers.SerializerMethodField(
        help_text="where the known camera is connected from meanwhile; null when it is not"
    )
    rssi_dbm = serializers.IntegerField(
        allow_null=True, help_text="of a known camera, when it was heard last"
    )

    class Meta:
        model = Device
        fields = (
            "device", "mac", "name", "kind", "is_new", "key", "asked_at", "asked_from",
            "first_asked_at", "ask_count", "address_count", "connected_from", "rssi_dbm",
            "last_seen_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_is_new(self, device: Device) -> bool:
        return device.enrolment == Enrolment.PENDING

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_connected_from(self, device: Device) -> str | None:
        live: dict[int, livestate.LiveDevice] = self.context["live"]
        return (device.last_address or "") if device.pk in live else None


class RefusedSerializer(serializers.ModelSerializer[Device]):
    """Rows come from `enrolment.refused`."""

    device = serializers.IntegerField(source="pk")
    refused_at = serializers.DateTimeField()

    class Meta:
        model = Device
        fields = ("device", "mac", "name", "refused_at")
        read_only_fields = fields


class ShownRequestSerializer(serializers.Serializer[Any]):
    device = RowNumberField()
    key = RowNumberField()


class ApprovalSerializer(serializers.Serializer[Any]):
    """The requests as they were shown: a key that was asked for meanwhile is not let in."""

    requests = serializers.ListField(
        child=ShownRequestSerializer(), allow_empty=False, max_length=MOST_AT_ONCE
    )


class RefusalSerializer(serializers.Serializer[Any]):
    """Either of the two."""

    devices = serializers.ListField(child=RowNumberField(), required=False, max_length=MOST_AT_ONCE)
    up_to_key = RowNumberField(
        required=False, help_text="all that wait and asked no later than with this key"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either devices or up_to_key.")
        return attrs


class ReadmissionSerializer(serializers.Serializer[Any]):
    devices = serializers.ListField(
        child=RowNumberField(), allow_empty=False, max_length=MOST_AT_ONCE
    )


class CountSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="of devices that it concerned")
