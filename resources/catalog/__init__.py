"""The lake's tables by name, for those who ask in SQL: in the Glue catalog, for Athena, or as views, for DuckDB.

Both know the same tables with the same columns and types, and `week`, the partition, as a date; so the same SELECT
gives the same answer. Nothing is crawled: what there is is said, and a week that arrives needs no registration.
"""

from resources.catalog.errors import ForeignTableError
from resources.catalog.glue import Registered, register, table_inputs, unlisted
from resources.catalog.views import views

__all__ = ["ForeignTableError", "Registered", "register", "table_inputs", "unlisted", "views"]
