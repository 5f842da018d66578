"""Would another probing set have given another label?"""

from .agreement import fleiss_kappa as fleiss_kappa
from .agreement import jaccard as jaccard
from .agreement import kendalls_w as kendalls_w
from .agreement import nogueira as nogueira
from .agreement import rank_biased_overlap as rank_biased_overlap
from .bootstrapping import Bootstrap as Bootstrap
from .bootstrapping import bootstrap as bootstrap
from .bootstrapping import bootstrap_black_box as bootstrap_black_box
from .bootstrapping import bootstrap_weights as bootstrap_weights
from .replication import replication_probability as replication_probability
from .replication import replication_trend as replication_trend
from .selection import WinnersCurse as WinnersCurse
from .selection import winners_curse as winners_curse
from .stability_measures import Stability as Stability
from .stability_measures import bagging_epsilon as bagging_epsilon
from .stability_measures import inflated_argmax as inflated_argmax
from .stability_measures import stability as stability
from .streaming import bootstrap_stream as bootstrap_stream
from .trend import Trend as Trend
