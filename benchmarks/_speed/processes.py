"""Run functions in processes of their own."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

CONTEXT = multiprocessing.get_context("spawn")


@contextmanager
def worker():
    """A process that starts when first needed, and a function that calls others in it."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        yield lambda function, *args, limit=None: pool.submit(function, *args).result(limit)


def _send(end, function, args):
    try:
        end.send((True, function(*args)))
    except Exception as error:
        end.send((False, error))


def fresh(function, *args, limit=None):
    """The result of one call in a new process.

    It inherits no memory, compiled code or full accelerator; the parent never touches the device.

    Raises
    ------
    TimeoutError
        If it takes longer than ``limit`` seconds.
    MemoryError
        If the process dies, as one does that takes more memory than there is.
    """
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send, args=(sender, function, args))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            raise TimeoutError(f"not done after {limit:g} s")
        done, result = receiver.recv()
    except EOFError:
        process.join()
        raise MemoryError(f"the process ended with status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if not done:
        raise result
    return result
