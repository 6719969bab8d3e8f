"""Statistics of the finger tip over time (the baseline), and a network on the frames themselves."""

from __future__ import annotations

from competitions.hand_gestures.data import MOTIONS
from goldfold.recipes import sequence_network, statistics_pooling

RECIPES = {
    "statistics_pooling": statistics_pooling.recipe("motion", MOTIONS),
    "sequence_network": sequence_network.recipe("motion", MOTIONS, epochs=8, batch_size=64),
}
