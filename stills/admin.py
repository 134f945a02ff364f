"""Captures and what belongs to them in Django's admin: no file is ever orphaned from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from stills import services
from stills.models import Analysis, CameraPicture, Capture, NodeCamera

if TYPE_CHECKING:  # generic for the type checker only
    CaptureBase = admin.ModelAdmin[Capture]
    CameraBase = admin.ModelAdmin[NodeCamera]
    AnalysisBase = admin.ModelAdmin[Analysis]
    PictureBase = admin.ModelAdmin[CameraPicture]
else:
    CaptureBase = CameraBase = AnalysisBase = PictureBase = admin.ModelAdmin


class ReadOnly:
    """Rows are made by the recorder; here they are looked at, and deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        del request, obj
        return False


@admin.register(Capture)
class CaptureAdmin(ReadOnly, CaptureBase):
    """Deleting goes by the services: the file goes along, and one that is taken is cancelled."""

    list_display = (
        "__str__", "device", "kind", "state", "reason", "size", "system", "created_by",
        "created_at",
    )  # fmt: skip
    list_filter = ("state", "kind", "system", "origin", "device", "created_at")
    list_select_related = ("device",)
    search_fields = ("filename", "wanted_name", "device_label", "created_by", "reason")
    date_hierarchy = "created_at"
    actions = ("delete_selected",)
    exclude = ("lease",)  # with its token the camera could be given back
    show_full_result_count = False

    @admin.display(ordering="size_bytes", description="size")
    def size(self, capture: Capture) -> str:
        return filesizeformat(capture.size_bytes)

    def delete_model(self, request: HttpRequest, obj: Capture) -> None:
        self._delete(request, [obj])

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """Nothing is said to be deleted that the disk kept."""
        if Capture.objects.filter(pk=obj_id).exists():
            return HttpResponseRedirect(reverse("admin:stills_capture_changelist"))
        return super().response_delete(request, obj_display, obj_id)

    @admin.action(description="Delete with their files", permissions=["delete"])
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Capture]
    ) -> HttpResponseBase | None:
        """Django's page asks; a refusal keeps only its own capture."""
        if not request.POST.get("post"):
            return delete_selected(self, request, queryset)
        deleted = self._delete(request, queryset)
        self.message_user(request, f"{deleted} captures were deleted.")
        return None

    def _delete(self, request: HttpRequest, captures: Iterable[Capture]) -> int:
        deleted = 0
        for capture in captures:
            try:
                services.delete(capture)
            except Capture.DoesNotExist:  # by somebody else, this moment
                continue
            except OSError as error:
                text = f"The disk refuses to delete {capture}: {error.strerror or error}."
                self.message_user(request, text, messages.ERROR)
            else:
                deleted += 1
        return deleted


@admin.register(NodeCamera)
class NodeCameraAdmin(ReadOnly, CameraBase):
    """What each machine's worker last saw; the row of a machine that is gone can be deleted."""

    list_display = (
        "node_id", "is_there", "backend", "sentence", "looked_at", "last_capture_at", "last_error",
    )  # fmt: skip
    list_filter = ("is_there", "backend")
    search_fields = ("node_id", "sentence", "last_error")


@admin.register(Analysis)
class AnalysisAdmin(ReadOnly, AnalysisBase):
    list_display = ("filename", "state", "reason", "created_at", "finished_at")
    list_filter = ("state", "created_at")
    list_select_related = ("capture",)
    search_fields = ("filename", "reason")
    date_hierarchy = "created_at"
    show_full_result_count = False


@admin.register(CameraPicture)
class CameraPictureAdmin(ReadOnly, PictureBase):
    """Chosen on the captures page; deleting one leaves the capture."""

    list_display = ("device", "capture")
    list_select_related = ("device", "capture")
    search_fields = ("device__name", "capture__filename")
