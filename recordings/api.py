"""Recordings, their files, playlists and the timeline: `/api/v1/`, and the cameras' own list."""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.contract import device_endpoint, reply
from devices.models import Device
from devices.permissions import IsOperator, IsViewer
from devices.services import Identity
from recordings import catalog, gaps, playback, timeline
from recordings.exceptions import (
    FileMissingError,
    RecordingError,
    RecordingInUseError,
    RecordingLockedError,
)
from recordings.filters import RecordingFilter
from recordings.models import Recording, RecordingQuerySet
from recordings.ranges import serve_file
from recordings.serializers import (
    CalendarQuerySerializer,
    CalendarSerializer,
    GapsQuerySerializer,
    GapsSerializer,
    LockSerializer,
    PlaylistQuerySerializer,
    RecordingSerializer,
    TimelineQuerySerializer,
    TimelineSerializer,
)

_WRITES = ("partial_update", "destroy")


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class DiskTrouble(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "disk"


class AnyAccept(BaseContentNegotiation):
    """Players ask for video types; what they get is decided by the path, errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        del request, format_suffix
        return renderers[0], renderers[0].media_type


class RecordingViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Recording]
):
    """Hour files: fragmented MP4 that only grows while its hour lasts."""

    serializer_class = RecordingSerializer
    filterset_class = RecordingFilter
    search_fields = ()
    ordering_fields = ("started_at", "size_bytes", "duration_ms")
    ordering = ("-started_at", "-pk")

    def get_queryset(self) -> RecordingQuerySet:
        rows = Recording.objects.for_user(self.request.user).kept()
        return rows.select_related("device").defer("fragment_index")

    def get_permissions(self) -> list[BasePermission]:
        return [IsOperator() if self.action in _WRITES else IsViewer()]

    @extend_schema(request=LockSerializer, responses=RecordingSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Lock or unlock: a locked recording is never deleted."""
        del pk
        recording = self.get_object()
        wanted = LockSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        try:
            catalog.set_locked(pk=recording.pk, is_locked=wanted.validated_data["is_locked"])
        except RecordingInUseError as error:
            raise Conflict(str(error)) from error
        except OSError as error:
            raise DiskTrouble(f"The lock cannot be written: {error.strerror}.") from error
        recording.is_locked = wanted.validated_data["is_locked"]
        return Response(self.get_serializer(recording).data)

    @extend_schema(
        responses={204: None, 409: OpenApiResponse(description="Locked, or still being recorded")}
    )
    def destroy(self, request: Request, pk: int) -> Response:
        """Delete the video file and its entry."""
        del pk
        try:
            catalog.delete(recording=self.get_object(), person=request.user)
        except (RecordingLockedError, RecordingInUseError) as error:
            raise Conflict(str(error)) from error
        except RecordingError as error:
            raise DiskTrouble(str(error)) from error
        return Response(status=status.HTTP_204_NO_CONTENT)


class RecordingFileView(APIView):
    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[
            OpenApiParameter("download", bool, description="Name it for saving"),
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="RFC 9110 §14"),
        ],
        responses={
            (200, "video/mp4"): OpenApiTypes.BINARY,
            (206, "video/mp4"): OpenApiTypes.BINARY,
            416: OpenApiResponse(description="No such bytes"),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """The video, whole or in ranges; of an hour that still grows, what is whole so far."""
        rows = Recording.objects.for_user(request.user).kept().select_related("device")
        recording = get_object_or_404(rows.defer("fragment_index"), pk=pk)
        is_download = request.query_params.get("download", "") not in ("", "0", "false")
        try:
            return serve_file(
                request._request,  # noqa: SLF001  the way DRF's own code reaches it
                playback.file_of(recording.path),
                size_bytes=recording.size_bytes,
                content_type="video/mp4",
                download_name=playback.download_name(recording) if is_download else "",
            )
        except FileMissingError as error:
            raise exceptions.NotFound(str(error)) from error
        except FileNotFoundError as error:
            raise exceptions.NotFound(str(FileMissingError(recording.path))) from error


class PlaylistView(APIView):
    """Byte-range HLS of one camera, across hours and gaps."""

    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[PlaylistQuerySerializer],
        responses={
            (200, "application/vnd.apple.mpegurl"): OpenApiTypes.STR,
            404: OpenApiResponse(description="No such camera, or no video in the span"),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """A span that reaches into now is a growing EVENT playlist: ask again for the rest."""
        query = PlaylistQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        device_pk = _visible(request).filter(pk=pk).values_list("pk", flat=True).first()
        if device_pk is None:
            raise exceptions.NotFound
        start_ms = query.validated_data["start_ms"]
        text = playback.playlist(
            device_pk,
            start_ms,
            query.validated_data.get("end_ms", start_ms + playback.MAX_PLAYLIST_MS),
            now=timezone.now(),
            uri_of=_file_uri,
        )
        if not text:
            raise exceptions.NotFound("There is no video of this camera in this span.")
        return HttpResponse(
            text,
            content_type="application/vnd.apple.mpegurl",
            headers={"Cache-Control": "private, no-cache"},
        )


class TimelineView(APIView):
    permission_classes = (IsViewer,)

    @extend_schema(parameters=[TimelineQuerySerializer], responses=TimelineSerializer)
    def get(self, request: Request) -> Response:
        """When there is video that can be played: up to 31 days, any number of cameras."""
        query = TimelineQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        devices = _visible(request)
        if wanted := query.validated_data.get("device"):
            devices = devices.filter(pk__in=wanted)
        pks = list(devices.values_list("pk", flat=True))
        if wanted and len(pks) < len(set(wanted)):
            raise exceptions.NotFound
        covered = timeline.coverage(
            pks, query.validated_data["start_ms"], query.validated_data["end_ms"]
        )
        return Response({"devices": [{"id": pk, "spans": spans} for pk, spans in covered.items()]})


class GapsView(APIView):
    permission_classes = (IsViewer,)

    @extend_schema(parameters=[GapsQuerySerializer], responses=GapsSerializer)
    def get(self, request: Request) -> Response:
        """Where one camera has no video for more than 5 s, and why: up to 7 days, up to now."""
        query = GapsQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        device = get_object_or_404(_visible(request).only("pk"), pk=wanted["device"])
        found = gaps.gaps(device.pk, wanted["start_ms"], wanted["end_ms"])
        return Response({"gaps": [gap._asdict() for gap in found]})


class CalendarView(APIView):
    permission_classes = (IsViewer,)

    @extend_schema(parameters=[CalendarQuerySerializer], responses=CalendarSerializer)
    def get(self, request: Request) -> Response:
        """Which days of a month have how much video."""
        query = CalendarQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        device = get_object_or_404(_visible(request).only("pk"), pk=query.validated_data["device"])
        first: date = query.validated_data["month"]
        end = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        days = timeline.seconds_per_day(device.pk, first, end)
        return Response({"days": {f"{day:%Y-%m-%d}": seconds for day, seconds in days.items()}})


@device_endpoint("GET")
def device_recordings(request: HttpRequest, identity: Identity) -> HttpResponse:
    """`GET /recordings` of the Pi Camera Server: this device's hour files, sorted by path.

    A date that is none is an unknown one to its clients: an empty list, not an error.
    """
    rows = Recording.objects.kept().filter(device=identity.device_pk)
    if text := request.GET.get("date", ""):
        day = _day(text)
        rows = rows.filter(date=day) if day else rows.none()
    spelling = Device.objects.values_list("registered_as", flat=True).get(pk=identity.device_pk)
    return reply(
        {
            "deviceId": spelling,
            "recordings": [
                {"path": f"recordings/{path}", "filename": PurePosixPath(path).name}
                for path in rows.order_by("path").values_list("path", flat=True)
            ],
        }
    )


def _day(text: str) -> date | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _visible(request: Request) -> Any:
    return Device.objects.for_user(request.user)


def _file_uri(pk: int) -> str:
    return reverse("segment", args=[pk])
