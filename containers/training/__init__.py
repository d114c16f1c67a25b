"""The training image: the search and the fit."""
