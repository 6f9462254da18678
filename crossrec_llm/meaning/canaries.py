"""32 texts that tell whether an encoder still gives the vectors that it gave."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from crossrec_llm.errors import IndexMismatch

LEAST_COSINE = 0.9999
"""So near every canary must be to what it was; sums in another order stay above 0.999999."""

_FILES = "canaries.npy", "canaries.json"
_DECIDING = ("torch", "transformers", "sentence-transformers", "tokenizers")

# Titles, sentences and long descriptions; Latin, Cyrillic, Greek, Arabic, Hebrew, Indic and East
# Asian writing; digits, signs and emoji: what a tokenizer or a model may come to treat otherwise.
TEXTS: tuple[str, ...] = (
    "a",
    "Red shoes",
    "USB-C cable 2 m, 60 W",
    "Heirloom tomato seeds, six varieties",
    "The Year-Round Vegetable Garden",
    "ISBN 978-3-16-148410-0",
    "£12.50 / 14,90 € / $15.99 – 25 % off!",
    "WATERPROOF JACKET FOR TRAIL RUNNING",
    "Noise-cancelling headphones | Electronics > Audio",
    "naïve café, crème brûlée, jalapeño, smörgåsbord",
    "Rasenmäher mit Akku, 40 V, für große Flächen",
    "Poêle en fonte émaillée, compatible avec tous les feux",
    "Zapatillas de montaña impermeables para mujer",
    "Macchina per il caffè con macinacaffè integrato",
    "Kubek termiczny ze stali nierdzewnej, 450 ml",
    "Kahve değirmeni, ayarlanabilir öğütme",
    "Bình giữ nhiệt dung tích 500 ml",
    "Настольная лампа с регулировкой яркости",
    "Ηλεκτρικός βραστήρας από ανοξείδωτο ατσάλι",
    "سماعات لاسلكية بخاصية إلغاء الضوضاء",
    "תיק גב עמיד במים לטיולים",
    "बच्चों के लिए लकड़ी के खिलौने",
    "หม้อหุงข้าวไฟฟ้า ขนาด 1.8 ลิตร",
    "防水登山鞋 男款 透气",
    "折りたたみ式の木製チェスセット",
    "무선 기계식 키보드, 한글 각인",
    "🎁🏕️ gift for campers 🔦",
    "for (i = 0; i < n; i++) { sum += x[i]; }",
    "A wooden chess set with weighted pieces, a folding board and felt-lined storage. The kings "
    "are ten centimetres tall, and two spare queens come with it.",
    "Peat-free potting soil, 40 litres. Compost for vegetable garden planters and seedlings; it "
    "is made of bark, green waste and wood fibre, holds water well and has food for six weeks. "
    "After that, feed once a week. Keep the bag closed and dry, out of the reach of children.",
    "tent " * 60,
    "Two-person trekking tent with a footprint and a rain cover. Aluminium poles, taped seams, two "
    "doors and two vestibules; it weighs 2.1 kilograms and packs to the size of a loaf of bread. "
    "Set up the inner tent first, throw the fly over it, then peg out the corners crosswise, and "
    "tighten the guy lines in wind. Dry it before storing: mildew is not covered by the guarantee. "
    "The fabric is rip-stop nylon with a silicone coating on both sides, rated to 3,000 mm of "
    "water. Sleeping mats of up to 196 by 63 centimetres fit side by side. Spare pegs, a repair "
    "sleeve and a stuff sack are included, and every part can be bought on its own.",
)


BATCHES = TEXTS[:28], TEXTS[28:]
"""As they are encoded: the short ones apart from the long ones, which they would be padded to."""


@dataclass(frozen=True, eq=False)
class Canaries:
    """What an encoder made of TEXTS, and where.

    vectors : (32, dim) float32 unit rows.
    environment : versions and machine that could have made a difference.
    """

    vectors: np.ndarray
    environment: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> Canaries | None:
        """As `save` wrote them; None in a generation that was built before there were any."""
        vectors, made = (folder / name for name in _FILES)
        if not made.exists():
            return None
        return cls(np.array(np.load(vectors, mmap_mode="r")), json.loads(made.read_text("utf-8")))

    def save(self, folder: Path) -> None:
        vectors, made = (folder / name for name in _FILES)
        np.save(vectors, self.vectors)
        made.write_text(json.dumps(dict(self.environment), sort_keys=True), "utf-8")

    def drift(self, vectors: np.ndarray) -> float:
        """Cosine of the canary that is furthest from (32, dim) others; 0 for another length."""
        if vectors.shape != self.vectors.shape:
            return 0.0
        return float(np.einsum("ij,ij->i", self.vectors, vectors).min())

    def require(self, vectors: np.ndarray, encoder: str) -> None:
        """Refuse vectors that are not the ones from before.

        Raises
        ------
        IndexMismatch : says how far they are, what has changed, and what to run.
        """
        cosine = self.drift(vectors)
        if cosine >= LEAST_COSINE:
            return
        now = environment()
        changed = [
            f"{name} {was or 'none'} then, {now.get(name) or 'none'} now"
            for name, was in sorted(self.environment.items())
            if now.get(name) != was
        ]
        raise IndexMismatch(
            f"the encoder {encoder} no longer gives the vectors that the index was made with: of "
            f"{len(TEXTS)} canary texts one has a cosine of {cosine:.5f} to what it had "
            f"({'; '.join(changed) or 'the versions are the same'}); set up what it was built "
            "with, or run `crossrec build`, which encodes everything again"
        )


def environment() -> dict[str, str]:
    """What may change an encoder's vectors without changing its files; cheap to ask."""
    found = {"machine": f"{platform.machine()} {_processor()}".strip()}
    for package in _DECIDING:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open("r", encoding="utf-8", errors="replace") as lines:
            names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
            return next(names, "")
    except OSError:
        return platform.processor()
