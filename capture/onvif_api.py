"""`/api/v1/onvif/`: cameras that are found on the network, and what streams one offers."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import asdict

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from capture import onvif, onvif_search
from capture.agent.protocol import SourceError
from capture.serializers import (
    OnvifQuestionSerializer,
    OnvifSearchSerializer,
    OnvifStreamsSerializer,
)
from devices.permissions import IsOperator

# Each holds a thread of the web process for as long as the camera takes.
_asking = threading.BoundedSemaphore(4)


class OnvifView(APIView):
    permission_classes = (IsOperator,)

    @extend_schema(request=None, responses={202: OnvifSearchSerializer})
    def post(self, request: Request) -> Response:
        """Searches the network for four seconds; GET says what was found so far."""
        del request
        onvif_search.begin()
        document = onvif_search.with_added(onvif_search.read())
        return Response(document, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=OnvifSearchSerializer)
    def get(self, request: Request) -> Response:
        """What the last search found; nothing after ten minutes."""
        del request
        return Response(onvif_search.with_added(onvif_search.read()))


class OnvifStreamsView(APIView):
    permission_classes = (IsOperator,)

    @extend_schema(
        request=OnvifQuestionSerializer,
        responses={
            200: OnvifStreamsSerializer,
            400: OpenApiResponse(description="`{detail, code}`: why, with a source's codes"),
        },
    )
    def post(self, request: Request) -> Response:
        """Asks one camera, for up to 12 seconds. Nothing of it is stored."""
        wanted = OnvifQuestionSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        asked = wanted.validated_data
        if not _asking.acquire(blocking=False):
            raise exceptions.Throttled(wait=5, detail="Other cameras are being asked; wait a bit.")
        try:
            found = asyncio.run(
                onvif.streams(asked["address"], asked["username"], asked["password"])
            )
        except SourceError as error:
            document = {"detail": str(error), "code": error.code}
            return Response(document, status=status.HTTP_400_BAD_REQUEST)
        finally:
            _asking.release()
        return Response({"profiles": [asdict(each) for each in found]})
