"""The shapes of the recordings API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from recordings import gaps
from recordings.models import Recording
from recordings.playback import MAX_PLAYLIST_MS, is_growing
from recordings.timeline import MAX_SPAN_MS

MAX_MS = 32_503_680_000_000  # the year 3000: far from where datetime ends
MAX_PK = 2**63 - 1  # what a database holds


class RecordingSerializer(serializers.ModelSerializer[Recording]):
    is_growing = serializers.SerializerMethodField(
        help_text="The hour is not over, or its last seconds are still being encoded."
    )

    class Meta:
        model = Recording
        fields = (
            "id", "device", "path", "date", "hour", "started_at", "ended_at", "duration_ms",
            "size_bytes", "width", "height", "codecs", "is_locked", "is_growing",
        )  # fmt: skip
        read_only_fields = tuple(name for name in fields if name != "is_locked")

    def get_is_growing(self, recording: Recording) -> bool:
        return is_growing(recording.ended_at, timezone.now())


class LockSerializer(serializers.Serializer[None]):
    is_locked = serializers.BooleanField(help_text="A locked recording is never deleted.")


class SpanSerializer(serializers.Serializer[None]):
    """Half-open `[start_ms, end_ms)`, epoch milliseconds."""

    longest_ms = MAX_SPAN_MS
    start_ms = serializers.IntegerField(min_value=0, max_value=MAX_MS)
    end_ms = serializers.IntegerField(min_value=0, max_value=MAX_MS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        length_ms = attrs["end_ms"] - attrs["start_ms"]
        if length_ms <= 0:
            raise serializers.ValidationError({"end_ms": ["The end must come after the start."]})
        if length_ms > self.longest_ms:
            hours = self.longest_ms // 3_600_000
            raise serializers.ValidationError({"end_ms": [f"At most {hours} hours at once."]})
        return attrs


class PlaylistQuerySerializer(SpanSerializer):
    """Without `end_ms` the playlist goes on as video is recorded."""

    longest_ms = MAX_PLAYLIST_MS
    end_ms = serializers.IntegerField(min_value=0, max_value=MAX_MS, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return super().validate(attrs) if "end_ms" in attrs else attrs


class TimelineQuerySerializer(SpanSerializer):
    device = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_PK),
        required=False,
        help_text="One or several; without it every camera you may see.",
    )


class CoverageSerializer(serializers.Serializer[None]):
    id = serializers.IntegerField(help_text="The device.")
    spans = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="[start_ms, end_ms] in order; silences up to 5 s do not split one.",
    )


class TimelineSerializer(serializers.Serializer[None]):
    devices = CoverageSerializer(many=True)


class GapsQuerySerializer(SpanSerializer):
    longest_ms = gaps.MAX_SPAN_MS
    device = serializers.IntegerField(min_value=1, max_value=MAX_PK)


class GapSerializer(serializers.Serializer[None]):
    start_ms = serializers.IntegerField()
    end_ms = serializers.IntegerField()
    cause = serializers.ChoiceField(choices=[cause.value for cause in gaps.Cause])
    sentence = serializers.CharField(help_text="For people, without a full stop.")
    began_ms = serializers.IntegerField(
        help_text="When the silence began, which may be before the span asked for."
    )
    ended_ms = serializers.IntegerField(
        allow_null=True, help_text="When it ended, which may be after that span; null: it lasts."
    )


class GapsSerializer(serializers.Serializer[None]):
    gaps = GapSerializer(many=True)


class CalendarQuerySerializer(serializers.Serializer[None]):
    device = serializers.IntegerField(min_value=1, max_value=MAX_PK)
    month = serializers.DateField(input_formats=["%Y-%m"], help_text="YYYY-MM")


class CalendarSerializer(serializers.Serializer[None]):
    days = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Seconds of video by local day (YYYY-MM-DD); days without any are left out.",
    )
