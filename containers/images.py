"""What each image runs: the arguments after the Python interpreter, to run an entry point without its image.

They equal the ENTRYPOINT of the image's Dockerfile and the word SageMaker adds to it.
"""

COMMANDS: dict[str, tuple[str, ...]] = {
    "processing": ("-m", "containers.processing"),
    "training": ("-m", "containers.training", "train"),
    "serving": ("-m", "containers.serving", "serve"),
}
