"""Rolling-origin backtest of what the platform would have published: `python -m benchmarks.accuracy`."""
