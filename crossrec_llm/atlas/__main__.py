"""`python -m crossrec_llm.atlas INDEX GENERATION`: the process that `making.start` starts."""

from __future__ import annotations

import sys
from pathlib import Path

from crossrec_llm.atlas.making import make

if __name__ == "__main__":
    sys.exit(make(Path(sys.argv[1]), sys.argv[2], sys.stdout))
