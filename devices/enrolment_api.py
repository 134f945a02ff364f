"""Cameras that ask to join: `/api/v1/enrolment/`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices import enrolment, livestate
from devices.enrolment_serializers import (
    ApprovalSerializer,
    CountSerializer,
    JoinRequestSerializer,
    ReadmissionSerializer,
    RefusalSerializer,
    RefusedSerializer,
)
from devices.models import Device
from devices.permissions import IsAdmin


class EnrolmentViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Device]):
    """New devices, and known ones for which a new key was asked."""

    permission_classes = (IsAdmin,)
    serializer_class = JoinRequestSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Device]:
        return enrolment.requests()

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "live": livestate.read()}

    @extend_schema(request=ApprovalSerializer, responses=CountSerializer)
    @action(detail=False, methods=["post"])
    def approve(self, request: Request) -> Response:
        """Let them in, each with the key that was shown. What vanished meanwhile is not counted."""
        wanted = ApprovalSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        shown = [
            enrolment.Request(device_pk=one["device"], key_pk=one["key"])
            for one in wanted.validated_data["requests"]
        ]
        return Response({"count": enrolment.approve_requests(shown)})

    @extend_schema(request=RefusalSerializer, responses=CountSerializer)
    @action(detail=False, methods=["post"])
    def refuse(self, request: Request) -> Response:
        """Keys that wait are revoked; a new device gets no other until it is readmitted."""
        wanted = RefusalSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        count = enrolment.refuse(
            device_pks=wanted.validated_data.get("devices"),
            up_to_key=wanted.validated_data.get("up_to_key"),
        )
        return Response({"count": count})

    @extend_schema(request=ReadmissionSerializer, responses=CountSerializer)
    @action(detail=False, methods=["post"])
    def readmit(self, request: Request) -> Response:
        """Refused devices wait again."""
        wanted = ReadmissionSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return Response({"count": enrolment.readmit(device_pks=wanted.validated_data["devices"])})

    @extend_schema(responses=RefusedSerializer(many=True))
    @action(detail=False, methods=["get"])
    def refused(self, request: Request) -> Response:
        """Newest first, 500 at most."""
        del request
        page = self.paginate_queryset(enrolment.refused())
        return self.get_paginated_response(RefusedSerializer(page, many=True).data)
