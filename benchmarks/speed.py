"""How long do audits and their parts take, and how long what one would otherwise run?

Layers have strong labels, weak ones, or none (noise): screening flatters where labels are strong.
What a user could run instead is timed beside each call, on the very same draws, and its answers are
compared. Writes ``speed.json`` after each measurement and a figure, ``speed.png``; exits with
status 1 if a winner differs where the similarities do not tie, or other answers disagree. Parts,
with the minutes that they are expected to take on 2 idle cores:

compare       3.5  a bootstrap, against loops over replicates in NumPy and PyTorch
whole         5.5  an audit, its parts, and loops for the same results
permutations  1.5  1,000 permutations, and 100,000
real          1.5  audits of real layers, as tests find them (``NEUROTRUST_REAL``)
command       0.5  ``neurotrust audit`` with an empty cache folder, and with a filled one
features      1.5  an audit of 16,384 sparse features, against a loop of SciPy's sparse products
memory        2    the peak of memory of audits of 512 to 32,768 neurons
wide         25    an audit of 131,072 sparse features on a million tokens
tools         3    torchmetrics, SciPy's bootstrap and arch's confidence sets
ceiling       2    time against what the dense formulation needs at this machine's peak
scaling      15    time and memory against samples, neurons, concepts and replicates
scale         8    a wide layer and a large vocabulary under a memory limit

    python benchmarks/speed.py                        # what the READMEs quote, 16 minutes
    python benchmarks/speed.py --parts whole --metrics iou --worlds weak
    python benchmarks/speed.py --parts wide --limit 3600
    python benchmarks/speed.py --quick                # every part at tiny sizes

A measurement that ``speed.json`` holds already, from the same machine and versions, is not made
again without ``--again``, so an interrupted run goes on where it stopped. Times exclude data
creation and, unless said otherwise, compilation. A call counts if other processes leave the cores
alone until its end (read from /proc/stat, on Linux), else it waits for them, at most two minutes;
``cores_of_others`` says how many cores they used. Loops run for a few seconds; the total is the
number of steps times their median. Speed-ups compare best times, which others disturb least.
"""

from _common import command_line, results
from _speed.figures import draw
from _speed.jobs import PARTS, QUOTED, jobs
from _speed.plan import FULL, GIB, LOOPS, QUICK, TOOLS, WORLDS, Size
from _speed.processes import fresh, worker
from _speed.report import failures, show
from rich.console import Console


def options():
    """The options of the command line."""
    found = command_line.parser(__doc__, "tiny sizes")
    size = {"nargs": 4, "type": int, "metavar": Size._fields}
    found.add_argument("--parts", nargs="+", choices=PARTS)
    found.add_argument("--again", action="store_true", help="measure again what is measured")
    found.add_argument("--metrics", nargs="+", choices=FULL.metrics)
    found.add_argument("--worlds", nargs="+", choices=WORLDS)
    found.add_argument("--size", **size, help="size of dense layers")
    known = ", ".join(LOOPS + TOOLS)
    text = f'baselines of the part compare: {known}; on one device only as "torch_rows, cuda"'
    found.add_argument("--baselines", nargs="+", metavar="NAME", help=text)
    found.add_argument("--scale-size", **size, help="size of the part scale")
    found.add_argument("--memory-limit", type=float, metavar="GIB", help="limit of the part scale")
    text = "give up a measurement after so many seconds, and go on with the next one"
    found.add_argument("--limit", type=float, metavar="SECONDS", help=text)
    return found


def plan_of(arguments, error):
    """The plan that the arguments ask for; ``error(message)`` refuses a wrong one."""
    plan = QUICK if arguments.quick else FULL
    for name in arguments.baselines or ():
        if name.split(",")[0] not in LOOPS + TOOLS:
            error(f"unknown baseline {name!r}; known: {', '.join(LOOPS + TOOLS)}")
    if arguments.limit is not None and not arguments.limit > 0:
        error(f"--limit must be above 0, got {arguments.limit}")
    changed = {
        "base": arguments.size and Size(*arguments.size),
        "metrics": arguments.metrics and tuple(arguments.metrics),
        "worlds": arguments.worlds and tuple(arguments.worlds),
        "sparse_worlds": arguments.worlds and tuple(arguments.worlds),
        "baselines": arguments.baselines and tuple(arguments.baselines),
        "scale": arguments.scale_size and Size(*arguments.scale_size),
        "memory_limit": arguments.memory_limit and int(arguments.memory_limit * GIB),
        "limits": arguments.limit and plan.limits._replace(job=arguments.limit),
    }
    return plan._replace(**{name: value for name, value in changed.items() if value})


def earlier(path, about):
    """The rows that earlier runs on this machine measured, by part; tiny sizes stay apart."""
    before = results.read(path)
    same = ("device", "cores", "versions")
    if any(before.get(k) != about[k] for k in same) or before.get("quick", False) != about["quick"]:
        return {}
    return {part: before[part] for part in PARTS if part in before}


def rows_of(job, call, limit):
    """The rows of a job, or one that says why it was not done."""
    about = {"job": job.name, "date": results.time_stamp()}
    try:
        rows = call(job.function, *job.arguments, limit=limit)
    except (TimeoutError, MemoryError) as error:
        return [about | {"unfinished": str(error)}]
    return [x | about for x in rows]


def main():
    parser = options()
    arguments = parser.parse_args()
    plan = plan_of(arguments, parser.error)
    path = arguments.out / "speed.json"
    console = Console(width=150)
    with worker() as shared:
        call = shared if arguments.quick else fresh
        about = call(results.machine) | {"quick": arguments.quick}
        found = earlier(path, about)
        for part in arguments.parts or (PARTS if arguments.quick else QUOTED):
            rows = found.get(part, {"rows": []})["rows"]
            done = {x["job"] for x in rows if "job" in x and "unfinished" not in x}
            for job in jobs(plan)[part]:
                if job.name in done and not arguments.again:
                    continue
                console.print(f"{part}: {job.name}")
                rows = [x for x in rows if x.get("job") not in (None, job.name)]
                rows += rows_of(job, call, plan.limits.job)
                found[part] = {"rows": rows}
                results.write(path, {"date": results.time_stamp()} | about | found)
            show(part, rows, console)
    draw(found, arguments.out / "speed.png")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
