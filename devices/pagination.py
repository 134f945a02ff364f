from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 500


class HistoryPages(Pages):
    """A day of one sample a minute in one answer, which is what a chart asks for."""

    page_size = 1440
    max_page_size = 5000
