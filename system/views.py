"""Pages. Each is a shell: what it shows comes from `/api/v1/`, which decides who may see it."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.generic import TemplateView

from devices.models import Device
from system.forms import ChangePasswordForm, LogInForm

_log = logging.getLogger(__name__)


@method_decorator((never_cache, login_required, ensure_csrf_cookie), name="dispatch")
class Page(TemplateView):
    """`section` is the entry of the rail that is marked as current."""

    section = ""
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(section=self.section, **kwargs)


class CameraPage(Page):
    section = "cameras"
    template_name = "system/camera.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        device = get_object_or_404(Device.objects.for_user(self.request.user), pk=kwargs["pk"])
        return super().get_context_data(device=device, **kwargs)


class LogIn(LoginView):
    template_name = "system/login.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """In words, for the system page; the name stays out: people type their password there."""
        _log.warning("Somebody failed to log in from %s.", self.request.META.get("REMOTE_ADDR"))
        return super().form_invalid(form)


@method_decorator(never_cache, name="dispatch")
class ChangePassword(PasswordChangeView):
    """Everybody's own; whoever forgot it asks an administrator. Other sessions end with the old one."""

    template_name = "system/password.html"
    form_class = ChangePasswordForm
    success_url = reverse_lazy("password-changed")
