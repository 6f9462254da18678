"""Measurements of the HTTP service as a process of its own."""
