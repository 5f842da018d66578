"""How much faster is one batched call than what one would otherwise run, at the same answer?

Bootstraps the labels of planted neurons, B replicates in one call, and times what a user could run
instead on the very same resampled rows, checking that both name the same winners. Writes
``speed.json`` after each measurement and a figure, ``speed.png``; exits with status 1 if a winner
differs where the similarities do not tie, or standard errors do not agree. Parts:

compare  per metric, against loops over replicates in NumPy and PyTorch and a published style of
         code; against torchmetrics, SciPy's bootstrap and arch's confidence sets at what they do
ceiling  time against what the dense formulation needs at this machine's peak
scaling  time and memory against samples, neurons, concepts and replicates
scale    a wide layer and a large vocabulary under a memory limit
sparse   features of a sparse autoencoder, against a loop of SciPy's sparse products
whole    an audit, and its permutation test against a product by NumPy for each permutation

    python benchmarks/speed.py            # everything
    python benchmarks/speed.py --quick    # tiny sizes, seconds

Times exclude data creation and, unless said otherwise, compilation. A baseline runs for as many
replicates as a few seconds allow; the total is B times their median. Speed-ups compare best times,
which other processes disturb least. Still, the machine must be idle ("load" in the JSON): threads
that wait for each other can lose a hundredfold, and most baselines have such threads.
"""

from _common import command_line, results
from _speed.figures import draw
from _speed.jobs import PARTS, jobs
from _speed.plan import BUSY, FULL, GIB, LOOPS, QUICK, TOOLS, Size
from _speed.report import failures, show
from _speed.timing import fresh, worker
from rich.console import Console


def options():
    """The options of the command line."""
    found = command_line.parser(__doc__, "tiny sizes", parts=PARTS)
    size = {"nargs": 4, "type": int, "metavar": Size._fields}
    found.add_argument("--size", **size, help="size of the first three parts")
    found.add_argument(
        "--metrics",
        nargs="+",
        choices=FULL.metrics,
        help="metrics of the part compare",
    )
    known = ", ".join(LOOPS + TOOLS)
    text = f'baselines of the part compare: {known}; on one device only as "torch_rows, cuda"'
    found.add_argument("--baselines", nargs="+", metavar="NAME", help=text)
    found.add_argument("--scale-size", **size, help="size of the part scale")
    found.add_argument("--memory-limit", type=float, metavar="GIB", help="limit of the part scale")
    return found


def plan_of(arguments, error):
    """The plan that the arguments ask for; ``error(message)`` refuses a wrong one."""
    plan = QUICK if arguments.quick else FULL
    for name in arguments.baselines or ():
        if name.split(",")[0] not in LOOPS + TOOLS:
            error(f"unknown baseline {name!r}; known: {', '.join(LOOPS + TOOLS)}")
    changed = {
        "base": arguments.size and Size(*arguments.size),
        "metrics": arguments.metrics and tuple(arguments.metrics),
        "baselines": arguments.baselines and tuple(arguments.baselines),
        "scale": arguments.scale_size and Size(*arguments.scale_size),
        "memory_limit": arguments.memory_limit and int(arguments.memory_limit * GIB),
    }
    return plan._replace(**{name: value for name, value in changed.items() if value})


def earlier(path, found):
    """Parts that an earlier run on this machine measured, with the date of that run."""
    before = results.read(path)
    if any(before.get(k) != found[k] for k in ("device", "cores", "versions")):
        return {}
    return {part: before[part] for part in PARTS if part in before}


def main():
    parser = options()
    arguments = parser.parse_args()
    plan = plan_of(arguments, parser.error)
    path = arguments.out / "speed.json"
    run = {"date": results.time_stamp(), "parts": arguments.parts}
    console = Console(width=120)
    with worker() as shared:
        call = shared if arguments.quick else fresh
        found = run | call(results.machine)
        run["load"] = found["load"]
        if found["load"] > BUSY:
            console.print(f"load is {found['load']:.1f}: do not trust these times", style="red")
        found |= earlier(path, found)
        for part in arguments.parts:
            found[part] = run | {"rows": []}
            for job in jobs(plan)[part]:
                found[part]["rows"] += call(*job)
                results.write(path, found)
            show(part, found[part]["rows"], console)
    draw(found, arguments.out / "speed.png")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
