from django.apps import AppConfig


class StillsConfig(AppConfig):
    name = "stills"
    default_auto_field = "django.db.models.BigAutoField"
