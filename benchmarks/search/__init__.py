"""The search against the engine's own limit and against lock-step: `make bench-search` (`__main__.py`)."""
