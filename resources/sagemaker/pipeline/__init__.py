"""The training lineage as a SageMaker Pipeline, for those who run it without Dagster."""
