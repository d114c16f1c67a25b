"""The ways to a person: what Apprise knows, from mail to chat, and a topic of SNS.

Addresses are secrets. They are in the environment and in the memory of the process; no name, message, log or file has
any part of them. A channel is called by the kind of its address, `slack`, and by number where there are several,
`slack-2`: a new password makes no new channel.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, unquote_plus

from resources.alerts.errors import VARIABLE, ChannelAddressError, ChannelError, ChannelFailedError
from resources.alerts.text import Message
from resources.aws import client

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset

LOG = "log"
SENDER = "Petroleum demand"

_TIMEOUT_S = 15
_SUBJECT = 100  # characters of ASCII that SNS takes
_LIBRARIES = ("apprise", "urllib3.connectionpool", "requests_oauthlib", "oauthlib", "MARKDOWN")


class Channel(Protocol):
    """A way to a person.

    Attributes:
        name: What people call it; lower case, digits and hyphens.
    """

    name: str

    def send(self, message: Message) -> None:
        """Hand a message over.

        Raises:
            ChannelError: It was not taken.
        """


class Log:
    """The log of whoever delivers; it never fails.

    Args:
        write: What takes a line.
    """

    name = LOG

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def send(self, message: Message) -> None:
        """Write it down."""
        self._write(f"{message.title}\n{message.body}")


class Topic:
    """A topic of SNS.

    Args:
        arn: Its name in AWS.
    """

    name = "topic"

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def send(self, message: Message) -> None:
        """Publish it.

        Raises:
            ChannelFailedError: SNS refuses, or cannot be reached.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        subject = message.title.encode("ascii", "replace").decode()
        try:
            client("sns", self._arn.split(":")[3], patient=False).publish(
                TopicArn=self._arn, Subject=subject[:_SUBJECT].strip() or SENDER, Message=message.body
            )
        except (BotoCoreError, ClientError) as error:
            raise ChannelFailedError(self.name, str(error)) from error


class Address:
    """One address that Apprise understands.

    Args:
        url: It.
        name: Of the channel.
        position: Among the addresses, from 1 on.
    """

    def __init__(self, url: str, *, name: str, position: int) -> None:
        self.name, self._url, self._position = name, url, position

    def send(self, message: Message) -> None:
        """Send it.

        Raises:
            ChannelAddressError: The address leads nowhere.
            ChannelFailedError: The service did not take it.
        """
        from apprise import Apprise, NotifyFormat, NotifyType
        from apprise.exception import AppriseException

        _silence()
        apprise = Apprise(asset=_asset())
        self._add(apprise)
        kind = NotifyType.SUCCESS if message.good else NotifyType.FAILURE
        try:
            with apprise.notify(
                title=message.title, body=message.body, notify_type=kind, body_format=NotifyFormat.TEXT
            ) as result:
                if result:
                    return
                said = "; ".join(entry.message for entry in result.logs())
        except AppriseException as error:
            said = str(error)
        reason = without_secrets(said, self._url)
        raise ChannelFailedError(
            self.name, reason.rstrip(".") or f"it has not answered within {_TIMEOUT_S} s"
        ) from None

    def _add(self, apprise: "Apprise") -> None:
        from apprise import Apprise

        kind = self._url.partition("://")[0] if "://" in self._url else ""
        if not _knows(kind):
            raise ChannelAddressError(self._position, "Apprise knows no service by the word before its ://")
        # It gives None for what it cannot read, and keeps the reason to a log that would show the address.
        service = Apprise.instantiate(self._url, asset=apprise.asset)
        if service is None:
            raise ChannelAddressError(self._position, f"it is not what Apprise expects of {kind.lower()}://")
        apprise.add(service)


def configured_channels(topic_arn: str, environment: Mapping[str, str] = os.environ) -> list[Channel]:
    """The channels that people have asked for.

    Args:
        topic_arn: Of SNS; empty for none.
        environment: Where the addresses are.
    """
    addresses = environment.get(VARIABLE, "").split()
    kinds = [_kind(url) for url in addresses]
    seen: Counter[str] = Counter()
    channels: list[Channel] = []
    for position, (url, kind) in enumerate(zip(addresses, kinds, strict=True), start=1):
        seen[kind] += 1
        name = kind if seen[kind] == 1 else f"{kind}-{seen[kind]}"
        channels.append(Address(url, name=name, position=position))
    return [*channels, Topic(topic_arn)] if topic_arn else channels


def without_secrets(text: str, url: str) -> str:
    """A text without any part of an address, as it is and decoded; without addresses of whatever kind, too."""
    body = url.partition("://")[2] or url
    parts = {part for part in re.split(r"[/:@?&=#,;]+", body) if len(part) > 2}
    parts |= {decode(part) for part in parts for decode in (unquote, unquote_plus)}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return re.sub(r"[a-z][a-z0-9+.-]*://\S+", "***", text, flags=re.IGNORECASE)


def _kind(url: str) -> str:
    """The kind of an address, as part of a name; what is no kind may be a secret in the wrong place."""
    kind = url.partition("://")[0] if "://" in url else ""
    return re.sub(r"[^a-z0-9]", "-", kind.lower()) if _knows(kind) else "address"


def _knows(kind: str) -> bool:
    from apprise.manager_plugins import NotificationManager

    _silence()
    return kind.lower() in NotificationManager()  # type: ignore[no-untyped-call]


def _asset() -> "AppriseAsset":
    """How Apprise presents itself: as us, without pictures from elsewhere, keys of its own, or anything on the disk."""
    from apprise import AppriseAsset, PersistentStoreMode

    return AppriseAsset(
        app_id=SENDER,
        app_desc=SENDER,
        app_url="",
        image_url_mask="",
        image_url_logo="",
        pgp_autogen=False,
        pem_autogen=False,
        secure_logging=True,
        storage_mode=PersistentStoreMode.MEMORY,
        service_timeout=_TIMEOUT_S,
    )


def _silence() -> None:
    """What these libraries log has whole addresses in it; the reason of a failure is taken from Apprise's answer."""
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # or Python would print warnings by itself


__all__ = ["LOG", "Channel", "ChannelError", "Log", "Topic", "configured_channels", "without_secrets"]
