"""Filters of the list of captures."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import django_filters
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.utils import timezone

from stills.models import Analysis, Capture, Kind, State

OWN = "own"


class CaptureFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    device = django_filters.CharFilter(
        method="of_device",
        label="a camera's id, or \"own\" for this machine's camera",
        validators=[RegexValidator(rf"^({OWN}|[0-9]{{1,18}})\Z", "A camera's id, or own.")],
    )
    kind = django_filters.MultipleChoiceFilter(choices=Kind.choices)
    state = django_filters.MultipleChoiceFilter(choices=State.choices)
    system = django_filters.MultipleChoiceFilter(choices=Capture.System.choices)
    day = django_filters.DateFilter(method="on_day", label="local day, YYYY-MM-DD")

    class Meta:
        model = Capture
        fields = ("device", "kind", "state", "system", "day")

    def of_device(self, rows: QuerySet[Capture], name: str, value: str) -> QuerySet[Capture]:
        """A removed camera's captures keep its name, so they are not this machine's."""
        del name
        if value == OWN:
            return rows.filter(device=None, device_label="")
        return rows.filter(device=int(value))

    def on_day(self, rows: QuerySet[Capture], name: str, value: date) -> QuerySet[Capture]:
        """Those that were asked for on it; a day may have 23 or 25 hours."""
        del name
        zone = timezone.get_current_timezone()
        try:
            start, end = (
                datetime.combine(day, time.min, zone).astimezone(UTC)
                for day in (value, value + timedelta(days=1))
            )
        except OverflowError:  # the first and the last day there are
            return rows.none()
        return rows.filter(created_at__gte=start, created_at__lt=end)


class AnalysisFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    capture = django_filters.UUIDFilter(field_name="capture_id")
    state = django_filters.MultipleChoiceFilter(choices=Analysis.State.choices)

    class Meta:
        model = Analysis
        fields = ("capture", "state")
