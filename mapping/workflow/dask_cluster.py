"""The workers of a Dask cluster as places for pieces of work; a worker that ends in the middle loses nothing.

Values that all pieces share, such as a written chip, are sent to every worker once. Dask gives the pieces of a worker
that ended to another one. If the last copy of the shared values ended with it, they are sent again.
"""

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import set_threads, threads
from mapping.workflow.digests import code_version

if TYPE_CHECKING:
    from mapping.chips.distributed_work import Item, Result, Shared

PATIENCE = 20  # s until a scheduler or a worker has answered, ours
RESTART = 300  # s until a worker is there after all of them ended, ours
WAITING = 3  # pieces sent to a worker for each of its threads, so that none waits for the next one; ours
ROUNDS = 10  # times in a row that shared values are sent again before a cluster is given up, ours

Value = TypeVar("Value")


def connected(address: str) -> Any:  # noqa: ANN401 - a library without types
    """Return a client of the Dask scheduler at an address; leave it as a context to close it.

    Raises ParameterError if the package distributed is missing or nobody answers at the address.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ParameterError("a Dask cluster needs the package distributed: pip install 'crossgate[dask]'")
    distributed: Any = importlib.import_module("distributed")
    try:
        return distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise ParameterError(f"there is no Dask scheduler at {address!r}: {error}") from None


@contextlib.contextmanager
def cluster(address: str) -> "Iterator[Cluster]":
    """Connect to the Dask scheduler at an address, and give its workers as places for pieces of work.

    Raises ParameterError if nobody answers, the scheduler has no workers, or a worker has another version of this
    program.
    """
    with connected(address) as client:
        found = Cluster(client, address)
        found.check()
        yield found


class Cluster:
    """The workers of a Dask scheduler; `distribute` is a mapping.chips.distributed_work.Distribute."""

    def __init__(self, client: Any, address: str) -> None:  # noqa: ANN401
        self.client, self.address = client, address

    def check(self) -> None:
        """Raise ParameterError unless there are workers and all of them have this version of the program."""
        self._wait(PATIENCE)
        own = code_version()
        for worker, version in self.client.run(_version, on_error="return").items():
            if isinstance(version, Exception):
                raise ParameterError(f"the Dask worker {worker} cannot run crossgate: {version}")
            if version != own:
                raise ParameterError(
                    f"the Dask worker {worker} must have the same version of crossgate, got other source files"
                )

    def distribute(
        self, work: "Callable[[Shared, Item], Result]", shared: "Shared", items: "Sequence[Item]"
    ) -> "Generator[tuple[int, Result], None, None]":
        """Call work(shared, item) for each item on the workers; yields numbers of items with their results, as done.

        Raises what `work` raises, and ParameterError if no workers are left or pieces of work end several of them.
        """
        left, failures = dict(enumerate(items)), 0
        while left:
            before = len(left)
            with contextlib.closing(self._round(work, shared, left)) as results:
                for at, result in results:
                    del left[at]
                    yield at, result
            failures = failures + 1 if len(left) == before else 0
            if failures == ROUNDS:
                raise ParameterError(
                    f"the workers of the Dask cluster at {self.address} end before they finish any work"
                )

    def _round(
        self, work: "Callable[[Shared, Item], Result]", shared: "Shared", left: "dict[int, Item]"
    ) -> "Generator[tuple[int, Result], None, None]":
        """Send the shared values once and run the pieces; those that are lost with the values are not yielded."""
        distributed: Any = importlib.import_module("distributed")
        self._wait(RESTART)
        try:
            held = self.client.scatter(shared, broadcast=True, hash=False)
        except (OSError, TimeoutError, KeyError):  # a worker ended while it received them
            return
        waiting, sent = list(left.items()), dict[Any, int]()
        queue = distributed.as_completed()

        def submit() -> None:
            places = WAITING * max(sum(self.client.nthreads().values()), 1)
            while waiting and len(sent) < places:
                at, item = waiting.pop(0)
                future = self.client.submit(_alone, work, held, item, pure=False)
                sent[future] = at
                queue.add(future)

        try:
            submit()
            for future in queue:
                at = sent.pop(future)
                try:
                    result = future.result()
                except CancelledError:  # the last copy of the shared values ended with a worker
                    waiting.clear()
                    continue
                except distributed.KilledWorker as error:
                    raise ParameterError(
                        f"several workers of the Dask cluster at {self.address} ended at the same piece of work; they "
                        f"may lack memory: {' '.join(str(error).split())}"
                    ) from None
                future.release()
                yield at, result
                submit()
        finally:
            for future in sent:
                future.cancel()

    def _wait(self, seconds: float) -> None:
        """Wait for a worker.  Raises ParameterError if none comes."""
        try:
            self.client.wait_for_workers(1, timeout=seconds)
        except TimeoutError:
            raise ParameterError(f"the Dask scheduler at {self.address} has no workers") from None


def _version() -> str:
    """Return the version of the code on a worker; the name makes Dask import this module there."""
    return code_version()


def _alone(work: "Callable[[Shared, Item], Result]", shared: "Shared", item: "Item") -> "Result":
    """Do one piece of work on one thread; a worker has as many pieces at once as it has threads."""
    before = threads()
    set_threads(1)
    try:
        with one_blas_thread():
            return work(shared, item)
    finally:
        set_threads(before)
