"""The serving image: forecasts over HTTP, on the standard library's arithmetic alone."""
