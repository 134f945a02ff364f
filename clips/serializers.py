"""The shapes of the clips API."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from clips import wording
from clips.models import MAX_SHARE_HOURS, MAX_SIDE_SECONDS, Clip, Share

MAX_MS = 32_503_680_000_000  # the year 3000: far from where datetime ends
MAX_PK = 2**63 - 1  # what a database holds


class ClipSerializer(serializers.ModelSerializer[Clip]):
    trigger_at = serializers.DateTimeField(read_only=True, allow_null=True)
    device_name = serializers.CharField(read_only=True)
    sentence = serializers.SerializerMethodField(help_text="the state in words")
    thumbnail_url = serializers.SerializerMethodField()
    file_url = serializers.SerializerMethodField()

    class Meta:
        model = Clip
        fields = (
            "id", "device", "device_name", "group", "kind", "trigger_at", "start_ms", "end_ms",
            "actual_start_ms", "actual_end_ms", "state", "reason", "sentence", "name", "note",
            "is_locked", "size_bytes", "duration_ms", "width", "height", "codecs", "has_audio",
            "created_at", "created_by", "thumbnail_url", "file_url",
        )  # fmt: skip
        read_only_fields = fields

    def get_sentence(self, clip: Clip) -> str:
        return wording.sentence(clip)

    def get_thumbnail_url(self, clip: Clip) -> str | None:
        is_there = clip.is_ready and clip.has_thumbnail
        return reverse("clip-thumbnail", args=[clip.pk]) if is_there else None

    def get_file_url(self, clip: Clip) -> str | None:
        return reverse("clip-file", args=[clip.pk]) if clip.is_ready else None


class _TextsSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False)
    note = serializers.CharField(max_length=4000, required=False, allow_blank=True)


class ClipPatchSerializer(_TextsSerializer):
    is_locked = serializers.BooleanField(required=False, help_text="never deleted by a limit")


def _seconds(side: str) -> serializers.IntegerField:
    sentence = f"0 to {MAX_SIDE_SECONDS} seconds {side} the moment."
    return serializers.IntegerField(
        min_value=0,
        max_value=MAX_SIDE_SECONDS,
        required=False,
        error_messages=dict.fromkeys(("min_value", "max_value", "invalid"), sentence),
    )


class NewClipSerializer(_TextsSerializer):
    """A moment of one, several or all cameras; or, with `start_ms` and `end_ms`, a span of one."""

    device = serializers.IntegerField(required=False, min_value=1, max_value=MAX_PK)
    devices = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_PK),
        required=False,
        min_length=1,
        max_length=1000,
    )
    all = serializers.BooleanField(required=False, help_text="every camera you may see")
    at_ms = serializers.IntegerField(
        min_value=0, max_value=MAX_MS, required=False, help_text="the moment; now, if left out"
    )
    before_seconds = _seconds("before")
    after_seconds = _seconds("after")
    start_ms = serializers.IntegerField(min_value=0, max_value=MAX_MS, required=False)
    end_ms = serializers.IntegerField(min_value=0, max_value=MAX_MS, required=False)
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named: list[str] = [name for name in ("device", "devices") if name in attrs]
        if attrs.get("all"):
            named.append("all")
        if len(named) != 1:
            raise serializers.ValidationError(
                {"device": ['Say which: "device", "devices" or "all", and one of them only.']}
            )
        if ("start_ms" in attrs) != ("end_ms" in attrs):
            raise serializers.ValidationError({"end_ms": ["A span has a start and an end."]})
        if "start_ms" in attrs:
            if named != ["device"]:
                raise serializers.ValidationError({"device": ["A span is of one camera."]})
            both = {"at_ms", "before_seconds", "after_seconds"} & attrs.keys()
            if both:
                raise serializers.ValidationError(
                    {name: ["A moment or a span, not both."] for name in sorted(both)}
                )
        return attrs


class MadeClipsSerializer(serializers.Serializer[Any]):
    group = serializers.UUIDField()
    clips = ClipSerializer(many=True)


class ShareSerializer(serializers.ModelSerializer[Share]):
    class Meta:
        model = Share
        fields = ("id", "created_at", "created_by", "expires_at")
        read_only_fields = fields


class NewShareSerializer(serializers.Serializer[Any]):
    hours = serializers.IntegerField(
        min_value=1,
        max_value=MAX_SHARE_HOURS,
        default=24,
        error_messages=dict.fromkeys(
            ("min_value", "max_value", "invalid"),
            f"A link may work for 1 to {MAX_SHARE_HOURS} hours.",
        ),
    )


class MadeShareSerializer(ShareSerializer):
    url = serializers.SerializerMethodField(help_text="shown this once")

    class Meta:
        model = Share
        fields = (*ShareSerializer.Meta.fields, "url")
        read_only_fields = fields

    def get_url(self, share: Share) -> str:
        """The host as the person knows it, who will pass the link on."""
        del share
        path = reverse("shared-clip", args=[self.context["token"]])
        address: str = self.context["request"].build_absolute_uri(path)
        return address


class WindowSerializer(serializers.Serializer[Any]):
    """Of one camera; both null: as the settings say for all."""

    before_seconds = serializers.IntegerField(
        min_value=0, max_value=MAX_SIDE_SECONDS, allow_null=True
    )
    after_seconds = serializers.IntegerField(
        min_value=0, max_value=MAX_SIDE_SECONDS, allow_null=True
    )
    is_default = serializers.BooleanField(read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        before, after = attrs["before_seconds"], attrs["after_seconds"]
        if (before is None) != (after is None):
            raise serializers.ValidationError({"after_seconds": ["Say both, or neither."]})
        if before == 0 and after == 0:
            raise serializers.ValidationError(
                {"after_seconds": ["A clip needs at least one second."]}
            )
        return attrs
