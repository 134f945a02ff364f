"""`/api/v1/`: the recorder itself, its settings, its simulated cameras, and who is asking."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.models import Device, Enrolment
from devices.permissions import IsAdmin, IsOperator, IsViewer, has_role, role_of
from system import preferences, status
from system.exceptions import SettingIsFixed, SupervisorUnavailable
from system.serializers import (
    MeSerializer,
    SettingsSerializer,
    SimulatedSerializer,
    SystemSerializer,
)


class Unavailable(exceptions.APIException):
    status_code = 503
    default_code = "unavailable"


class MeView(APIView):
    permission_classes = (IsViewer,)

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who is asking, and in which role."""
        user: Any = request.user
        return Response({"username": user.get_username(), "role": role_of(user)})


class SystemView(APIView):
    permission_classes = (IsViewer,)

    @extend_schema(responses=SystemSerializer)
    def get(self, request: Request) -> Response:
        """Is it recording, for how long does it fit, what was deleted, what runs, what went wrong.

        Of the cameras that the asker may see; processes and errors for operators only.
        """
        user: Any = request.user
        facts = status.gather(
            devices=list(Device.objects.for_user(user).exclude(enrolment=Enrolment.PENDING)),
            is_trusted=has_role(user, "operator"),
            now=timezone.now(),
        )
        return Response(SystemSerializer(facts).data)


class SettingsView(APIView):
    permission_classes = (IsAdmin,)

    @extend_schema(responses=SettingsSerializer)
    def get(self, request: Request) -> Response:
        """`is_fixed` lists what the environment decides and cannot be changed here."""
        del request
        return Response(preferences.read())

    @extend_schema(request=SettingsSerializer(partial=True), responses=SettingsSerializer)
    def patch(self, request: Request) -> Response:
        """Changes what is given, all of it or nothing."""
        wanted = SettingsSerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        try:
            return Response(preferences.change(wanted.validated_data))
        except SettingIsFixed as error:
            raise exceptions.ValidationError({error.group: {error.name: [str(error)]}}) from error


class SimulatedCamerasView(APIView):
    """They are cameras in every respect but the lens: they register, stream and are recorded."""

    permission_classes = (IsOperator,)

    @extend_schema(responses=SimulatedSerializer)
    def get(self, request: Request) -> Response:
        """How many are wanted, and how many run."""
        del request
        return _or_unavailable(status.simulated_cameras)

    @extend_schema(request=SimulatedSerializer, responses=SimulatedSerializer)
    def put(self, request: Request) -> Response:
        """Starts or stops as many as it takes; remembered over restarts."""
        wanted = SimulatedSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        count: int = wanted.validated_data["count"]
        return _or_unavailable(lambda: status.set_simulated_cameras(count))


def _or_unavailable(ask: Any) -> Response:
    try:
        return Response(ask())
    except SupervisorUnavailable as error:
        raise Unavailable(str(error)) from error
