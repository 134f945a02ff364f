"""`/api/v1/captures/` and what belongs to it: taking, finding, looking at, analysing, and this
machine's own camera.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.models import Device
from devices.permissions import IsOperator, IsViewer, has_role
from recordings.api import AnyAccept, Conflict, DiskTrouble
from recordings.ranges import serve_file
from stills import files, lease, services, streamed, wording
from stills.exceptions import BadOrderError, FileMissingError, QueueError
from stills.filters import AnalysisFilter, CaptureFilter
from stills.models import Analysis, CameraPicture, Capture, CaptureQuerySet, State
from stills.serializers import (
    AnalysisSerializer,
    CameraPictureSerializer,
    CaptureSerializer,
    NewCaptureSerializer,
    OwnCameraSerializer,
)

_READS = ("list", "retrieve")
_FILE_PARAMETERS = [
    OpenApiParameter("download", bool, description="Name it for saving"),
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="RFC 9110 §14"),
]


class NobodyThere(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "queue"


def captures_of(user: AbstractBaseUser | AnonymousUser) -> CaptureQuerySet:
    """Those that a person may see, as CaptureSerializer wants them."""
    chosen = CameraPicture.objects.filter(capture=OuterRef("pk"))
    rows = Capture.objects.for_user(user).select_related("device")
    return rows.annotate(is_camera_picture=Exists(chosen))


def analyses_of(user: AbstractBaseUser | AnonymousUser) -> QuerySet[Analysis]:
    """Of the captures that a person may see; of files that no capture knows the operators'."""
    visible = Q(capture__in=Capture.objects.for_user(user))
    if has_role(user, "operator"):
        visible |= Q(capture=None)
    return Analysis.objects.filter(visible)


@contextmanager
def _as_answers() -> Iterator[None]:
    """This app's errors about a capture as DRF's."""
    try:
        yield
    except BadOrderError as error:  # what was asked of it is not possible in its state
        raise Conflict(str(error)) from error
    except Capture.DoesNotExist as error:  # deleted since it was looked up
        raise exceptions.NotFound from error
    except OSError as error:
        raise DiskTrouble(f"The disk refuses: {error.strerror or error}.") from error


class CaptureViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Capture]
):
    """Newest first. Only a ready capture has a file."""

    serializer_class = CaptureSerializer
    filterset_class = CaptureFilter
    search_fields = ("filename", "wanted_name")
    ordering_fields = ("created_at", "size_bytes", "filename")

    def get_queryset(self) -> CaptureQuerySet:
        return captures_of(self.request.user)

    def get_permissions(self) -> list[BasePermission]:
        is_read = self.action in _READS or (
            self.action == "analyses" and self.request.method in ("GET", "HEAD")
        )
        return [IsViewer() if is_read else IsOperator()]

    @extend_schema(request=NewCaptureSerializer, responses={202: CaptureSerializer})
    def create(self, request: Request) -> Response:
        """Take a picture or a video: with this machine's own camera, or of what a camera streams.

        It waits for its turn; ask again until `state` is `ready`, `failed` or `cancelled`.
        """
        wanted = NewCaptureSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        device = None
        if device_pk := wanted.validated_data["device"]:
            device = get_object_or_404(Device.objects.for_user(request.user), pk=device_pk)
        try:
            capture = services.request(wanted.wish(), by=request.user.get_username(), device=device)
        except BadOrderError as error:
            raise exceptions.ValidationError({error.field: [str(error)]}) from error
        return self._answer(capture.pk, status.HTTP_202_ACCEPTED)

    @extend_schema(responses={204: None, 503: OpenApiResponse(description="The disk refuses")})
    def destroy(self, request: Request, pk: uuid.UUID) -> Response:
        """With its file and analyses; one that is not over is cancelled first."""
        del request, pk
        with _as_answers():
            services.delete(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=None,
        responses={202: CaptureSerializer, 409: OpenApiResponse(description="It is over")},
    )
    def cancel(self, request: Request, pk: uuid.UUID) -> Response:
        """Of one that is being taken the camera's program ends within a second."""
        del request, pk
        capture = self.get_object()
        was_over = capture.is_finished
        with _as_answers():
            services.cancel(capture)
        if was_over or capture.state != State.CANCELLED:
            raise Conflict("This capture is over already, so it cannot be cancelled.")
        return self._answer(capture.pk, status.HTTP_202_ACCEPTED)

    @extend_schema(
        request=None,
        responses={200: CaptureSerializer, 409: OpenApiResponse(description="It cannot be one")},
    )
    def use_as_picture(self, request: Request, pk: uuid.UUID) -> Response:
        """What its camera shows while it sends nothing."""
        del request, pk
        capture = self.get_object()
        with _as_answers():
            services.use_as_picture(capture)
        return self._answer(capture.pk)

    @extend_schema(request=None, responses=CaptureSerializer)
    def forget_picture(self, request: Request, pk: uuid.UUID) -> Response:
        """The camera shows nothing in its place any more; nothing where it showed another one."""
        del request, pk
        capture = self.get_object()
        shown = CameraPicture.objects.select_related("device").filter(capture=capture).first()
        if shown is not None:
            services.forget_picture(shown.device)
        return self._answer(capture.pk)

    @extend_schema(methods=["GET"], responses=AnalysisSerializer(many=True), filters=False)
    @extend_schema(
        methods=["POST"],
        request=None,
        responses={202: AnalysisSerializer, 409: OpenApiResponse(description="It is not ready")},
    )
    def analyses(self, request: Request, pk: uuid.UUID) -> Response:
        """What was found out about its file, newest first; POST looks at it again."""
        del pk
        capture = self.get_object()
        if request.method == "POST":
            with _as_answers():
                analysis = services.request_analysis(capture)
            made = AnalysisSerializer(analysis)
            return Response(made.data, status=status.HTTP_202_ACCEPTED)
        rows: QuerySet[Any] = capture.analyses.all()
        page = self.paginate_queryset(rows)
        shown: list[Any] = list(page or [])
        return self.get_paginated_response(AnalysisSerializer(shown, many=True).data)

    def _answer(self, pk: uuid.UUID, code: int = status.HTTP_200_OK) -> Response:
        """The row as it is now. A worker may have it already."""
        capture = get_object_or_404(self.get_queryset(), pk=pk)
        return Response(self.get_serializer(capture).data, status=code)


