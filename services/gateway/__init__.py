"""The only door in: the HTTP API. Writes runs and problem sets, reads results; never talks to a model."""
