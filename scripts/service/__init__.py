"""Measurements of the service and its pages; `scripts/bench` runs them."""
