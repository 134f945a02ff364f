"""Who may do what, for every door of every app (docs/design/security.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from devices.peers import peer_address

if TYPE_CHECKING:  # DRF imports this module while its views are being imported
    from rest_framework.views import APIView

OPERATOR_GROUP = "operator"
ROLES = ("viewer", "operator", "admin")
# Nobody can register a name in them: RFC 6762, RFC 8375, ICANN's .internal, and what routers use.
_LOCAL_ZONES = (".local", ".home.arpa", ".internal", ".lan", ".home", ".localdomain")


def role_of(user: Any) -> str | None:
    """`viewer`, `operator` or `admin`; `None` for nobody in particular.

    Whoever has logged in is at least a viewer: which cameras that means is decided by
    `Device.objects.for_user`, and without any camera given to them it means none.
    """
    if not user.is_authenticated or not user.is_active:
        return None
    if role := getattr(user, "role", None):
        return str(role)
    if user.is_staff or user.is_superuser:
        return "admin"
    return "operator" if user.groups.filter(name=OPERATOR_GROUP).exists() else "viewer"


def has_role(user: Any, least: str) -> bool:
    """Whether the person may do what needs the role `least`; for plain and async views."""
    role = role_of(user)
    return role is not None and ROLES.index(role) >= ROLES.index(least)


def is_trusted_peer(request: HttpRequest | Request) -> bool:
    """Whether the other end of the socket lies in NVR_TRUSTED_NETWORKS, and asked for this recorder.

    A page of the internet can make its own name lead to our address (DNS rebinding) and so read our
    answers from a browser inside the network. Its requests still name its own host.
    """
    peer = peer_address(request.META.get("REMOTE_ADDR"))
    if peer is None or not any(peer in network for network in settings.NVR.trusted_networks):
        return False
    return is_local_name(request.META.get("HTTP_HOST", ""))


def is_local_name(host: str) -> bool:
    """Whether nobody outside can have registered it; names of NVR_HOST_NAMES are ours, too.

    `host`: of a Host header, "" where a program sends none.
    """
    name = (host if host.endswith("]") else host.rpartition(":")[0] or host).lower().rstrip(".")
    is_own = name in map(str.lower, settings.NVR.host_names)
    is_address = peer_address(name.strip("[]")) is not None
    return is_own or is_address or "." not in name or name.endswith(_LOCAL_ZONES)


class Deny(BasePermission):
    """DRF's default here: a view that forgets to say who may call it lets nobody in."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        del request, view
        return False


class IsViewer(BasePermission):
    """Watches the cameras given to them, live and recorded."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        del view
        return has_role(request.user, "viewer")


class IsOperator(BasePermission):
    """Also sets up and commands those cameras, keeps, locks and deletes their video."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        del view
        return has_role(request.user, "operator")


class IsAdmin(BasePermission):
    """Sees every camera; decides who may come in, and what is kept how long."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        del view
        return has_role(request.user, "admin")
