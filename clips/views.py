"""`/shared/<token>/`: one clip for whoever has the link; no log-in, and nothing else to see."""

from __future__ import annotations

from typing import Any, TypeVar

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from clips import files, services, wording
from clips.exceptions import ClipFileMissingError
from clips.models import Clip, Share
from recordings.ranges import serve_file

Answer = TypeVar("Answer", bound=HttpResponseBase)

_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
# Without a script, and without a way to any other address: the token is in this page's own.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """200, 404 for no such link, 410 with words for one that has expired or was withdrawn."""
    share = _share(token)
    if not _works(share):
        return _private(render(request, "clips/shared_over.html", status=410))
    return _private(render(request, "clips/shared.html", _context(share.clip, share, token)))


@require_safe
def shared_file(request: HttpRequest, token: str, suffix: str) -> HttpResponseBase:
    """The video in ranges, or the picture; 404 as soon as the link stops working."""
    share = _share(token)
    if not _works(share):
        raise Http404
    is_download = request.GET.get("download", "") not in ("", "0", "false")
    try:
        path = files.existing(share.clip.pk, suffix)
        response = serve_file(
            request,
            path,
            size_bytes=path.stat().st_size,
            content_type=_TYPES[suffix],
            download_name=f"{share.clip.name}{suffix}" if is_download else "",
        )
    except (ClipFileMissingError, FileNotFoundError) as error:
        raise Http404 from error
    return _private(response)


def _share(token: str) -> Share:
    share = services.find_share(token)
    if share is None:
        raise Http404
    return share


def _works(share: Share) -> bool:
    is_over = share.revoked_at is not None or share.expires_at <= timezone.now()
    return share.clip.is_ready and not is_over


def _context(clip: Clip, share: Share, token: str) -> dict[str, Any]:
    has_picture = clip.has_thumbnail
    return {
        "name": clip.name,
        "camera": clip.device_name,
        "trigger_at": clip.trigger_at or clip.starts_at,
        "duration_ms": clip.duration_ms,
        "sentence": wording.sentence(clip),
        "codecs": clip.codecs,
        "video_url": reverse("shared-video", args=[token]),
        "thumbnail_url": reverse("shared-picture", args=[token]) if has_picture else "",
        "expires_at": share.expires_at,
    }


def _private(response: Answer) -> Answer:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers.setdefault("Cache-Control", "private, no-store")
    return response
