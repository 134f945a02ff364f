"""Shapes of the system API; ranges of what may be set."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from clips.models import MAX_SIDE_SECONDS
from devices.models import Device, RegistrationMode
from recordings.models import RecordingPolicy

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")


class MeSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.ChoiceField(choices=("viewer", "operator", "admin"))


class SimulatedSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(min_value=0, max_value=16)
    running = serializers.IntegerField(read_only=True)


class RegistrationSerializer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=RegistrationMode.choices)
    max_devices = serializers.IntegerField(min_value=1, max_value=1000)
    is_fixed = serializers.ListField(child=serializers.CharField(), read_only=True)


class RetentionSerializer(serializers.Serializer[Any]):
    """`max_bytes` 0 is no limit; the floor is at least 256 MB, for the database and its log."""

    days = serializers.IntegerField(min_value=1, max_value=3650)
    max_bytes = serializers.IntegerField(min_value=0, max_value=2**53)
    min_free_bytes = serializers.IntegerField(min_value=256 * 1024**2, max_value=2**53)
    is_fixed = serializers.ListField(child=serializers.CharField(), read_only=True)


class EncoderSerializer(serializers.Serializer[Any]):
    encoder = serializers.ChoiceField(choices=RecordingPolicy.Encoder.choices)
    preset = serializers.ChoiceField(choices=PRESETS)
    crf = serializers.IntegerField(min_value=0, max_value=51)
    pre_roll_seconds = serializers.IntegerField(min_value=0, max_value=3600)
    is_fixed = serializers.ListField(child=serializers.CharField(), read_only=True)


class ClipsSerializer(serializers.Serializer[Any]):
    """The window of clips where neither camera nor trigger says otherwise; 0 is no limit."""

    before_seconds = serializers.IntegerField(min_value=0, max_value=MAX_SIDE_SECONDS)
    after_seconds = serializers.IntegerField(min_value=0, max_value=MAX_SIDE_SECONDS)
    max_count = serializers.IntegerField(min_value=0, max_value=1_000_000)
    max_bytes = serializers.IntegerField(min_value=0, max_value=2**53)
    legacy_camera = serializers.PrimaryKeyRelatedField(
        queryset=Device.objects.filter(removing_since=None), pk_field=serializers.IntegerField(),
        allow_null=True, help_text="the camera that older clip clients mean",
    )  # fmt: skip
    is_fixed = serializers.ListField(child=serializers.CharField(), read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("before_seconds") == 0 and attrs.get("after_seconds") == 0:
            reason = ["A clip needs at least one second."]
            raise serializers.ValidationError({"after_seconds": reason})
        return attrs


class SettingsSerializer(serializers.Serializer[Any]):
    registration = RegistrationSerializer(required=False)
    retention = RetentionSerializer(required=False)
    encoder = EncoderSerializer(required=False)
    clips = ClipsSerializer(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A name that is no setting is an error, not silence."""
        for group, wanted in dict(self.initial_data).items():
            field = self.fields.get(group)
            if field is None:
                raise serializers.ValidationError({group: ["There is no such group of settings."]})
            known = field.fields if isinstance(field, serializers.Serializer) else {}
            unknown = set(wanted) - set(known) if isinstance(wanted, dict) else set()
            if unknown:
                reason = ["There is no such setting."]
                raise serializers.ValidationError({group: dict.fromkeys(sorted(unknown), reason)})
        return attrs


# --- the system page ----------------------------------------------------------------------------


class CertificateSerializer(serializers.Serializer[Any]):
    not_after = serializers.DateTimeField()
    days_left = serializers.IntegerField()
    sha256 = serializers.CharField()


class DiskSerializer(serializers.Serializer[Any]):
    total_bytes = serializers.IntegerField()
    free_bytes = serializers.IntegerField()
    recordings_bytes = serializers.IntegerField()
    spool_bytes = serializers.IntegerField()
    min_free_bytes = serializers.IntegerField()


class CameraStatusSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    is_recording = serializers.BooleanField()
    recordings_bytes = serializers.IntegerField()
    bytes_per_day = serializers.IntegerField(allow_null=True)
    days_stored = serializers.FloatField()
    days_that_fit = serializers.FloatField(allow_null=True)


class ProcessSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    pid = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(help_text="stopped, starting, running, waiting or stopping")
    started_ms = serializers.IntegerField()
    restarts = serializers.IntegerField()
    last_exit = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField()


class DeletionSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    device = serializers.IntegerField(allow_null=True)
    path = serializers.CharField()
    size_bytes = serializers.IntegerField()
    reason = serializers.CharField()
    detail = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    at_ms = serializers.IntegerField()
    level = serializers.CharField()
    logger = serializers.CharField()
    message = serializers.CharField()


class SystemSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    now_ms = serializers.IntegerField()
    is_recording = serializers.BooleanField()
    sentence = serializers.CharField(help_text="answers 'Is it recording?' in words")
    addresses = serializers.ListField(child=serializers.CharField())
    certificate = CertificateSerializer(allow_null=True)
    disk = DiskSerializer()
    cameras = CameraStatusSerializer(many=True)
    processes = ProcessSerializer(many=True)
    deletions = DeletionSerializer(many=True)
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]  # a field, as the others
