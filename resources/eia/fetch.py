"""One bounded download: timeouts, retries, redirects and size all have limits.

Retries with exponential back-off and jitter (stamina) where another try may help: connection errors, timeouts, cut
answers, HTTP 429 and 5xx. Everything else is final. A machine without a network fails within `Limits.offline_s`.

The limit on size counts decoded bytes. A single gzip is all that is decoded: in it a piece as read from the network
swells to 64 MB at most, a gzip within a gzip makes of that what it likes.
"""

import logging
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

import httpx
import stamina

from resources.eia.errors import EiaBusyError, EiaResponseError, EiaTlsError, EiaUnreachableError, ReleaseTooLargeError
from resources.eia.published import NotModified, Validators

log = logging.getLogger(__name__)

Params = Sequence[tuple[str, str]]

MAX_REDIRECTS = 5
_EXCERPT_BYTES = 16_384
_SECRET_PARAMETER = re.compile(
    r"""(?i)((?:[?&]|\b)[\w.%-]*(?:key|token|secret|sig|signature|credential|password)["']?\s*[=:]\s*["']?)[^&\s"',}\])>]+"""
)
_SHORTEST_SECRET = 4  # shorter ones are in every text
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")


@dataclass(frozen=True)
class Limits:
    """How long, how often and how much.

    Attributes:
        connect_s: One connection, seconds.
        read_s: One pause of the server, seconds.
        total_s: All attempts with their pauses, seconds.
        offline_s: All attempts that do not even connect, seconds.
        attempts: Attempts at most.
        backoff_s: First pause between two attempts, seconds; doubles each time, plus as much jitter at random.
        max_bytes: Size of an answer, after decompression.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    total_s: float = 120.0
    offline_s: float = 15.0
    attempts: int = 3
    backoff_s: float = 0.5
    max_bytes: int = 20_000_000


LIMITS = Limits()


@dataclass(frozen=True)
class Download:
    """A complete answer with HTTP status 200."""

    url: str
    content: bytes
    etag: str | None
    last_modified: str | None


class _FailedAttempt(Exception):  # noqa: N818 - never leaves this module
    """One attempt came to nothing; another may not."""

    def __init__(
        self,
        address: str,
        reason: str,
        *,
        connected: bool = True,
        retry_after_s: float | None = None,
        error: type[EiaUnreachableError] = EiaUnreachableError,
    ) -> None:
        super().__init__(f"{address}: {reason}")
        self.reason = reason
        self.connected = connected
        self.retry_after_s = retry_after_s
        self.error = error


# What to do about an answer that asking again will not change; about any other, the address is what to look at.
_ADVICE = {
    401: "Check the credentials in the address",
    403: "It refuses this machine or these credentials: check that a browser gets it from here, or use another source",
}
_MOVED = "If the release has moved for good, point FORECAST_EIA_SOURCE at its new address"


def scrub(text: str, *, secret: str | Sequence[str] | None = None) -> str:
    """Text without user info in addresses, without values of parameters named like secrets, without `secret`."""
    for each in [secret] if isinstance(secret, str) else secret or ():
        text = text.replace(each, "***")
    return _USER_INFO.sub("***@", _SECRET_PARAMETER.sub(r"\1***", text))


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    log.warning("%s; attempt %d in %.1f s", details.caused_by, details.retry_num + 1, details.wait_for)


# Where structlog is installed, as Dagster does, stamina would otherwise print to standard output.
stamina.instrumentation.set_on_retry_hooks([_log_retry])


def _scrub_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = scrub(record.getMessage()), ()
    return True


# httpx logs every address in full and httpcore every header. Filters do not apply to child loggers, hence the list.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_scrub_record)


def download(
    url: str,
    *,
    params: Params = (),
    validators: Validators | None = None,
    limits: Limits = LIMITS,
    secret: str | None = None,
) -> Download | NotModified:
    """What is at an address, or `NotModified` where the validators still hold.

    Args:
        url: http or https.
        params: Query parameters.
        validators: Of the answer the caller already has; makes the request conditional.
        limits: Bounds.
        secret: A value that must not appear in any message, such as the API key among `params`.

    Raises:
        EiaUnreachableError: No usable answer after the last attempt, or none may come within the bounds.
        EiaBusyError: To the last the answer was "not now".
        EiaTlsError: Whoever answered could not prove to be the host; not tried again.
        EiaResponseError: An HTTP status that asking again will not change, or a redirect that leads elsewhere.
        ReleaseTooLargeError: More than `limits.max_bytes`.
    """
    request = httpx.Request("GET", url, params=list(params) or None, headers=_headers(validators))
    address = scrub(str(request.url), secret=secret)
    secrets = [*([secret] if secret else []), *_secrets_of(request.url)]
    started = attempt_started = time.monotonic()
    tried, online = 0, False

    def pause(error: Exception) -> bool | float:
        nonlocal online
        now = time.monotonic()
        if not isinstance(error, _FailedAttempt) or error.error is EiaTlsError:
            return False
        online = online or error.connected
        if not online:  # the next attempt may take as long again
            return now + (now - attempt_started) + limits.backoff_s < started + limits.offline_s
        wait = error.retry_after_s or limits.backoff_s
        if now + wait >= started + limits.total_s:
            return False
        return error.retry_after_s or True

    try:
        for attempt in stamina.retry_context(
            on=pause,
            attempts=limits.attempts,
            timeout=None,
            wait_initial=limits.backoff_s,
            wait_max=limits.total_s,
            wait_jitter=limits.backoff_s,
        ):
            with attempt:
                tried, attempt_started = attempt.num, time.monotonic()
                bounds = replace(
                    limits,
                    connect_s=limits.connect_s if online else min(limits.connect_s, _left(started, limits.offline_s)),
                    read_s=min(limits.read_s, _left(started, limits.total_s)),
                )
                return _attempt(request, address, deadline=started + limits.total_s, limits=bounds, secrets=secrets)
    except _FailedAttempt as failure:
        error, reason, wait = failure.error, failure.reason, failure.retry_after_s
    # Outside the handler: the chain would lead to httpx's exception, which holds the request and so the key.
    raise error(address, reason, attempts=tried, retry_after_s=300.0 if wait is None else wait)


def _secrets_of(url: httpx.URL) -> list[str]:
    """What an address carries that nobody else should read; an answer may repeat it."""
    values = [value for name, value in url.params.multi_items() if _SECRET_PARAMETER.match(f"?{name}=x")]
    return [value for value in (url.username, url.password, *values) if len(value) >= _SHORTEST_SECRET]


def _left(started: float, seconds: float) -> float:
    """What is left of the seconds, never nothing: a timeout must be positive."""
    return max(started + seconds - time.monotonic(), 0.001)


def _headers(validators: Validators | None) -> dict[str, str]:
    headers = {"User-Agent": "forecast-assets", "Accept-Encoding": "gzip"}
    if validators and validators.etag:
        headers["If-None-Match"] = validators.etag
    if validators and validators.last_modified:
        headers["If-Modified-Since"] = validators.last_modified
    return headers


def _attempt(
    request: httpx.Request, address: str, *, deadline: float, limits: Limits, secrets: Sequence[str]
) -> Download | NotModified:
    try:
        with httpx.Client(timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s)) as client:
            hop = client.build_request(request.method, request.url, headers=request.headers)
            for _ in range(MAX_REDIRECTS + 1):
                response = client.send(hop, stream=True)
                try:
                    there = response.next_request
                    if there is None:
                        return _answer(response, address, deadline=deadline, limits=limits, secrets=secrets)
                    if not may_follow(hop.url, there.url):
                        reason = scrub(f"it redirects to {there.url}, which is not followed", secret=secrets)
                        raise EiaResponseError(address, response.status_code, reason, advice=_MOVED)
                    hop = there
                finally:
                    response.close()
    except httpx.RequestError as error:
        reason = scrub(f"{type(error).__name__}: {error}", secret=secrets)
        if _is_tls_failure(error):
            raise _FailedAttempt(address, f"TLS failed, {reason}", error=EiaTlsError) from None
        connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        raise _FailedAttempt(address, reason, connected=connected) from None
    raise EiaResponseError(address, response.status_code, f"more than {MAX_REDIRECTS} redirects")


def _answer(
    response: httpx.Response, address: str, *, deadline: float, limits: Limits, secrets: Sequence[str]
) -> Download | NotModified:
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
        wait = _retry_after(response.headers)
        raise _FailedAttempt(address, f"HTTP {status}", retry_after_s=wait, error=EiaBusyError)
    conditional = {"if-none-match", "if-modified-since"} & response.request.headers.keys()
    if status == httpx.codes.NOT_MODIFIED and conditional:
        return NotModified(address)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"gzip", "identity"}:
        raise EiaResponseError(address, status, f"encoded as {encoding[:50]!r}, only gzip was asked for")
    if status != httpx.codes.OK:
        excerpt = next(response.iter_bytes(_EXCERPT_BYTES), b"")
        advice = _ADVICE.get(status, "Check the address")
        raise EiaResponseError(address, status, scrub(describe(excerpt), secret=secrets), advice=advice)
    if int(response.headers.get("content-length", 0)) > limits.max_bytes:
        raise ReleaseTooLargeError(address, limits.max_bytes)
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > limits.max_bytes:
            raise ReleaseTooLargeError(address, limits.max_bytes)
        if time.monotonic() > deadline:
            raise _FailedAttempt(address, f"not complete within {limits.total_s:.0f} s")
    log.info("%s: %d bytes", address, len(content))
    return Download(
        url=address,
        content=bytes(content),
        etag=response.headers.get("etag"),
        last_modified=response.headers.get("last-modified"),
    )


def _is_tls_failure(error: BaseException | None) -> bool:
    """Whether TLS itself failed; a connection that was cut meanwhile is worth another try."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def describe(body: bytes) -> str:
    """What an unexpected answer is or says: an API's own message, a page's title, or its first words."""
    text = body[:_EXCERPT_BYTES].decode("utf-8", "replace").strip()
    if _CONTROL.search(text):
        return f"no text but bytes that begin {body[:8].hex(' ')}"
    if title := re.search(r"(?is)<title[^>]*>(.*?)</title>", text):
        return f"an HTML page, {' '.join(title[1].split())[:100]!r}"
    if re.match(r"(?i)<(!doctype\s+)?html", text):
        return "an HTML page"
    return " ".join(text.split())[:300] or "an empty answer"


def may_follow(here: httpx.URL, there: httpx.URL) -> bool:
    """Whether a redirect stays on https and with the same organisation's host, so that the query may go along."""
    home = here.host.removeprefix("www.")
    same_host = there.host == home or there.host.endswith("." + home)
    same_port = there.port == here.port or there.scheme != here.scheme
    return same_host and same_port and there.scheme in {"https", here.scheme}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a `Retry-After` in seconds or as a date against the server's own `Date`."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return max(wait.total_seconds(), 0.0)
