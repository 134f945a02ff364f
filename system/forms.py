"""The log-in form, and that for a new password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm


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
        if self.data.get("username"):  # the password is what is typed again
            del self.fields["username"].widget.attrs["autofocus"]
            self.fields["password"].widget.attrs["autofocus"] = True


class ChangePasswordForm(PasswordChangeForm):
    error_messages = {
        **PasswordChangeForm.error_messages,
        "password_incorrect": "That is not your present password.",
        "password_mismatch": "These two are not the same.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (
            ("old_password", "Present password"),
            ("new_password1", "New password"),
            ("new_password2", "New password again"),
        ):
            self.fields[name].label = label
            self.fields[name].widget.attrs["class"] = "input"
