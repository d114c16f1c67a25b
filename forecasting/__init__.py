"""The mathematics: pure functions over frames. It knows no orchestrator, no cloud, no clock and no file by itself."""
