"""The log-in form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class LogInForm(AuthenticationForm):
    """Django's own check with our words; which of the two was wrong stays unsaid."""

    error_messages = {
        "invalid_login": "That name and password do not belong together.",
        "inactive": "This account is switched off.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, autocomplete in (("username", "username"), ("password", "current-password")):
            field: forms.Field = self.fields[name]
            field.widget.attrs.update({"class": "input", "autocomplete": autocomplete})
        self.fields["username"].widget.attrs["autocapitalize"] = "none"