class CaptureFileView(APIView):
    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=_FILE_PARAMETERS,
        responses={
            **{(200, kind): OpenApiTypes.BINARY for kind in files.CONTENT_TYPES.values()},
            206: OpenApiResponse(description="The bytes asked for"),
            416: OpenApiResponse(description="No such bytes"),
        },
    )
    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        """Whole or in ranges; 404 until it is ready."""
        capture = get_object_or_404(Capture.objects.for_user(request.user).ready(), pk=pk)
        try:
            path = files.existing(capture.filename or "")
        except FileMissingError as error:
            raise exceptions.NotFound(str(error)) from error
        return _served(request, path, files.CONTENT_TYPES[capture.kind], path.name)


@extend_schema_view(
    get=extend_schema(
        parameters=_FILE_PARAMETERS, responses={(200, "image/jpeg"): OpenApiTypes.BINARY}
    )
)
class PreviewView(APIView):
    """A JPEG at most 640 pixels wide, of raw pictures and videos, too."""

    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept

    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        capture = get_object_or_404(Capture.objects.for_user(request.user).ready(), pk=pk)
        name = f"{Path(capture.filename or '').stem}-preview.jpg"
        return _served(request, files.preview_path(capture.pk), "image/jpeg", name)


@extend_schema_view(get=extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY}))
class DevicePictureView(APIView):
    """What was chosen to be shown of this camera while it sends nothing; 404 without."""

    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept

    def get(self, request: Request, pk: int) -> HttpResponseBase:
        device = get_object_or_404(Device.objects.for_user(request.user), pk=pk)
        picture = get_object_or_404(CameraPicture, device=device)
        return _served(request, files.preview_path(picture.capture_id), "image/jpeg", f"{pk}.jpg")


class CameraPictureViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[CameraPicture]):
    """The pictures that were chosen for cameras, to be shown while they send nothing."""

    serializer_class = CameraPictureSerializer
    permission_classes = (IsViewer,)
    search_fields = ()
    ordering_fields = ("device",)

    def get_queryset(self) -> QuerySet[CameraPicture]:
        rows = CameraPicture.objects.select_related("capture")
        return rows.filter(device__in=Device.objects.for_user(self.request.user))


class AnalysisViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Analysis]
):
    """Newest first. `result` holds figures by detector (docs/stills.md)."""

    serializer_class = AnalysisSerializer
    permission_classes = (IsViewer,)
    filterset_class = AnalysisFilter
    search_fields = ("filename",)
    ordering_fields = ("created_at",)

    def get_queryset(self) -> QuerySet[Analysis]:
        return analyses_of(self.request.user)


class OwnCameraView(APIView):
    """This machine's own camera, as the worker beside it last saw it."""

    def get_permissions(self) -> list[BasePermission]:
        return [IsViewer() if self.request.method in ("GET", "HEAD") else IsOperator()]

    @extend_schema(responses=OwnCameraSerializer)
    def get(self, request: Request) -> Response:
        """What is there, what is missing, and what to do."""
        return Response(_own_camera(request))

    @extend_schema(
        request=None,
        responses={
            202: OwnCameraSerializer,
            503: OpenApiResponse(description="The workers cannot be reached"),
        },
    )
    def post(self, request: Request) -> Response:
        """Look again: `looked_at` changes when it is done, which may take half a minute."""
        if not services.queue_look():
            raise NobodyThere(str(QueueError()))
        return Response(_own_camera(request), status=status.HTTP_202_ACCEPTED)


def _own_camera(request: Request) -> dict[str, Any]:
    row = services.node_camera()
    found: dict[str, Any] = row.found if row else {}
    device = streamed.device_of(found.get("address", ""))
    is_shown = device and Device.objects.for_user(request.user).filter(pk=device.pk).exists()
    facts = {
        "node_id": settings.NVR.node_id,
        "setting": settings.NVR.camera,
        "backend": row.backend if row else "",
        "is_there": row is not None and row.is_there,
        "is_busy": lease.is_held() or Capture.objects.unfinished().filter(device=None).exists(),
        "sentence": wording.of_camera(row),
        "cameras": [{"number": number, "name": name} for number, name in found.get("cameras", [])],
        "checks": found.get("checks", []),
        "looked_at": row.looked_at if row else None,
        "last_capture_at": row.last_capture_at if row else None,
        "last_error": row.last_error if row else "",
        "device": device.pk if device and is_shown else None,
        "room_mb": {"captures": settings.NVR.captures_mb, "raw": settings.NVR.node_storage_mb},
    }
    return dict(OwnCameraSerializer(facts).data)


def _served(request: Request, path: Path, content_type: str, name: str) -> HttpResponseBase:
    """Raises NotFound. `name`: for saving, where that is asked for."""
    is_download = request.query_params.get("download", "") not in ("", "0", "false")
    try:
        return serve_file(
            request._request,  # noqa: SLF001  the way DRF's own code reaches it
            path,
            size_bytes=path.stat().st_size,
            content_type=content_type,
            download_name=name if is_download else "",
        )
    except FileNotFoundError as error:
        raise exceptions.NotFound(str(FileMissingError())) from error
