"""Engines: one client for every OpenAI-compatible endpoint, and local vLLM servers as children. Knows no mathematics."""
