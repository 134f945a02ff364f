"""What `/api/v1/firmware/` takes and gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import updates_plan
from devices.firmware_image import MAX_PEM_CHARACTERS
from devices.firmware_models import FirmwareImage, Rollout, RolloutDevice, UpdateKey
from devices.models import Device
from devices.updates_wording import device_sentence, rollout_sentence


class UpdateKeySerializer(serializers.ModelSerializer[UpdateKey]):
    class Meta:
        model = UpdateKey
        fields = ("id", "name", "short_id", "public_pem", "added_by", "added_at")


class NewKeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    pem = serializers.CharField(
        max_length=MAX_PEM_CHARACTERS, help_text="the public key, ECDSA P-256, in PEM"
    )


class FirmwareImageSerializer(serializers.ModelSerializer[FirmwareImage]):
    """The context has `key_names`, by short id, and `in_use`, the images that are rolled out."""

    signer_name = serializers.SerializerMethodField()
    is_in_use = serializers.SerializerMethodField()

    class Meta:
        model = FirmwareImage
        fields = (
            "id", "board", "version", "size_bytes", "sha256", "signer", "signer_name", "notes",
            "uploaded_by", "uploaded_at", "is_in_use",
        )  # fmt: skip

    def get_signer_name(self, image: FirmwareImage) -> str:
        """Empty when its key is not trusted any more."""
        names: dict[str, str] = self.context["key_names"]
        return names.get(image.signer, "")

    def get_is_in_use(self, image: FirmwareImage) -> bool:
        return image.pk in self.context["in_use"]


class NewImageSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(help_text="as `manage.py signfirmware image` made it")
    notes = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class StageSerializer(serializers.Serializer[Any]):
    """Either `count` or `percent`; how many have it at its end. The last one is 100 percent."""

    count = serializers.IntegerField(required=False, allow_null=True)
    percent = serializers.IntegerField(required=False, allow_null=True)
    soak_minutes = serializers.IntegerField(default=0)


class NewRolloutSerializer(serializers.Serializer[Any]):
    image = serializers.IntegerField()
    stages = StageSerializer(many=True, required=False)


class ResumeSerializer(serializers.Serializer[Any]):
    retry = serializers.BooleanField(default=False, help_text="those that failed, once more")


class RolloutDeviceSerializer(serializers.ModelSerializer[RolloutDevice]):
    name = serializers.CharField(source="device.name")
    sentence = serializers.SerializerMethodField()

    class Meta:
        model = RolloutDevice
        fields = (
            "device", "name", "stage", "state", "sentence", "detail", "from_version", "at",
            "announced_at",
        )  # fmt: skip

    def get_sentence(self, row: RolloutDevice) -> str:
        return device_sentence(row)


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    """Rows come with `image` and `devices__device`; the context has `now`."""

    version = serializers.CharField(source="image.version")
    stages = StageSerializer(many=True)
    stage_words = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField()
    next_stage_at = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()
    devices = RolloutDeviceSerializer(many=True)

    class Meta:
        model = Rollout
        fields = (
            "id", "image", "board", "version", "stages", "stage_words", "stage", "state", "reason",
            "sentence", "stage_began_at", "next_stage_at", "started_by", "started_at", "ended_at",
            "counts", "devices",
        )  # fmt: skip

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_stage_words(self, rollout: Rollout) -> list[str]:
        return [updates_plan.in_words(stage) for stage in rollout.stages]

    def get_sentence(self, rollout: Rollout) -> str:
        return rollout_sentence(rollout, list(rollout.devices.all()), self.context["now"])

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_stage_at(self, rollout: Rollout) -> Any:
        """When the next stage begins if nothing happens until then; null where that is open."""
        is_soaking = rollout.state == Rollout.State.RUNNING and rollout.settled_at is not None
        return rollout.settled_at + rollout.soak if is_soaking and rollout.settled_at else None

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_counts(self, rollout: Rollout) -> dict[str, int]:
        """Cameras by state."""
        return dict(Counter(row.state for row in rollout.devices.all()))


class FirmwareCameraSerializer(serializers.ModelSerializer[Device]):
    """The context has `live`, as `livestate.read()` gives it, and `key_names`, by short id."""

    board = serializers.CharField(source="firmware_board")
    version = serializers.CharField(source="firmware_version")
    key_name = serializers.SerializerMethodField()
    is_connected = serializers.SerializerMethodField()

    class Meta:
        model = Device
        fields = (
            "id", "name", "board", "version", "update_key", "key_name", "is_connected",
            "last_seen_at",
        )  # fmt: skip

    def get_key_name(self, device: Device) -> str:
        """Empty for none, and for one that is not trusted here."""
        names: dict[str, str] = self.context["key_names"]
        return names.get(device.update_key, "")

    def get_is_connected(self, device: Device) -> bool:
        return device.pk in self.context["live"]
