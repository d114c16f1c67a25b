"""Calls of AWS that wait out what passes, so that a following of hours does not end with one bad minute.

Waits are told through the log that the caller passes, which is Dagster's; stamina's hooks are one for the process.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from resources.aws import THROTTLED, AwsAccessError, asking, error_code

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

R = TypeVar("R")

_FAULTS = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long a call is tried again while AWS throttles, has a fault, or cannot be reached.

    It comes on top of what the boto3 client tries by itself.

    Attributes:
        within_s: Seconds from the first try to the last.
        first_s: The first wait; each is twice the one before, up to `longest_s`, give or take a half.
        longest_s: The longest wait.
    """

    within_s: float = 300
    first_s: float = 1
    longest_s: float = 30

    def ask(self, what: str, call: Callable[[], R], *, warn: Callable[[str], object]) -> R:
        """The answer of a call.

        Args:
            what: What is asked, as the words after "cannot".
            call: Asks.
            warn: Told of every wait.

        Raises:
            AwsAccessError: The account refuses, which is not waited for, or it did not pass in time.
            ClientError: Any other answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        began, wait = time.monotonic(), self.first_s
        while True:
            try:
                return call()
            except (ClientError, BotoCoreError) as error:
                if not passes(error):
                    with asking(what):
                        raise
                pause = wait * random.uniform(0.5, 1.5)
                if time.monotonic() + pause > began + self.within_s:
                    code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
                    said = f"{error}; it was asked again and again for {self.within_s:g} s"
                    raise AwsAccessError(what, code, said) from error
                warn(f"AWS does not answer now ({error}); asking again in {pause:.1f} s")
            time.sleep(pause)
            wait = min(2 * wait, self.longest_s)


def passes(error: "ClientError | BotoCoreError") -> bool:
    """Whether it is throttling, a fault of the service or one of the network: another try may help."""
    from botocore import exceptions
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return error_code(error) in THROTTLED or status in _FAULTS
    of_the_network = isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError)
    return of_the_network and not isinstance(error, exceptions.SSLError)
