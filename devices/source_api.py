"""Cameras that are fetched, and the machines that fetch them: `/api/v1/sources/`, `/api/v1/nodes/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices import sources
from devices.api import Conflict
from devices.exceptions import (
    BadSource,
    NodeInUse,
    NodeNameTaken,
    PasswordLost,
    RegistrationRefused,
    SettingIsFixed,
    UnknownDevice,
    UnknownNode,
)
from devices.filters import SourceFilter
from devices.models import Node, Source, SourceQuerySet
from devices.permissions import IsAdmin, IsOperator
from devices.source_serializers import (
    NewSourceSerializer,
    NodeKeySerializer,
    NodeSerializer,
    SourceChangeSerializer,
    SourceSerializer,
)


@contextmanager
def as_answers() -> Iterator[None]:
    """What can be wrong with a source, as DRF's errors."""
    try:
        yield
    except BadSource as error:
        raise exceptions.ValidationError({error.field: [f"{error}."]}) from error
    except PasswordLost as error:
        raise exceptions.ValidationError({"password": [f"{error}."]}) from error
    except SettingIsFixed as error:
        raise exceptions.ValidationError({"url": [f"{error}."]}) from error
    except UnknownNode as error:
        raise exceptions.ValidationError({"node": [f"{error}."]}) from error
    except UnknownDevice as error:
        raise exceptions.NotFound from error
    except (RegistrationRefused, NodeInUse, NodeNameTaken) as error:
        raise Conflict(f"{error}.") from error


class SourceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Source]
):
    """Operators only: an address says where in somebody's house a camera is. What a viewer may
    know of a source stands in the device. A source goes with its device (`DELETE devices/<id>/`).
    """

    serializer_class = SourceSerializer
    permission_classes = (IsOperator,)
    filterset_class = SourceFilter
    lookup_value_converter = "int"
    search_fields = ("url", "device__name")
    ordering_fields = ("device", "kind", "state_since")

    def get_queryset(self) -> SourceQuerySet:
        rows = Source.objects.for_user(self.request.user)
        return rows.select_related("node")

    def get_serializer_context(self) -> dict[str, Any]:
        facts = {"alive_nodes": sources.alive_nodes(), "now": timezone.now()}
        return {**super().get_serializer_context(), **facts}

    @extend_schema(
        request=NewSourceSerializer,
        responses={
            201: SourceSerializer,
            409: OpenApiResponse(description="The recorder has as many devices as it may have"),
        },
    )
    def create(self, request: Request) -> Response:
        """The camera and its source at once; it is fetched within two seconds.

        Whoever adds it may see it.
        """
        wanted = NewSourceSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        name, node_pk = fields.pop("name"), fields.pop("node", None)
        with as_answers():
            source = sources.create_source(
                name=name,
                wish=sources.checked(**fields),
                node=None if node_pk is None else sources.node_by(node_pk=node_pk),
                person=request.user,
            )
        return Response(self.get_serializer(source).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=SourceChangeSerializer(partial=True), responses=SourceSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Any of its values; the source is started again. `{"is_enabled": true}` does only that.

        An address that leads to another host needs the password again.
        """
        del pk
        source = self.get_object()
        wanted = SourceChangeSerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        is_enabled = fields.pop("is_enabled", None)
        with as_answers():
            node = self._node(fields)
            sources.update_source(
                source_pk=source.pk, changes=fields, node=node, is_enabled=is_enabled
            )
        return Response(self.get_serializer(self.get_object()).data)

    @staticmethod
    def _node(fields: dict[str, Any]) -> Node | None:
        """Taken out of the fields: null is the recorder's own, not given is as it was."""
        if "node" not in fields:
            return None
        node_pk = fields.pop("node")
        return sources.local_node() if node_pk is None else sources.node_by(node_pk=node_pk)


class NodeViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Node]):
    """Other machines that fetch cameras for this recorder (docs/capture-agent.md)."""

    serializer_class = NodeSerializer
    permission_classes = (IsAdmin,)
    lookup_value_converter = "int"
    ordering_fields = ("name", "created_at", "last_seen_at")

    def get_queryset(self) -> QuerySet[Node]:
        rows = Node.objects.annotate(source_count=Count("sources"))
        return rows.order_by("-is_local", "name")  # a GROUP BY forgets the order of the model

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "alive_nodes": sources.alive_nodes()}

    @extend_schema(request=NodeSerializer, responses={201: NodeKeySerializer})
    def create(self, request: Request) -> Response:
        """`key` is shown in this answer and never again."""
        wanted = self.get_serializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with as_answers():
            node, key = sources.create_node(name=wanted.validated_data["name"])
        document = {**self.get_serializer(self.get_queryset().get(pk=node.pk)).data, "key": key}
        return Response(
            document, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"}
        )

    @extend_schema(
        request=None,
        responses={201: NodeKeySerializer, 409: OpenApiResponse(description="The recorder's own")},
    )
    @action(detail=True, methods=["post"])
    def key(self, request: Request, pk: int) -> Response:
        """A new `key`, shown in this answer and never again; the one before stops working."""
        del request, pk
        node = self.get_object()
        with as_answers():
            key = sources.renew_key(node_pk=node.pk)
        return Response(
            {**self.get_serializer(node).data, "key": key},
            status=status.HTTP_201_CREATED,
            headers={"Cache-Control": "no-store"},
        )

    @extend_schema(
        responses={204: None, 409: OpenApiResponse(description="Cameras come in through it")}
    )
    def destroy(self, request: Request, pk: int) -> Response:
        """Its key stops working at once."""
        del request, pk
        with as_answers():
            sources.delete_node(node_pk=self.get_object().pk)
        return Response(status=status.HTTP_204_NO_CONTENT)
