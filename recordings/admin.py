"""Recordings, deletions and the policy in Django's admin: no file is ever orphaned from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from recordings import catalog
from recordings.exceptions import RecordingError
from recordings.models import Deletion, Recording, RecordingPolicy

if TYPE_CHECKING:  # generic for the type checker only
    RecordingBase = admin.ModelAdmin[Recording]
    DeletionBase = admin.ModelAdmin[Deletion]
    RecordingPolicyBase = admin.ModelAdmin[RecordingPolicy]
else:
    RecordingBase = DeletionBase = RecordingPolicyBase = admin.ModelAdmin


@admin.register(Recording)
class RecordingAdmin(RecordingBase):
    """The files are the truth: rows are not added or edited, and deleting goes by the catalog."""

    list_display = ("path", "device", "started_at", "ended_at", "size", "is_locked", "video")
    list_filter = ("device", "is_locked", "hour")
    list_select_related = ("device",)
    date_hierarchy = "started_at"
    search_fields = ("path", "device__name", "device__mac")
    ordering = ("-started_at",)
    actions = ("lock", "unlock", "delete_selected")
    exclude = ("fragment_index",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recording]:
        return super().get_queryset(request).defer("fragment_index")

    def has_add_permission(self, request: HttpRequest, obj: Recording | None = None) -> bool:
        del request, obj
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Recording | None = None) -> list[str]:
        del request, obj
        return [field.name for field in self.opts.fields if field.name != "fragment_index"]

    @admin.display(ordering="size_bytes", description="size")
    def size(self, recording: Recording) -> str:
        return filesizeformat(recording.size_bytes)

    @admin.display(description="video")
    def video(self, recording: Recording) -> str:
        return format_html(
            '<a href="{}?download=1">Download</a>', reverse("recording-file", args=[recording.pk])
        )

    def has_delete_permission(self, request: HttpRequest, obj: Recording | None = None) -> bool:
        """Asked with an object for its own page: what cannot be deleted has no button there."""
        is_allowed = super().has_delete_permission(request, obj)
        if obj is None or not is_allowed or _is_bulk(request):
            return is_allowed
        return not obj.is_locked and obj.ended_at <= catalog.deletable_before(timezone.now())

    def delete_model(self, request: HttpRequest, obj: Recording) -> None:
        self._delete(request, [obj])

    @admin.action(description="Delete with their files", permissions=["delete"])
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Recording]
    ) -> HttpResponseBase | None:
        """Django's page asks; then each goes by the catalog, and a refusal keeps only its own."""
        if not request.POST.get("post"):
            return delete_selected(self, request, queryset)
        deleted = self._delete(request, queryset)
        self.message_user(request, f"{deleted} recordings were deleted.")
        return None

    def _delete(self, request: HttpRequest, recordings: Iterable[Recording]) -> int:
        deleted = 0
        for recording in recordings:
            try:
                catalog.delete(recording=recording, person=request.user)
            except RecordingError as error:
                self.message_user(request, f"{recording.path}: {error}", messages.ERROR)
            else:
                deleted += 1
        return deleted

    @admin.action(description="Lock: never delete", permissions=["change"])
    def lock(self, request: HttpRequest, queryset: QuerySet[Recording]) -> None:
        self._set_locked(request, queryset, is_locked=True)

    @admin.action(description="Unlock", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[Recording]) -> None:
        self._set_locked(request, queryset, is_locked=False)

    def _set_locked(
        self, request: HttpRequest, queryset: QuerySet[Recording], *, is_locked: bool
    ) -> None:
        for pk in queryset.values_list("pk", flat=True):
            try:
                catalog.set_locked(pk=pk, is_locked=is_locked)
            except (RecordingError, OSError) as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(Deletion)
class DeletionAdmin(DeletionBase):
    """A record of what happened: read only."""

    list_display = ("at", "path", "device", "size", "reason", "detail", "person")
    list_filter = ("reason", "device")
    list_select_related = ("device", "person")
    date_hierarchy = "at"
    search_fields = ("path", "detail")

    def has_add_permission(self, request: HttpRequest, obj: Deletion | None = None) -> bool:
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: Deletion | None = None) -> bool:
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Deletion | None = None) -> bool:
        del request, obj
        return False

    @admin.display(ordering="size_bytes", description="size")
    def size(self, deletion: Deletion) -> str:
        return filesizeformat(deletion.size_bytes)


@admin.register(RecordingPolicy)
class RecordingPolicyAdmin(RecordingPolicyBase):
    """One row; made by the settings page, or by the first look at this list."""

    list_display = ("__str__", "max_bytes", "min_free_bytes", "encoder", "preset", "crf")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RecordingPolicy]:
        RecordingPolicy.objects.get_or_create(pk=1)
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest, obj: RecordingPolicy | None = None) -> bool:
        del request, obj
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: RecordingPolicy | None = None
    ) -> bool:
        del request, obj
        return False


def _is_bulk(request: HttpRequest) -> bool:
    return request.POST.get("action") == "delete_selected"
