"""What can go wrong on the way to a person, by name."""

from collections.abc import Sequence

from resources.lake import LakeError

VARIABLE = "PETROLEUM_ALERT_URLS"
"""Where the addresses of channels are: they hold passwords and tokens, so they are no setting."""


class ChannelError(Exception):
    """Alerts do not reach whom they should."""


class ChannelAddressError(ChannelError):
    """An address of a channel is none; the address itself, a secret, is not in the message.

    Attributes:
        position: Which of the addresses, from 1 on.
    """

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(
            f"address {position} of {VARIABLE} leads nowhere: {reason}. Write it as https://appriseit.com/services "
            "shows for its service, addresses apart by spaces; what waits for it is kept and sent then"
        )


class ChannelFailedError(ChannelError):
    """A channel did not take a message.

    Attributes:
        channel: Its name.
        reason: What it said, without addresses.
    """

    def __init__(self, channel: str, reason: str) -> None:
        self.channel, self.reason = channel, reason
        super().__init__(f"the channel {channel} did not take the message: {reason}")


class ChannelsFailingError(ChannelError):
    """Alerts wait, because channels have not taken them for some time.

    Attributes:
        lines: A channel each, with its reason.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        super().__init__(
            "; ".join(self.lines) + ". Nothing is lost: what waits is sent when the channel takes it. Mend its address "
            f"({VARIABLE}, or topic_arn of the setting alerts), then try `forecast alerts test`"
        )


class DamagedAlertError(LakeError):
    """A file of an alert is there and is not what was written.

    Attributes:
        where: The file or object.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(f"{where} is damaged ({reason}): delete it, and the alert is said anew if it still holds")
