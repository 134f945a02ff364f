"""Cameras for people and programs: `/api/v1/devices/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer

from devices import livestate, services, sources
from devices.exceptions import (
    BadConfig,
    DeviceHasRecordings,
    NotConnected,
    NotDelivered,
    SettingIsFixed,
    UnknownDevice,
)
from devices.filters import DeviceFilter
from devices.models import Device, DeviceQuerySet
from devices.pagination import HistoryPages
from devices.permissions import IsAdmin, IsOperator, IsViewer
from devices.serializers import (
    ApproveSerializer,
    CommandSerializer,
    DeviceSerializer,
    EventSerializer,
    KeySerializer,
    SinceSerializer,
    TelemetrySerializer,
)

_ADMIN_ACTIONS = ("destroy", "approve", "keys", "revoke")
_OPERATOR_ACTIONS = ("partial_update", "command")
_SINCE = OpenApiParameter(
    "since", str, description="Epoch milliseconds, or ISO 8601 with a time zone."
)


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unavailable(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


@contextmanager
def _as_answers() -> Iterator[None]:
    """This app's errors as DRF's."""
    try:
        yield
    except UnknownDevice as error:
        raise exceptions.NotFound from error
    except BadConfig as error:
        raise exceptions.ValidationError({error.key: [f"{error}."]}) from error
    except SettingIsFixed as error:
        raise Conflict(f"{error}.", code="is_fixed") from error
    except NotConnected as error:
        raise Conflict(f"{error}.", code="not_connected") from error
    except DeviceHasRecordings as error:
        raise Conflict(f"{error}.", code="has_recordings") from error
    except NotDelivered as error:
        raise Unavailable(f"{error}.") from error


class DeviceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Device]
):
    """Cameras appear by registering themselves, so there is no POST."""

    serializer_class = DeviceSerializer
    filterset_class = DeviceFilter
    lookup_value_converter = "int"
    search_fields = ("name", "mac")
    ordering_fields = ("position", "name", "presence", "last_seen_at", "created_at")

    def get_queryset(self) -> DeviceQuerySet:
        rows = Device.objects.for_user(self.request.user).with_waiting()
        return rows.select_related("source__node")

    def get_permissions(self) -> list[BasePermission]:
        if self.action in _ADMIN_ACTIONS:
            return [IsAdmin()]
        return [IsOperator() if self.action in _OPERATOR_ACTIONS else IsViewer()]

    def get_serializer_context(self) -> dict[str, Any]:
        facts = {
            "live": livestate.read(),
            "alive_nodes": sources.alive_nodes(),
            "now": timezone.now(),
        }
        return {**super().get_serializer_context(), **facts}

    def partial_update(self, request: Request, pk: int) -> Response:
        """Name, place in the live grid, any of the six configuration values, and frame rates by
        situation (null: the one of the configuration).

        A connected camera is told of its new configuration at once.
        """
        del pk
        device = self.get_object()
        wanted = self.get_serializer(device, data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        config = fields.pop("config", None)
        rates = {"rates": fields.pop("frame_rates")} if "frame_rates" in fields else {}
        with _as_answers():
            if fields:
                services.update_device(device_pk=device.pk, **fields)
            if rates:
                services.update_frame_rates(device_pk=device.pk, is_told=not config, **rates)
            if config:
                services.update_config(device_pk=device.pk, changes=config)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "recordings", str, enum=["delete"], description="Its video goes too, locked or not."
            )
        ],
        responses={204: None, 409: OpenApiResponse(description="It has recordings")},
    )
    def destroy(self, request: Request, pk: int) -> Response:
        """Forget a camera, its keys and its history; refused while it has recordings.

        With `?recordings=delete` it is gone at once, and its files within minutes.
        """
        del pk
        device = self.get_object()
        with _as_answers():
            if request.query_params.get("recordings") == "delete":
                services.remove_device(device_pk=device.pk)
            else:
                services.delete_device(device_pk=device.pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        request=CommandSerializer,
        responses={
            202: None,
            409: OpenApiResponse(description="`not_connected`"),
            503: OpenApiResponse(description="The message broker does not answer"),
        },
    )
    @action(detail=True, methods=["post"])
    def command(self, request: Request, pk: int) -> Response:
        """Sent to the camera at once; nothing is kept for one that is not connected."""
        del pk
        device = self.get_object()
        wanted = CommandSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _as_answers():
            services.send_command(device_pk=device.pk, action=wanted.validated_data["action"])
        return Response(status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=ApproveSerializer, responses=DeviceSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: int) -> Response:
        """Let a waiting camera in, with the newest key that it was given, or with `key`."""
        del pk
        device = self.get_object()
        wanted = ApproveSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with _as_answers():
            services.approve(device_pk=device.pk, key_pk=wanted.validated_data.get("key"))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=KeySerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def keys(self, request: Request, pk: int) -> Response:
        """Newest first; the keys themselves are kept nowhere."""
        del request, pk
        return self._page(self.get_object().keys.all(), KeySerializer)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["delete"], url_path="keys/<int:key_pk>")
    def revoke(self, request: Request, pk: int, key_pk: int) -> Response:
        """The camera that holds this key is locked out until it registers again."""
        del request, pk
        with _as_answers():
            services.revoke_key(device_pk=self.get_object().pk, key_pk=key_pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(parameters=[_SINCE], responses=TelemetrySerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=HistoryPages)
    def telemetry(self, request: Request, pk: int) -> Response:
        """One sample a minute while connected, newest first, 30 days."""
        del pk
        rows = self.get_object().telemetry.all()
        return self._page(_since(request, rows), TelemetrySerializer)

    @extend_schema(parameters=[_SINCE], responses=EventSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def events(self, request: Request, pk: int) -> Response:
        """What happened to the camera, newest first, 90 days."""
        del pk
        return self._page(_since(request, self.get_object().events.all()), EventSerializer)

    def _page(self, rows: QuerySet[Any], shape: Callable[..., ModelSerializer[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shape(page, many=True).data)


def _since(request: Request, rows: QuerySet[Any]) -> QuerySet[Any]:
    query = SinceSerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    since = query.validated_data.get("since")
    return rows if since is None else rows.filter(at__gte=since)
