"""`/api/v1/clips/`: asking for clips, finding, watching, keeping and sharing them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
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

from clips import files, policy, services
from clips.exceptions import (
    BadWindowError,
    ClipFileMissingError,
    ClipLockedError,
    WrongStateError,
)
from clips.filters import ClipFilter
from clips.models import Clip, ClipQuerySet, State
from clips.serializers import (
    ClipPatchSerializer,
    ClipSerializer,
    MadeClipsSerializer,
    MadeShareSerializer,
    NewClipSerializer,
    NewShareSerializer,
    ShareSerializer,
    WindowSerializer,
)
from devices.models import Device, Enrolment
from devices.permissions import IsOperator, IsViewer
from recordings.api import AnyAccept, Conflict, DiskTrouble
from recordings.ranges import serve_file

_READS = ("list", "retrieve")


@contextmanager
def _as_answers() -> Iterator[None]:
    """This app's errors as DRF's."""
    try:
        yield
    except BadWindowError as error:
        raise exceptions.ValidationError({error.field: [str(error)]}) from error
    except (ClipLockedError, WrongStateError) as error:
        raise Conflict(str(error)) from error
    except Clip.DoesNotExist as error:  # deleted since it was looked up
        raise exceptions.NotFound from error
    except OSError as error:
        raise DiskTrouble(f"The disk refuses: {error.strerror or error}.") from error


class ClipViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Clip]):
    """Newest moment first. Only a ready clip has a file."""

    serializer_class = ClipSerializer
    filterset_class = ClipFilter
    search_fields = ("name", "note", "device__name", "device_label")
    ordering_fields = ("start_ms", "created_at", "size_bytes", "duration_ms", "name")

    def get_queryset(self) -> ClipQuerySet:
        return Clip.objects.for_user(self.request.user).kept().select_related("device")

    def get_permissions(self) -> list[BasePermission]:
        return [IsViewer() if self.action in _READS else IsOperator()]

    @extend_schema(request=NewClipSerializer, responses={201: MadeClipsSerializer})
    def create(self, request: Request) -> Response:
        """Keep a moment of one, several or all cameras, or a span of the past of one.

        Asking twice makes two clips.
        """
        wanted = NewClipSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        asked = dict(wanted.validated_data)
        devices = _devices(request, asked)
        by = request.user.get_username()
        with _as_answers():
            if "start_ms" in asked:
                clips = [services.export_span(device=devices[0], by=by, **asked)]
            else:
                clips = services.trigger(devices=devices, by=by, **asked)
        made = {"group": clips[0].group, "clips": clips}
        return Response(MadeClipsSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ClipPatchSerializer, responses=ClipSerializer)
    def partial_update(self, request: Request, pk: uuid.UUID) -> Response:
        """Name, note and lock: a locked clip is deleted by nobody."""
        del pk
        clip = self.get_object()
        wanted = ClipPatchSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _as_answers():
            services.update(clip=clip, **wanted.validated_data)
        return Response(self.get_serializer(clip).data)

    @extend_schema(responses={204: None, 409: OpenApiResponse(description="It is locked")})
    def destroy(self, request: Request, pk: uuid.UUID) -> Response:
        """With its file, its thumbnail and its links; one that is still to be cut is given up."""
        del request, pk
        with _as_answers():
            services.delete(clip=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=None,
        responses={202: ClipSerializer, 409: OpenApiResponse(description="It has not failed")},
    )
    def retry(self, request: Request, pk: uuid.UUID) -> Response:
        """Cut a failed clip again: it works as long as the camera's video is there."""
        del request, pk
        clip = self.get_object()
        with _as_answers():
            services.retry(clip=clip)
        return Response(self.get_serializer(clip).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=ShareSerializer(many=True), filters=False)
    def shares(self, request: Request, pk: uuid.UUID) -> Response:
        """The links that still work, newest first; the links themselves are kept nowhere."""
        del request, pk
        rows: QuerySet[Any] = self.get_object().shares.working(timezone.now())
        page = self.paginate_queryset(rows)
        shown: list[Any] = list(page or [])
        return self.get_paginated_response(ShareSerializer(shown, many=True).data)

    @extend_schema(request=NewShareSerializer, responses={201: MadeShareSerializer})
    def share(self, request: Request, pk: uuid.UUID) -> Response:
        """A link that shows this clip, and nothing else, to whoever has it, without logging in."""
        del pk
        clip = self.get_object()
        wanted = NewShareSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        if clip.state != State.READY:
            raise Conflict("Only a clip that is ready can be shared.")
        with _as_answers():
            share, token = services.share(
                clip=clip, hours=wanted.validated_data["hours"], by=request.user.get_username()
            )
        made = MadeShareSerializer(share, context={"request": request, "token": token})
        return Response(made.data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def revoke_share(self, request: Request, pk: uuid.UUID, share_pk: int) -> Response:
        """The link stops working at once."""
        del request, pk
        if not services.revoke_share(clip=self.get_object(), share_pk=share_pk):
            raise exceptions.NotFound
        return Response(status=status.HTTP_204_NO_CONTENT)


class ClipFileView(APIView):
    permission_classes = (IsViewer,)
    content_negotiation_class = AnyAccept
    suffix = ".mp4"

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
    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        """Whole or in ranges; 404 until the clip is ready."""
        rows = Clip.objects.for_user(request.user).kept().filter(state=State.READY)
        clip = get_object_or_404(rows, pk=pk)
        is_download = request.query_params.get("download", "") not in ("", "0", "false")
        try:
            path = files.existing(clip.pk, self.suffix)
            return serve_file(
                request._request,  # noqa: SLF001  the way DRF's own code reaches it
                path,
                size_bytes=path.stat().st_size,
                content_type="video/mp4" if self.suffix == ".mp4" else "image/jpeg",
                download_name=f"{clip.name}{self.suffix}" if is_download else "",
            )
        except (ClipFileMissingError, FileNotFoundError) as error:
            raise exceptions.NotFound(str(ClipFileMissingError())) from error


@extend_schema_view(get=extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY}))
class ThumbnailView(ClipFileView):
    """The picture nearest to the moment that could be decoded alone, 640 pixels wide at most."""

    suffix = ".jpg"


