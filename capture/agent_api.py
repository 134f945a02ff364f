"""`/api/v1/agent/sync/`: what capture agents are to bring, and how that goes.

Agents are machines, not people: a node's key opens this, no session and no bearer token does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from capture.agent.protocol import SourceSpec
from capture.door import Patience
from capture.serializers import (
    PiCameraSerializer,
    ReportSerializer,
    SyncReplySerializer,
    SyncSerializer,
    UsbCameraSerializer,
)
from devices import sources
from devices.models import Node
from devices.peers import peer_address

logger = logging.getLogger(__name__)

DOOR = "/ws"
MAX_BODY_BYTES = 1024 * 1024
_complaints = Patience(600)  # what is odd is odd every two seconds


class NodeAuthentication(BaseAuthentication):
    """`X-API-Key` with a node's key; `request.auth` is the node."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Node]:
        node = sources.node_of(request.headers.get("X-API-Key", ""))
        if node is None:
            raise exceptions.AuthenticationFailed("This is not the key of a node.")
        return AnonymousUser(), node

    def authenticate_header(self, request: Request) -> str:
        del request
        return "X-API-Key"


class NodeScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it; drf-spectacular finds this class by its base."""

    target_class = NodeAuthentication
    name = "node"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        del auto_schema
        return {"type": "apiKey", "in": "header", "name": "X-API-Key"}


class IsNode(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        del view
        return isinstance(request.auth, Node)


class AgentSyncView(APIView):
    authentication_classes = (NodeAuthentication,)
    permission_classes = (IsNode,)

    @extend_schema(request=SyncSerializer, responses=SyncReplySerializer)
    def post(self, request: Request) -> Response:
        """Takes down how the node's sources are, and answers with what it shall bring.

        The answer holds the cameras' passwords in clear: over TLS only, and kept by nobody.
        """
        if not (request.is_secure() or _is_this_machine(request)):
            raise exceptions.PermissionDenied("Passwords are given out over TLS only.")
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
            raise exceptions.ParseError(f"At most {MAX_BODY_BYTES} bytes.")
        said = SyncSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        node = request.auth
        assert isinstance(node, Node)  # noqa: S101  IsNode has seen to it
        document = said.validated_data
        wanted = sources.record_reports(
            node=node,
            reports=map(_report, _sound(ReportSerializer, document["sources"], node)),
            cameras={
                "usb": _sound(UsbCameraSerializer, document["usb"], node),
                "pi": _sound(PiCameraSerializer, document["pi"], node),
                "version": document["version"],
            },
            address=request.META.get("REMOTE_ADDR"),
        )
        reply = {"sources": [asdict(_spec(each)) for each in wanted], "door": DOOR}
        return Response(reply, headers={"Cache-Control": "no-store"})


def _sound(
    shape: type[Serializer[None]], said: Iterable[dict[str, Any]], node: Node
) -> list[dict[str, Any]]:
    """Those of the right shape: a camera with a strange name must not keep the others' states."""
    good = []
    for each in said:
        checked = shape(data=each)
        if checked.is_valid():
            good.append(checked.validated_data)
        elif _complaints.is_due(node.pk):
            logger.warning("Node %s says what is not understood: %s", node, checked.errors)
    return good


def _is_this_machine(request: Request) -> bool:
    """Behind a proxy that ends the TLS, the web process itself speaks plain HTTP on loopback."""
    peer = peer_address(request.META.get("REMOTE_ADDR"))
    return peer is not None and peer.is_loopback


def _report(said: dict[str, Any]) -> sources.Report:
    return sources.Report(
        source_pk=said["id"],
        state=said["state"],
        code=said.get("code", ""),
        sentence=said.get("sentence", ""),
        since_ms=said.get("since_ms", 0),
        attempts=said.get("attempts", 0),
        found=said.get("found") or {},
        version=said.get("version"),
    )


def _spec(wanted: sources.Wanted) -> SourceSpec:
    source = wanted.source
    return SourceSpec(
        id=source.pk,
        mac=source.device.mac,
        name=source.device.name,
        kind=source.kind,
        url=source.url,
        username=source.username,
        password=wanted.password,
        rate_fps=source.rate_fps,
        transport=source.transport,
        wants_audio=source.wants_audio,
        version=source.version,
    )
