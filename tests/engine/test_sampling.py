from __future__ import annotations

import numpy as np
import pytest

from santajupyter.engine.sampling import Picker
from santajupyter.protocol import Sampling


def test_top_p_and_temperature_sample_as_they_say() -> None:
    """Frequencies of 4,000 draws; only the likeliest two of three are within top_p."""
    picker = Picker(Sampling(temperature=0.5, top_p=0.9, seed=1))
    logits = np.log(np.array([0.1, 0.4, 0.5]))
    drawn = [picker.pick(logits) for _ in range(4000)]
    shares = [sum(token == i for token, _ in drawn) / 4000 for i in range(3)]
    assert shares == pytest.approx([0, 16 / 41, 25 / 41], abs=0.03)
    assert drawn[0][1] == pytest.approx(np.log([0.1, 0.4, 0.5][drawn[0][0]]))
