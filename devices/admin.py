"""Cameras in Django's admin: looking things up, and the few changes the pages do not offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from devices import services, sources
from devices.exceptions import DeviceError
from devices.firmware_models import FirmwareImage, Rollout, RolloutDevice, UpdateKey
from devices.models import (
    ApiToken,
    Device,
    DeviceEvent,
    DeviceKey,
    EnrolmentPolicy,
    Node,
    Source,
    TelemetrySample,
    inactive_after,
)
from devices.wording import source_sentence

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
    Inline = admin.TabularInline[Any, Any]
else:
    Admin = admin.ModelAdmin  # takes no type argument at run time
    Inline = admin.TabularInline


class Inactive(admin.SimpleListFilter):
    title = "unseen for long"
    parameter_name = "inactive"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        del request
        unseen = Q(last_seen_at__lte=timezone.now() - inactive_after())
        return queryset.filter({"yes": unseen, "no": ~unseen}.get(self.value() or "", Q()))


class ReadOnly(Admin):
    """Written by the recorder only."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False


@admin.register(Device)
class DeviceAdmin(Admin):
    """No "add": a camera appears by registering. Deleting refuses while recordings exist."""

    list_display = (
        "name", "mac", "kind", "presence", "last_seen_at", "enrolment", "last_address", "usable_keys",
    )  # fmt: skip
    list_filter = ("presence", "kind", "enrolment", Inactive)
    search_fields = ("name", "mac", "last_address")
    filter_horizontal = ("people",)
    actions = ("approve",)
    fields = (
        "name", "position", "people", "mac", "registered_as", "kind", "enrolment", "config", "frame_rates",
        "presence", "presence_since", "last_seen_at", "created_at", "connection_count",
        "last_address", "firmware_version", "firmware_board", "update_key", "last_reset_reason",
    )  # fmt: skip
    # The configuration too: a change has to be checked and told to the camera, which its page does.
    readonly_fields = fields[3:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        usable = Count("keys", filter=Q(keys__revoked_at=None))
        rows: QuerySet[Device] = super().get_queryset(request).annotate(key_count=usable)
        return rows

    @admin.display(description="keys", ordering="key_count")
    def usable_keys(self, device: Device) -> int:
        count: int = device.key_count  # type: ignore[attr-defined]
        return count

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    @admin.action(description="Approve: let the newest waiting key in", permissions=["change"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            services.approve(device_pk=device.pk)
        self.message_user(request, f"{len(queryset)} approved.", messages.SUCCESS)

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        """Through the service, so that an open connection is closed."""
        try:
            services.delete_device(device_pk=obj.pk)
        except DeviceError as error:  # a recording began after the page asked for confirmation
            self.message_user(request, f"{obj}: {error}.", messages.ERROR)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            self.delete_model(request, device)


@admin.register(DeviceKey)
class DeviceKeyAdmin(ReadOnly):
    """Keys are issued to cameras, revoked here, and never deleted: a row says who had one."""

    list_display = (
        "device", "enrolment", "issued_to", "created_at", "last_used_at", "revoked_at",
    )  # fmt: skip
    list_filter = (
        "enrolment",
        ("revoked_at", admin.EmptyFieldListFilter),
        ("last_used_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("device__name", "device__mac", "issued_to")
    list_select_related = ("device",)
    date_hierarchy = "created_at"
    exclude = ("key_hash",)
    actions = ("approve", "revoke")

    # The actions ask for a right of their own name: "change" is always refused here.
    def has_decide_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnly, self).has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del obj
        # Only as part of deleting the camera, whose pages ask this too.
        is_camera_page = request.path.startswith(reverse("admin:devices_device_changelist"))
        return is_camera_page and super().has_delete_permission(request)

    @admin.action(description="Approve", permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[DeviceKey]) -> None:
        waiting = queryset.usable().filter(enrolment="pending")  # type: ignore[attr-defined]
        count = 0
        for key in waiting:
            services.approve(device_pk=key.device_id, key_pk=key.pk)
            count += 1
        self.message_user(request, f"{count} approved.", messages.SUCCESS)

    @admin.action(description="Revoke: lock the holder out", permissions=["decide"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[DeviceKey]) -> None:
        count = 0
        for key in queryset.usable():  # type: ignore[attr-defined]
            services.revoke_key(device_pk=key.device_id, key_pk=key.pk)
            count += 1
        self.message_user(request, f"{count} revoked.", messages.SUCCESS)


@admin.register(TelemetrySample)
class TelemetrySampleAdmin(ReadOnly):
    list_display = (
        "device", "at", "received_fps", "rssi_dbm", "free_heap_bytes", "uptime_ms", "boot_count",
        "dropped_frames",
    )  # fmt: skip
    list_filter: ClassVar[Any] = ("device",)
    date_hierarchy = "at"
    list_select_related = ("device",)
    show_full_result_count = False  # 2 million rows take SQLite a second to count


@admin.register(DeviceEvent)
class DeviceEventAdmin(ReadOnly):
    list_display = ("device", "at", "kind", "detail")
    list_filter: ClassVar[Any] = ("kind", "device")
    search_fields = ("detail", "device__name")
    date_hierarchy = "at"
    list_select_related = ("device",)


@admin.register(EnrolmentPolicy)
class EnrolmentPolicyAdmin(Admin):
    """One row, made by the first registration or the settings page."""

    list_display = ("mode", "max_devices")

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return not EnrolmentPolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    """Made by their owner, who alone sees the token once; an admin can delete them here."""

    list_display = ("name", "user", "created", "last_used_at", "expiry")
    list_filter: ClassVar[Any] = ("user",)
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    exclude = ("digest", "token_key")


@admin.register(Source)
class SourceAdmin(ReadOnly):
    """A source goes with its camera. Passwords are shown nowhere."""

    list_display = (
        "device", "kind", "url", "node", "is_enabled", "state_shown", "sentence_shown", "state_since",
        "attempts",
    )  # fmt: skip
    list_filter: ClassVar[Any] = ("kind", "state", "is_enabled", "node")
    search_fields = ("device__name", "device__mac", "url")
    list_select_related = ("device", "node")
    exclude = ("sealed_password",)
    actions = ("try_again", "switch_off")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del obj
        # Only as part of deleting the camera, whose pages ask this too.
        is_own_page = request.path.startswith("/admin/devices/source/")
        return not is_own_page and super().has_delete_permission(request)

    # The actions ask for a right of their own name: "change" is always refused here.
    def has_switch_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnly, self).has_change_permission(request)

    @admin.display(description="state", ordering="state")
    def state_shown(self, source: Source) -> str:
        return str(Source.State(source.state_now(sources.alive_nodes())).label)

    @admin.display(description="in words")
    def sentence_shown(self, source: Source) -> str:
        return source_sentence(source, sources.alive_nodes(), timezone.now())

    @admin.action(description="Switch on, or try again at once", permissions=["switch"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description="Switch off", permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        self._switch(request, queryset, is_enabled=False)

    def _switch(
        self, request: HttpRequest, queryset: QuerySet[Source], *, is_enabled: bool
    ) -> None:
        for source in queryset:
            sources.update_source(source_pk=source.pk, changes={}, is_enabled=is_enabled)
        said = "started again" if is_enabled else "switched off"
        self.message_user(request, f"{len(queryset)} {said}.", messages.SUCCESS)


@admin.register(Node)
class NodeAdmin(Admin):
    """Made by API, which shows the key once; a name can be changed here."""

    list_display = ("name", "is_local", "is_alive", "last_seen_at", "last_address", "source_count")
    search_fields = ("name", "last_address")
    exclude = ("key_hash",)
    readonly_fields = ("is_local", "created_at", "last_seen_at", "last_address", "cameras")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        rows: QuerySet[Node] = super().get_queryset(request).annotate(count=Count("sources"))
        return rows

    @admin.display(boolean=True, description="answers")
    def is_alive(self, node: Node) -> bool:
        return node.pk in sources.alive_nodes()

    @admin.display(description="sources", ordering="count")
    def source_count(self, node: Node) -> int:
        count: int = node.count  # type: ignore[attr-defined]
        return count

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        try:
            sources.delete_node(node_pk=obj.pk)
        except DeviceError as error:
            self.message_user(request, f"{obj}: {error}.", messages.ERROR)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        for node in queryset:
            self.delete_model(request, node)


class ShownOnly(ReadOnly):
    """Changed and deleted on the firmware page, which takes the file along and looks who uses it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False


@admin.register(UpdateKey)
class UpdateKeyAdmin(ShownOnly):
    list_display = ("name", "short_id", "added_by", "added_at")
    search_fields = ("name", "short_id")


@admin.register(FirmwareImage)
class FirmwareImageAdmin(ShownOnly):
    list_display = ("version", "board", "size_bytes", "signer", "uploaded_by", "uploaded_at")
    list_filter: ClassVar[Any] = ("board",)
    search_fields = ("version", "board", "signer", "notes")


class RolloutDeviceInline(Inline):
    model = RolloutDevice
    fields = ("device", "stage", "state", "detail", "from_version", "announced_at", "at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[RolloutDevice]:
        rows: QuerySet[RolloutDevice] = super().get_queryset(request).select_related("device")
        return rows


@admin.register(Rollout)
class RolloutAdmin(ShownOnly):
    list_display = (
        "image", "state", "stage", "reason", "started_by", "started_at", "ended_at",
    )  # fmt: skip
    list_filter: ClassVar[Any] = ("state", "board")
    list_select_related = ("image",)
    inlines = (RolloutDeviceInline,)
