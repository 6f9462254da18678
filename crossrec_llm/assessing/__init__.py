"""Should you use this on your data: texts, overlap, leaks, a trial, and a verdict in words."""

from crossrec_llm.assessing.assess import Assessment, assess

__all__ = ["Assessment", "assess"]
