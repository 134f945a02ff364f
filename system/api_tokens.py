"""Bearer tokens for programs: `/api/v1/tokens/`. Everyone sees and deletes their own."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.models import ApiToken
from devices.permissions import IsViewer

MAX_TOKENS = 50


class IsPerson(BasePermission):
    """A log-in with a password: a stolen token must not make itself a successor."""

    message = "Log in to manage tokens; a token cannot."

    def has_permission(self, request: Request, view: APIView) -> bool:
        del view
        return request.auth is None and isinstance(request.user, AbstractBaseUser)


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    created_at = serializers.DateTimeField(source="created", read_only=True)
    name = serializers.CharField(max_length=80)

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = ("id", "name", "created_at", "last_used_at")
        read_only_fields = ("last_used_at",)


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="shown this once and kept nowhere")

    class Meta(TokenSerializer.Meta):
        fields: tuple[str, ...] = (*TokenSerializer.Meta.fields, "token")


class TokenViewSet(
    mixins.ListModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[ApiToken]
):
    """Programs act with the rights of the person who made their token."""

    serializer_class = TokenSerializer
    permission_classes = (IsViewer, IsPerson)
    filter_backends = ()
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[ApiToken]:
        rows: QuerySet[ApiToken] = ApiToken.objects.filter(user=self.request.user.pk)
        return rows

    @extend_schema(request=TokenSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token; the answer is the only place where it can be read."""
        wanted = TokenSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        if self.get_queryset().count() >= MAX_TOKENS:
            raise exceptions.ValidationError(f"You have {MAX_TOKENS} tokens; delete one first.")
        row, token = ApiToken.objects.create(user=request.user, name=wanted.validated_data["name"])
        document = {**TokenSerializer(row).data, "token": token}
        return Response(document, status=status.HTTP_201_CREATED)
