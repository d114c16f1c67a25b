"""What runs inside a SageMaker container: one entry point per image, and the contract they share."""
