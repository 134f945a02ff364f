"""The shapes of capture's API (docs/design/interfaces.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from capture.models import SourceTest
from devices.addresses import MAX_PASSWORD_LETTERS, MAX_URL_LETTERS, MAX_USERNAME_LETTERS
from devices.models import Source
from devices.source_serializers import RowNumberField, WishSerializer

MAX_SOURCES = 1000  # of one node; more than any machine can bring
MAX_CAMERAS = 256
OVERDUE_SENTENCE = "The test was not carried out: the recorder's worker is busy or not running."
_MAX_MS = 32_503_680_000_000  # the year 3000: far from where datetime ends


class FoundAudioSerializer(serializers.Serializer[None]):
    codec = serializers.CharField(max_length=32)
    rate_hz = serializers.IntegerField(min_value=0, max_value=1_000_000)
    channels = serializers.IntegerField(min_value=0, max_value=64)


class FoundSerializer(serializers.Serializer[None]):
    """What a source gives, as it was measured."""

    codec = serializers.CharField(max_length=16, help_text="mjpeg, h264 or hevc")
    width = serializers.IntegerField(min_value=0, max_value=65_535)
    height = serializers.IntegerField(min_value=0, max_value=65_535)
    fps = serializers.FloatField(min_value=0, max_value=1000)
    audio = FoundAudioSerializer(allow_null=True, required=False, default=None)
    sentence = serializers.CharField(
        max_length=200, help_text="as in “H.264, 1920x1080, 15 fps, with sound”"
    )


class ReportSerializer(serializers.Serializer[None]):
    """One source as its agent sees it."""

    id = RowNumberField()
    state = serializers.ChoiceField(choices=Source.State.choices)
    code = serializers.CharField(max_length=24, required=False, allow_blank=True)
    sentence = serializers.CharField(required=False, allow_blank=True)
    since_ms = serializers.IntegerField(min_value=0, max_value=_MAX_MS, required=False)
    attempts = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    found = FoundSerializer(required=False, allow_null=True)
    version = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="of the source that it speaks of; a report of an older one is not taken down",
    )


class FormatSerializer(serializers.Serializer[None]):
    format = serializers.CharField(max_length=32)
    sizes = serializers.ListField(child=serializers.CharField(max_length=16), max_length=256)
    fps = serializers.ListField(
        child=serializers.FloatField(min_value=0, max_value=1000), max_length=256
    )


class UsbCameraSerializer(serializers.Serializer[None]):
    url = serializers.CharField(max_length=500, help_text="as in usb:/dev/video0")
    name = serializers.CharField(max_length=120, allow_blank=True)
    formats = serializers.ListField(
        child=FormatSerializer(), max_length=64, required=False, default=list
    )


class PiCameraSerializer(serializers.Serializer[None]):
    url = serializers.CharField(max_length=500, help_text="as in picamera:0")
    name = serializers.CharField(max_length=120, allow_blank=True)


class FoundUsbCameraSerializer(UsbCameraSerializer):
    node = serializers.IntegerField()
    node_name = serializers.CharField()
    is_added = serializers.BooleanField(help_text="a source takes it already")


class FoundPiCameraSerializer(PiCameraSerializer):
    node = serializers.IntegerField()
    node_name = serializers.CharField()
    is_added = serializers.BooleanField()


@extend_schema_field(ReportSerializer(many=True))
class ReportsField(serializers.ListField):
    """Each is checked by itself (capture.agent_api): one that is odd costs the others nothing."""

    child = serializers.DictField()


@extend_schema_field(UsbCameraSerializer(many=True))
class UsbCamerasField(serializers.ListField):
    child = serializers.DictField()


@extend_schema_field(PiCameraSerializer(many=True))
class PiCamerasField(serializers.ListField):
    child = serializers.DictField()


class SyncSerializer(serializers.Serializer[None]):
    """What an agent says every two seconds."""

    sources = ReportsField(max_length=MAX_SOURCES)
    usb = UsbCamerasField(max_length=MAX_CAMERAS, required=False, default=list)
    pi = PiCamerasField(max_length=MAX_CAMERAS, required=False, default=list)
    version = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)


class SpecSerializer(serializers.Serializer[None]):
    """Describes `capture.agent.protocol.SourceSpec`, passwords in clear."""

    id = serializers.IntegerField()
    mac = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Source.Kind.choices)
    url = serializers.CharField()
    username = serializers.CharField()
    password = serializers.CharField()
    rate_fps = serializers.FloatField()
    transport = serializers.CharField()
    wants_audio = serializers.BooleanField()
    version = serializers.IntegerField()
    options: Any = serializers.DictField()


class SyncReplySerializer(serializers.Serializer[None]):
    sources = SpecSerializer(many=True)
    door = serializers.CharField(help_text="path of the WebSocket that takes packets")


class NewTestSerializer(WishSerializer):
    """A source that is not saved yet, or a saved one with or without changes."""

    source = RowNumberField(required=False)  # type: ignore[assignment]  # DRF's metaclass takes it out of the class
    url = serializers.CharField(max_length=MAX_URL_LETTERS, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "source" not in attrs and "url" not in attrs:
            raise serializers.ValidationError({"url": ["This field is required."]})
        return attrs


class SourceTestSerializer(serializers.ModelSerializer[SourceTest]):
    """The context has `now`."""

    state = serializers.SerializerMethodField()
    code = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField()
    found = serializers.SerializerMethodField()
    picture_url = serializers.SerializerMethodField(help_text="empty where there is none")

    class Meta:
        model = SourceTest
        fields = ("id", "state", "stage", "code", "sentence", "found", "picture_url")
        read_only_fields = fields

    def _is_overdue(self, test: SourceTest) -> bool:
        now: datetime = self.context["now"]
        return test.is_overdue(now)

    @extend_schema_field(serializers.ChoiceField(choices=SourceTest.State.choices))
    def get_state(self, test: SourceTest) -> str:
        return SourceTest.State.FAILED.value if self._is_overdue(test) else test.state

    def get_code(self, test: SourceTest) -> str:
        return "failed" if self._is_overdue(test) else test.code

    def get_sentence(self, test: SourceTest) -> str:
        return OVERDUE_SENTENCE if self._is_overdue(test) else test.sentence

    @extend_schema_field(FoundSerializer(allow_null=True))
    def get_found(self, test: SourceTest) -> dict[str, Any] | None:
        return test.found or None

    def get_picture_url(self, test: SourceTest) -> str:
        return reverse("source-test-picture", args=(test.pk,)) if test.has_picture else ""


class CandidatesSerializer(serializers.Serializer[None]):
    """The cameras that nodes say hang on them."""

    usb = serializers.ListField(child=FoundUsbCameraSerializer())
    pi = serializers.ListField(child=FoundPiCameraSerializer())


class OnvifCameraSerializer(serializers.Serializer[None]):
    name = serializers.CharField()
    model = serializers.CharField()
    address = serializers.CharField(help_text="host, and the port where that is not the usual one")
    url = serializers.CharField(help_text="its device service; an `address` for `onvif/streams/`")
    is_added = serializers.BooleanField(help_text="a source takes something from this host already")


class OnvifSearchSerializer(serializers.Serializer[None]):
    state = serializers.ChoiceField(choices=["idle", "searching", "done"])
    cameras = OnvifCameraSerializer(many=True)


class OnvifQuestionSerializer(serializers.Serializer[None]):
    address = serializers.CharField(
        max_length=MAX_URL_LETTERS, help_text="as found, or a host name or IP address"
    )
    username = serializers.CharField(
        max_length=MAX_USERNAME_LETTERS, required=False, default="", allow_blank=True
    )
    password = serializers.CharField(
        max_length=MAX_PASSWORD_LETTERS,
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        write_only=True,
    )


class OnvifProfileSerializer(serializers.Serializer[None]):
    name = serializers.CharField()
    url = serializers.CharField(help_text="without log-in")
    codec = serializers.CharField(help_text="h264, hevc, mjpeg, or empty where it does not say")
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    fps = serializers.FloatField()


class OnvifStreamsSerializer(serializers.Serializer[None]):
    profiles = OnvifProfileSerializer(many=True, help_text="the largest picture first")
