"""What can go wrong with a catalog, by name."""

from resources.aws import AwsError


class ForeignTableError(AwsError):
    """A table of that name is in the database, and is not of this lake.

    Attributes:
        database: Of Glue.
        table: Its name.
        owner: The lake it is of; None where no lake has registered it.
    """

    def __init__(self, database: str, table: str, owner: str | None) -> None:
        self.database, self.table, self.owner = database, table, owner
        whose = f"is of the lake at {owner}" if owner else "was registered by somebody else"
        super().__init__(
            f"table {table} of the Glue database {database} {whose}; nothing was registered. Set FORECAST_DATABASE to "
            "a database for this lake, or delete that table if nobody uses it"
        )
