"""The tags by which Dagster knows what a run is of, and what is to become of it."""

PARTITION_TAG = "dagster/partition"
BACKFILL_TAG = "dagster/backfill"
RUN_KEY_TAG = "dagster/run_key"
PRIORITY_TAG = "dagster/priority"
WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_AS_TAG = "dagster/auto_retry_run_id"

NO_RETRY = {"dagster/max_retries": "0"}
"""On a run that ended for a reason which another attempt would meet again."""
