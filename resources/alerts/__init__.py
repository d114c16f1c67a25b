"""Alerts: what is wrong, said once, kept in the lake until a channel has taken it."""

from resources.alerts.alert import Alert
from resources.alerts.outbox import Alerts

__all__ = ["Alert", "Alerts"]
