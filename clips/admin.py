"""Clips and their links in Django's admin: no file is ever orphaned from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from clips import services
from clips.exceptions import ClipError
from clips.models import CameraWindow, Clip, ClipPolicy, Share

if TYPE_CHECKING:  # generic for the type checker only
    ClipBase = admin.ModelAdmin[Clip]
    ShareBase = admin.ModelAdmin[Share]
    WindowBase = admin.ModelAdmin[CameraWindow]
    PolicyBase = admin.ModelAdmin[ClipPolicy]
else:
    ClipBase = ShareBase = WindowBase = PolicyBase = admin.ModelAdmin


@admin.register(Clip)
class ClipAdmin(ClipBase):
    """Rows are not added or edited here but for their words; deleting goes by the services."""

    list_display = ("name", "device", "trigger_at", "state", "reason", "size", "is_locked")
    list_filter = ("state", "device", "is_locked", "kind")
    list_select_related = ("device",)
    search_fields = ("name", "note", "device_label")
    actions = ("delete_selected",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Clip]:
        return super().get_queryset(request).filter(deleting_since=None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Clip | None = None) -> list[str]:
        del request, obj
        edited = ("name", "note", "is_locked")
        return [field.name for field in self.opts.fields if field.name not in edited]

    def save_model(self, request: HttpRequest, obj: Clip, form: object, change: bool) -> None:
        del request, form, change
        services.update(clip=obj, name=obj.name, note=obj.note, is_locked=obj.is_locked)

    @admin.display(ordering="size_bytes", description="size")
    def size(self, clip: Clip) -> str:
        return filesizeformat(clip.size_bytes)

    def delete_model(self, request: HttpRequest, obj: Clip) -> None:
        self._delete(request, [obj])

    @admin.action(description="Delete with their files", permissions=["delete"])
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Clip]
    ) -> HttpResponseBase | None:
        """Django's page asks; a refusal keeps only its own clip."""
        if not request.POST.get("post"):
            return delete_selected(self, request, queryset)
        deleted = self._delete(request, queryset)
        self.message_user(request, f"{deleted} clips were deleted.")
        return None

    def _delete(self, request: HttpRequest, clips: Iterable[Clip]) -> int:
        deleted = 0
        for clip in clips:
            try:
                services.delete(clip=clip)
            except (ClipError, OSError) as error:
                self.message_user(request, f"{clip.name}: {error}", messages.ERROR)
            else:
                deleted += 1
        return deleted


@admin.register(Share)
class ShareAdmin(ShareBase):
    """Links cannot be made here, because a link is shown once; they can be withdrawn."""

    list_display = ("clip", "created_at", "created_by", "expires_at", "revoked_at")
    list_select_related = ("clip",)
    exclude = ("token_hash",)
    actions = ("withdraw",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Share | None = None) -> list[str]:
        del request, obj
        return [field.name for field in self.opts.fields if field.name != "token_hash"]

    @admin.action(description="Withdraw", permissions=["delete"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        del request
        queryset.filter(revoked_at=None).update(revoked_at=timezone.now())


@admin.register(CameraWindow)
class CameraWindowAdmin(WindowBase):
    list_display = ("device", "before_seconds", "after_seconds")
    list_select_related = ("device",)


@admin.register(ClipPolicy)
class ClipPolicyAdmin(PolicyBase):
    """One row; made by the settings page, or by the first look at this list."""

    list_display = ("__str__", "max_count", "max_bytes", "legacy_camera")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClipPolicy]:
        ClipPolicy.objects.get_or_create(pk=1)
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ClipPolicy | None = None) -> bool:
        del request, obj
        return False
