"""Alerts: what is wrong, said once, kept in the lake until every channel has taken it."""

from resources.alerts.alert import Alert
from resources.alerts.outbox import Alerts, Occurrence

__all__ = ["Alert", "Alerts", "Occurrence"]
