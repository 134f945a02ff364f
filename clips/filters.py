"""Filters of the list of clips."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from clips.models import Clip, State
from clips.serializers import MAX_MS, MAX_PK
from recordings.timeline import to_ms


class ClipFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    """`start_ms` and `end_ms` select what overlaps `[start_ms, end_ms)`."""

    device = django_filters.NumberFilter(field_name="device_id", min_value=1, max_value=MAX_PK)
    day = django_filters.DateFilter(method="on_day", label="local day, YYYY-MM-DD")
    state = django_filters.MultipleChoiceFilter(choices=State.choices)
    is_locked = django_filters.BooleanFilter()
    group = django_filters.UUIDFilter()
    start_ms = django_filters.NumberFilter(
        method="after", min_value=0, max_value=MAX_MS, label="epoch milliseconds"
    )
    end_ms = django_filters.NumberFilter(
        method="before", min_value=0, max_value=MAX_MS, label="epoch milliseconds"
    )

    class Meta:
        model = Clip
        fields = ("device", "day", "state", "is_locked", "group", "start_ms", "end_ms")

    def on_day(self, rows: QuerySet[Clip], name: str, value: date) -> QuerySet[Clip]:
        """Clips that begin on it; a day may have 23 or 25 hours."""
        del name
        zone = timezone.get_current_timezone()
        try:
            start, end = (
                to_ms(datetime.combine(day, time.min, zone))
                for day in (value, value + timedelta(days=1))
            )
        except OverflowError:  # the first and the last day there are
            return rows.none()
        return rows.filter(start_ms__gte=start, start_ms__lt=end)

    def after(self, rows: QuerySet[Clip], name: str, value: float) -> QuerySet[Clip]:
        del name
        return rows.filter(end_ms__gt=int(value))

    def before(self, rows: QuerySet[Clip], name: str, value: float) -> QuerySet[Clip]:
        del name
        return rows.filter(start_ms__lt=int(value))
