"""What happens inside a trained network: its states over time, drawn; units that follow the text; probes of layers.

Nothing here knows of runs or configurations: :meth:`seqlab.commands.run.Run.states` and its neighbours bring a run's
model and text. Gradients over time are measured in :mod:`seqlab.nn.gradients`, and drawn here.
"""

from seqlab.inside.draw import draw_norms_by_lag, draw_states
from seqlab.inside.states import LayerStates, States

__all__ = ["LayerStates", "States", "draw_norms_by_lag", "draw_states"]
