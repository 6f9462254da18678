"""Measurements of the service, each in a module of its own."""
