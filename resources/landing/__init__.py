"""Files that others bring: where they land, which of them are taken in, and the release that a run makes of them."""

from resources.landing.errors import LandingError, LandingPlaceError, LandingReadError, LandingRefusedError
from resources.landing.intake import Intake
from resources.landing.places import open_place
from resources.landing.records import LANDED_TAG, Landed, Landings

__all__ = [
    "LANDED_TAG",
    "Intake",
    "Landed",
    "LandingError",
    "LandingPlaceError",
    "LandingReadError",
    "LandingRefusedError",
    "Landings",
    "open_place",
]
