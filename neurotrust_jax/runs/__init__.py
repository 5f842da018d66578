"""Audits of files, written into a folder, which go on where they were interrupted."""

from .audit_run import audit_files as audit_files
from .inputs import Files as Files
from .inputs import LayerData as LayerData
from .inputs import load_layer as load_layer
from .inputs import load_layers as load_layers
from .manifest import folder_name as folder_name
from .manifest import options_given as options_given
from .merging import merge_runs as merge_runs
from .options import Options as Options
from .saved_runs import saved_audits as saved_audits