class WindowView(APIView):
    """How much the clips of one camera hold before and after the moment."""

    def get_permissions(self) -> list[BasePermission]:
        return [IsViewer() if self.request.method in ("GET", "HEAD") else IsOperator()]

    @extend_schema(responses=WindowSerializer)
    def get(self, request: Request, device_pk: int) -> Response:
        """What is in force; `is_default` where the camera has no window of its own."""
        device = get_object_or_404(Device.objects.for_user(request.user), pk=device_pk)
        return Response(WindowSerializer(policy.windows([device.pk])[device.pk]).data)

    @extend_schema(request=WindowSerializer, responses=WindowSerializer)
    def put(self, request: Request, device_pk: int) -> Response:
        """Both null: as the settings say, from now on."""
        device = get_object_or_404(Device.objects.for_user(request.user), pk=device_pk)
        wanted = WindowSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        window = policy.set_window(device_pk=device.pk, **wanted.validated_data)
        return Response(WindowSerializer(window).data)


def _devices(request: Request, asked: dict[str, Any]) -> list[Device]:
    """The cameras meant, taken out of `asked`. Raises NotFound for one that may not be seen."""
    visible = Device.objects.for_user(request.user)
    wanted = asked.pop("devices", None) or [asked.pop("device", None)]
    if asked.pop("all", False):
        devices = list(visible.filter(enrolment=Enrolment.APPROVED))
        if not devices:
            raise exceptions.ValidationError({"all": ["There is no camera yet."]})
        return devices
    found = {device.pk: device for device in visible.filter(pk__in=wanted)}
    if len(found) < len(set(wanted)):
        raise exceptions.NotFound
    return list(found.values())
