"""Firmware for administrators: `/api/v1/firmware/`. What cameras download: capture.firmware_views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from devices import firmware, livestate, updates
from devices.api import Conflict, Unavailable
from devices.exceptions import FirmwareInUse, FirmwareRefused, UnknownFirmware
from devices.firmware_models import UNDER_WAY, FirmwareImage, Rollout, UpdateKey
from devices.firmware_serializers import (
    FirmwareCameraSerializer,
    FirmwareImageSerializer,
    NewImageSerializer,
    NewKeySerializer,
    NewRolloutSerializer,
    ResumeSerializer,
    RolloutSerializer,
    UpdateKeySerializer,
)
from devices.models import Device
from devices.permissions import IsAdmin

_IN_USE = OpenApiResponse(description="It is being rolled out")


@contextmanager
def _as_answers() -> Iterator[None]:
    try:
        yield
    except FirmwareRefused as error:
        raise exceptions.ValidationError({error.field: [f"{error}."]}) from error
    except FirmwareInUse as error:
        raise Conflict(f"{error}.") from error
    except UnknownFirmware as error:
        raise exceptions.NotFound from error
    except OSError as error:
        raise Unavailable(f"The disk refuses the file: {error.strerror or error}.") from error


def _key_names() -> dict[str, str]:
    return dict(UpdateKey.objects.values_list("short_id", "name"))


class FirmwareImageViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[FirmwareImage]):
    """The catalogue, newest first."""

    queryset = FirmwareImage.objects.all()
    serializer_class = FirmwareImageSerializer
    permission_classes = (IsAdmin,)
    parser_classes = (MultiPartParser,)
    filterset_fields = ("board",)
    lookup_value_converter = "int"

    def get_serializer_context(self) -> dict[str, Any]:
        in_use = Rollout.objects.filter(state__in=UNDER_WAY).values_list("image", flat=True)
        facts = {"key_names": _key_names(), "in_use": set(in_use)}
        return {**super().get_serializer_context(), **facts}

    @extend_schema(
        request={"multipart/form-data": NewImageSerializer},
        responses={201: FirmwareImageSerializer},
    )
    def create(self, request: Request) -> Response:
        """A signed file, at most 4 MiB; kept only when its signature is of a trusted key."""
        wanted = NewImageSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        file = wanted.validated_data["file"]
        with _as_answers():
            image = firmware.add_image(
                file=file,
                size_bytes=file.size,
                notes=wanted.validated_data["notes"],
                by=str(request.user),
            )
        return Response(self.get_serializer(image).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None, 409: _IN_USE})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its file and the history of its roll-outs; refused while it is rolled out."""
        del request
        with _as_answers():
            firmware.delete_image(image_pk=int(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class UpdateKeyViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[UpdateKey]):
    """The public keys that firmware may be signed with."""

    queryset = UpdateKey.objects.all()
    serializer_class = UpdateKeySerializer
    permission_classes = (IsAdmin,)
    lookup_value_converter = "int"

    @extend_schema(request=NewKeySerializer, responses={201: UpdateKeySerializer})
    def create(self, request: Request) -> Response:
        """Trusts a public key (PEM) from now on; a private one is refused."""
        wanted = NewKeySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _as_answers():
            key = firmware.add_key(**wanted.validated_data, by=str(request.user))
        return Response(self.get_serializer(key).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None, 409: _IN_USE})
    def destroy(self, request: Request, pk: int) -> Response:
        """What it signed stays in the catalogue and is given to no camera any more."""
        del request
        with _as_answers():
            firmware.delete_key(key_pk=int(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class FirmwareCameraViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Device]):
    """The cameras that named their firmware, and what they run."""

    serializer_class = FirmwareCameraSerializer
    permission_classes = (IsAdmin,)
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Device]:
        return Device.objects.for_user(self.request.user).exclude(firmware_board="")

    def get_serializer_context(self) -> dict[str, Any]:
        facts = {"key_names": _key_names(), "live": livestate.read()}
        return {**super().get_serializer_context(), **facts}


class RolloutViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Rollout]
):
    """Firmware on its way to the cameras of its board, newest first."""

    serializer_class = RolloutSerializer
    permission_classes = (IsAdmin,)
    filterset_fields = ("state", "board", "image")
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Rollout]:
        return Rollout.objects.select_related("image").prefetch_related("devices__device")

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": timezone.now()}

    @extend_schema(request=NewRolloutSerializer, responses={201: RolloutSerializer, 409: _IN_USE})
    def create(self, request: Request) -> Response:
        """Begins at once with the first stage: by default one camera for an hour, a tenth of them
        for a day, then all. It pauses itself when a camera fails, goes back or is lost.
        """
        wanted = NewRolloutSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        with _as_answers():
            rollout = updates.start(
                image_pk=fields["image"], stages=fields.get("stages"), by=str(request.user)
            )
        return self._answer(rollout, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=RolloutSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: int) -> Response:
        """No other camera is told until it is resumed."""
        with _as_answers():
            rollout = updates.pause(rollout_pk=int(pk), by=str(request.user))
        return self._answer(rollout)

    @extend_schema(request=ResumeSerializer, responses=RolloutSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: int) -> Response:
        """Goes on without the cameras that failed, or with them again."""
        wanted = ResumeSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _as_answers():
            rollout = updates.resume(rollout_pk=int(pk), is_retry=wanted.validated_data["retry"])
        return self._answer(rollout)

    @extend_schema(request=None, responses=RolloutSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: int) -> Response:
        """For good; cameras that have the firmware keep it."""
        del request
        with _as_answers():
            rollout = updates.stop(rollout_pk=int(pk))
        return self._answer(rollout)

    def _answer(self, rollout: Rollout, code: int = status.HTTP_200_OK) -> Response:
        return Response(
            self.get_serializer(self.get_queryset().get(pk=rollout.pk)).data, status=code
        )
