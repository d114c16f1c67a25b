"""The ways to the outside world: EIA, the lake, SageMaker. Nothing here knows the lineage."""
