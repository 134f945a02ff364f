"""What `/api/v1/sources/` and `/api/v1/nodes/` take and give (docs/design/interfaces.md)."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from django.db.models import BigIntegerField
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.addresses import MAX_PASSWORD_LETTERS, MAX_URL_LETTERS, MAX_USERNAME_LETTERS
from devices.models import Node, Source
from devices.sources import MAX_RATE_FPS, TRANSPORTS
from devices.wording import source_sentence


class RowNumberField(serializers.IntegerField):
    """SQLite has no larger ones, and its driver breaks off where it is asked for one."""

    def __init__(self, **how: Any) -> None:
        super().__init__(min_value=1, max_value=BigIntegerField.MAX_BIGINT, **how)


class SourceSerializer(serializers.ModelSerializer[Source]):
    """Rows come with their node; the context has `alive_nodes` and `now`."""

    has_password = serializers.SerializerMethodField()
    node_name = serializers.CharField(source="node.name", read_only=True)
    state = serializers.SerializerMethodField()
    code = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField()

    class Meta:
        model = Source
        fields = (
            "id", "device", "kind", "url", "username", "has_password", "rate_fps", "transport",
            "wants_audio", "is_enabled", "node", "node_name", "environment_name", "state", "code",
            "sentence", "state_since", "attempts", "found",
        )  # fmt: skip
        read_only_fields = fields

    def _alive(self) -> Container[int]:
        alive: Container[int] = self.context["alive_nodes"]
        return alive

    def get_has_password(self, source: Source) -> bool:
        return bool(source.sealed_password)

    @extend_schema_field(serializers.ChoiceField(choices=Source.State.choices))
    def get_state(self, source: Source) -> str:
        return source.state_now(self._alive())

    def get_code(self, source: Source) -> str:
        return source.code_now(self._alive())

    def get_sentence(self, source: Source) -> str:
        return source_sentence(source, self._alive(), self.context["now"])


class WishSerializer(serializers.Serializer[Any]):
    """A source as it shall be; `devices.addresses` checks the address itself.

    Write only: a password that was typed in here is never shown again.
    """

    url = serializers.CharField(
        max_length=MAX_URL_LETTERS,
        help_text="rtsp://, rtsps://, http://, https://, usb:/dev/video0, picamera:0 or simulated:;"
        " a log-in inside is taken out",
    )
    username = serializers.CharField(
        max_length=MAX_USERNAME_LETTERS, required=False, allow_blank=True
    )
    password = serializers.CharField(
        max_length=MAX_PASSWORD_LETTERS,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        write_only=True,
    )
    rate_fps = serializers.FloatField(
        min_value=0,
        max_value=MAX_RATE_FPS,
        required=False,
        help_text="how often to ask a camera that answers with single pictures; 0: once a second",
    )
    transport = serializers.ChoiceField(choices=TRANSPORTS, required=False)
    wants_audio = serializers.BooleanField(required=False)
    node = RowNumberField(
        required=False,
        allow_null=True,
        help_text="the machine that fetches it; without it, or null, the recorder itself",
    )


class NewSourceSerializer(WishSerializer):
    name = serializers.CharField(max_length=80)


class SourceChangeSerializer(WishSerializer):
    """Whatever is given; `is_enabled: true` also tries a failing source again at once."""

    is_enabled = serializers.BooleanField(required=False)


class NodeSerializer(serializers.ModelSerializer[Node]):
    name = serializers.CharField(max_length=80)
    is_alive = serializers.SerializerMethodField(help_text="it called within the last 15 seconds")
    source_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Node
        fields = (
            "id", "name", "is_local", "is_alive", "last_seen_at", "last_address", "created_at",
            "source_count",
        )  # fmt: skip
        read_only_fields = tuple(name for name in fields if name != "name")

    def get_is_alive(self, node: Node) -> bool:
        return node.pk in self.context["alive_nodes"]


class NodeKeySerializer(NodeSerializer):
    key = serializers.CharField(read_only=True, help_text="shown this once and kept nowhere")

    class Meta(NodeSerializer.Meta):
        fields = (*NodeSerializer.Meta.fields, "key")  # type: ignore[assignment]
        read_only_fields = (*NodeSerializer.Meta.read_only_fields, "key")
