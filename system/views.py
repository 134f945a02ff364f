"""Pages. Each is a shell: what it shows comes from `/api/v1/`, which decides who may see it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.generic import TemplateView

from devices.models import Device
from system.forms import LogInForm


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
