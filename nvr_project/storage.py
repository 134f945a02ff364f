"""Where static files are collected: every name carries a hash, also those that modules import."""

from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    # Without this an upgraded page would import the old modules from a browser's cache.
    support_js_module_import_aggregation = True
