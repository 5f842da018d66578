"""Show an audit as a table, files, figures and a page."""

from .curves import plot_coverage as plot_coverage
from .curves import plot_forecast as plot_forecast
from .curves import plot_probing_size as plot_probing_size
from .curves import save_forecasts as save_forecasts
from .descriptions import write_descriptions as write_descriptions
from .neuron_formula import NeuronFormula as NeuronFormula
from .neuron_plots import most_active as most_active
from .neuron_plots import plot_examples as plot_examples
from .neuron_plots import plot_leading as plot_leading
from .neuron_plots import plot_snippets as plot_snippets
from .one_neuron import Contender as Contender
from .one_neuron import NeuronAudit as NeuronAudit
from .page import write_page as write_page
from .page_images import Examples as Examples
from .plots import plot_intervals as plot_intervals
from .plots import plot_layer as plot_layer
from .plots import plot_replication as plot_replication
from .plots import plot_set_sizes as plot_set_sizes
from .plots import plot_verdicts as plot_verdicts
from .plots import plot_votes as plot_votes
from .plots import save_figures as save_figures
from .saved_audit import read_audit as read_audit
from .saved_audit import write_audit as write_audit
from .table import neuron_table as neuron_table
from .table import summary as summary
