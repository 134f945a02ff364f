"""`/api/v1/source-tests/` and `/api/v1/source-candidates/`: what the wizard asks before it saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, renderers, status, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from capture import services, source_tests
from capture.exceptions import TooManyTests
from capture.models import SourceTest, SourceTestQuerySet
from capture.serializers import CandidatesSerializer, NewTestSerializer, SourceTestSerializer
from devices import sources
from devices.models import Node, Source
from devices.permissions import IsOperator
from devices.source_api import as_answers


class Jpeg(renderers.BaseRenderer):
    """Only names the type: the picture is sent by a plain response."""

    media_type = "image/jpeg"
    format = "jpg"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        return data


class SourceTestViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[SourceTest]):
    """A test can be read by whoever made it, for an hour."""

    serializer_class = SourceTestSerializer
    permission_classes = (IsOperator,)
    lookup_value_converter = "int"

    def get_queryset(self) -> SourceTestQuerySet:
        return SourceTest.objects.of(self.request.user)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": timezone.now()}

    @extend_schema(
        request=NewTestSerializer,
        responses={
            202: SourceTestSerializer,
            429: OpenApiResponse(description="As many tests are under way as there may be"),
        },
    )
    def create(self, request: Request) -> Response:
        """Tries an address for up to 15 seconds; ask for the test again until its state is not
        `running`. With `source` alone it tries that one as it is; other fields change it.
        """
        wanted = NewTestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        source_pk, node_pk = fields.pop("source", None), fields.pop("node", None)
        with as_answers():
            node = None if node_pk is None else sources.node_by(node_pk=node_pk)
            if source_pk is None:
                wish = sources.checked(**fields)
            else:
                rows = Source.objects.for_user(request.user).select_related("node")
                source = get_object_or_404(rows, pk=source_pk)
                wish, node = sources.merged(source, fields, node), node or source.node
        try:
            test = services.begin_test(wish=wish, node=node, person=request.user)
        except TooManyTests as error:
            raise exceptions.Throttled(wait=5, detail=f"{error}.") from error
        return Response(self.get_serializer(test).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    def picture(self, request: Request, pk: int) -> HttpResponse:
        """The first picture that came; served by a route of its own, which ends like a file."""
        del request, pk
        test = self.get_object()
        try:
            jpeg = source_tests.picture_of(test).read_bytes() if test.has_picture else b""
        except FileNotFoundError:
            jpeg = b""
        if not jpeg:
            raise exceptions.NotFound
        return HttpResponse(jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


class CandidatesView(APIView):
    permission_classes = (IsOperator,)

    @extend_schema(responses=CandidatesSerializer)
    def get(self, request: Request) -> Response:
        """USB and Pi cameras of every machine that fetches for this recorder and answers now."""
        del request
        alive = sources.alive_nodes()
        nodes = [node for node in Node.objects.all() if node.pk in alive]
        rows = Source.objects.values_list("node_id", "url")
        taken = {(node_pk, _camera_in(url)) for node_pk, url in rows}
        return Response({kind: list(_cameras(kind, nodes, taken)) for kind in ("usb", "pi")})


def _cameras(kind: str, nodes: list[Node], taken: set[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        for camera in node.cameras.get(kind, ()):
            yield {
                **camera,
                "node": node.pk,
                "node_name": node.name,
                "is_added": (node.pk, _camera_in(camera["url"])) in taken,
            }


def _camera_in(url: str) -> str:
    """Which camera of a machine an address means; what stands behind "?" is only how it is read."""
    return url.partition("?")[0]
