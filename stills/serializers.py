"""The shapes of the API of captures."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers

from stills import files, services, wording
from stills.models import Analysis, CameraPicture, Capture, Kind

MAX_PK = 2**63 - 1  # what a database holds
MIN_SECONDS = 0.001


class CaptureSerializer(serializers.ModelSerializer[Capture]):
    """Rows come with `is_camera_picture` (`api.captures_of`)."""

    device_name = serializers.SerializerMethodField(
        help_text='of a removed camera its last name; "" for this machine\'s own'
    )
    sentence = serializers.SerializerMethodField(help_text="the state in words")
    filename = serializers.SerializerMethodField(help_text='"" until it is ready')
    progress = serializers.SerializerMethodField(help_text="0 to 1, by the clock")
    file_url = serializers.SerializerMethodField(help_text='"" until it is ready')
    preview_url = serializers.SerializerMethodField(help_text='"" where there is none')
    is_camera_picture = serializers.BooleanField(read_only=True)

    class Meta:
        model = Capture
        fields = (
            "id", "device", "device_name", "kind", "state", "sentence", "system", "origin",
            "filename", "wanted_name", "width", "height", "fps", "duration_ms", "size_bytes",
            "progress", "code", "reason", "created_at", "created_by", "started_at", "finished_at",
            "file_url", "preview_url", "is_camera_picture",
        )  # fmt: skip
        read_only_fields = fields

    def get_device_name(self, capture: Capture) -> str:
        return capture.device.name if capture.device else capture.device_label

    def get_sentence(self, capture: Capture) -> str:
        return wording.sentence(capture)

    def get_filename(self, capture: Capture) -> str:
        return capture.filename or ""

    def get_progress(self, capture: Capture) -> float:
        return round(capture.progress(timezone.now()), 3)

    def get_file_url(self, capture: Capture) -> str:
        return reverse("capture-file", args=[capture.pk]) if capture.filename else ""

    def get_preview_url(self, capture: Capture) -> str:
        return reverse("capture-preview", args=[capture.pk]) if capture.has_preview else ""


def _whole(low: int, high: int, what: str) -> serializers.IntegerField:
    sentence = f"A whole number from {low} to {high} {what}."
    return serializers.IntegerField(
        min_value=low,
        max_value=high,
        required=False,
        error_messages=dict.fromkeys(
            ("min_value", "max_value", "invalid", "max_string_length"), sentence
        ),
    )


_TOO_LONG = f"More than 0 and at most {services.MAX_VIDEO_MS // 1000} seconds."


class NewCaptureSerializer(serializers.Serializer[Any]):
    """What is left out is as the settings say."""

    kind = serializers.ChoiceField(choices=Kind.choices)
    device = serializers.IntegerField(
        min_value=1,
        max_value=MAX_PK,
        allow_null=True,
        default=None,
        help_text="null: this machine's own camera; else from what that camera streams",
    )
    width = _whole(services.MIN_SIDE, services.MAX_SIDE, "pixels")
    height = _whole(services.MIN_SIDE, services.MAX_SIDE, "pixels")
    fps = _whole(1, services.MAX_FPS, "pictures a second")
    duration_seconds = serializers.FloatField(
        required=False,
        min_value=MIN_SECONDS,
        max_value=services.MAX_VIDEO_MS / 1000,
        help_text="of a video its length, of a picture how long the camera may look before it",
        error_messages=dict.fromkeys(("min_value", "max_value", "invalid", "overflow"), _TOO_LONG),
    )
    name = serializers.CharField(
        max_length=files.MAX_STEM,
        allow_blank=True,
        default="",
        help_text="what a file name must not hold becomes _, the ending is the kind's",
    )

    def wish(self) -> services.Wish:
        """Of validated data."""
        asked = self.validated_data
        return services.Wish(
            kind=asked["kind"],
            width=asked.get("width", 0),
            height=asked.get("height", 0),
            fps=asked.get("fps", 0),
            duration_ms=round(1000 * asked.get("duration_seconds", 0.0)),
            name=asked["name"],
        )


class AnalysisSerializer(serializers.ModelSerializer[Analysis]):
    class Meta:
        model = Analysis
        fields = (
            "id", "capture", "filename", "state", "result", "reason", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class CameraPictureSerializer(serializers.ModelSerializer[CameraPicture]):
    url = serializers.SerializerMethodField()
    captured_at = serializers.DateTimeField(source="capture.finished_at", read_only=True)

    class Meta:
        model = CameraPicture
        fields = ("device", "capture", "url", "captured_at")
        read_only_fields = fields

    def get_url(self, picture: CameraPicture) -> str:
        """Changes with the picture, so that a browser does not show the one before."""
        address = reverse("device-picture", args=[picture.device_id])
        return f"{address}?capture={picture.capture_id}"


class SeenCameraSerializer(serializers.Serializer[Any]):
    number = serializers.CharField()
    name = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    is_ok = serializers.BooleanField(allow_null=True, help_text="null: it could not be found out")
    sentence = serializers.CharField()
    advice = serializers.CharField(help_text='what to do; "" where nothing is to be done')


class RoomSerializer(serializers.Serializer[Any]):
    """How much may lie on disk before the oldest go, in MB."""

    captures = serializers.IntegerField(help_text="NVR_CAPTURES_MB")
    raw = serializers.IntegerField(help_text="raw pictures: NVR_NODE_STORAGE_MB")


class OwnCameraSerializer(serializers.Serializer[Any]):
    """This machine's camera as it was last seen."""

    node_id = serializers.CharField()
    setting = serializers.CharField(help_text="NVR_CAMERA")
    backend = serializers.CharField(help_text='"" where none is there')
    is_there = serializers.BooleanField()
    is_busy = serializers.BooleanField(help_text="somebody has it, or waits for it")
    sentence = serializers.CharField()
    cameras = SeenCameraSerializer(many=True)
    checks = CheckSerializer(many=True)
    looked_at = serializers.DateTimeField(allow_null=True)
    last_capture_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()
    device = serializers.IntegerField(
        allow_null=True, help_text="the camera of the list that streams what this one sees"
    )
    room_mb = RoomSerializer()
