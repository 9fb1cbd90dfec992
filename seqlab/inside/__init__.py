"""What happens inside a trained network: its states over time, drawn; units that follow the text; probes of layers.

Nothing here knows of runs or configurations: :meth:`seqlab.commands.run.Run.states` and its neighbours bring a run's
model and text. Gradients over time are measured in :mod:`seqlab.nn.gradients`, and drawn here.
"""

from seqlab.inside.draw import draw_norms_by_lag, draw_states
from seqlab.inside.labels import (
    LABELS,
    after_space,
    in_brackets,
    in_name,
    in_quotes,
    position_in_line,
    position_in_sentence,
    position_in_word,
)
from seqlab.inside.probes import Probe, fit_probe, majority_accuracy
from seqlab.inside.states import LayerStates, States
from seqlab.inside.units import UnitRanking, UnitScore, rank_units

__all__ = [
    "LABELS",
    "LayerStates",
    "Probe",
    "States",
    "UnitRanking",
    "UnitScore",
    "after_space",
    "draw_norms_by_lag",
    "draw_states",
    "fit_probe",
    "in_brackets",
    "in_name",
    "in_quotes",
    "majority_accuracy",
    "position_in_line",
    "position_in_sentence",
    "position_in_word",
    "rank_units",
]
