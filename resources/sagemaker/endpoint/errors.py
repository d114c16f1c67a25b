"""What may be wrong with an endpoint."""


class EndpointError(Exception):
    """The endpoint is not as asked."""


class EndpointMissingError(EndpointError):
    """There is no such endpoint."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no endpoint {name}: run `forecast refresh`, or the job `deploy`")


class EndpointBusyError(EndpointError):
    """Another deployment has not ended, or an earlier change of SageMaker's.

    Args:
        name: Of the endpoint.
        seconds: How long it was waited for.
    """

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(
            f"endpoint {name}: another deployment has not ended within {seconds:.0f} s. Nothing was changed: run "
            "`forecast refresh` later, which deploys what is approved then"
        )


class EndpointUpdateError(EndpointError):
    """A new model did not come into service.

    Args:
        name: Of the endpoint.
        why: What SageMaker says.
        now: What serves since then, as a sentence.
    """

    def __init__(self, name: str, why: str, now: str) -> None:
        super().__init__(f"endpoint {name}: the new model did not come into service ({why}). {now}")


class EndpointSlowError(EndpointUpdateError):
    """A new model has not come into service yet: SageMaker takes longer than it was waited for."""


class EndpointSmokeTestError(EndpointError):
    """A new model came into service and did not pass its test there.

    Args:
        name: Of the endpoint.
        why: What it did instead.
        now: What serves since then, as a sentence.
    """

    def __init__(self, name: str, why: str, now: str) -> None:
        super().__init__(f"endpoint {name}: the new model failed its smoke test ({why}). {now}")


class EndpointRollbackError(EndpointError):
    """A deployment failed, and so did the way back.

    Args:
        name: Of the endpoint.
        why: Why the deployment failed.
        former: The endpoint config that should serve again.
        found: What is found instead.
    """

    def __init__(self, name: str, why: str, *, former: str, found: str) -> None:
        super().__init__(
            f"endpoint {name}: a new model failed ({why}), and its former config {former} could not be brought back: "
            f"{found}. Take it down with `forecast endpoint stop` and bring it up with `forecast refresh`; read "
            "forecasts from the lake until then"
        )


class EndpointStuckError(EndpointError):
    """An endpoint does not go."""

    def __init__(self, name: str, status: str, seconds: float) -> None:
        super().__init__(
            f"endpoint {name} is still {status} {seconds:.0f} s after it was to go: look at it in the console"
        )


class EndpointRefusedError(EndpointError):
    """The model behind the endpoint refused the request."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"endpoint {name}: {message}")


class EndpointAnswerError(EndpointError):
    """The endpoint answers, and wrongly."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"endpoint {name} answers wrongly: {reason}")
