from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from devices.contract import contract_path
from system import api, api_tokens, health

# A page: strangers are led to the log-in.
_docs = SpectacularSwaggerView.as_view(url_name="schema")
_tokens = api_tokens.TokenViewSet.as_view({"get": "list", "post": "create"})
_token = api_tokens.TokenViewSet.as_view({"delete": "destroy"})

urlpatterns: list[URLPattern | URLResolver] = [
    contract_path("health", health.health),
    contract_path("stats", health.stats),
    contract_path("ca.pem", health.authority),
    path("api/v1/me/", api.MeView.as_view(), name="me"),
    path("api/v1/system/", api.SystemView.as_view(), name="system-status"),
    path("api/v1/settings/", api.SettingsView.as_view(), name="settings-api"),
    path("api/v1/simulated-cameras/", api.SimulatedCamerasView.as_view(), name="simulated-cameras"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", login_required(_docs), name="api-docs"),
    path("api/v1/tokens/", _tokens, name="token-list"),
    path("api/v1/tokens/<int:pk>/", _token, name="token-detail"),
]
