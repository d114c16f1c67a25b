"""The lake that the settings name."""

from forecast_assets.settings import Settings, load_settings
from resources.lake import Lake


def configured_lake(settings: Settings | None = None) -> Lake:
    """The lake of some settings, by default of this process's.

    Raises:
        SettingsError: The settings are wrong.
    """
    settings = settings or load_settings()
    return Lake(uri=settings.lake_uri, region=settings.region)
