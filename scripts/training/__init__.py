"""What the parts that are trained for minutes add; `scripts/bench training` runs it."""

from training.sequence import DATA, Compared, compare

__all__ = ["DATA", "Compared", "compare"]
