"""What spreads independent pieces of work over other processes, such as the workers of a cluster."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Distribute(Protocol):
    """A function that calls `work(shared, item)` for each item, on processes of its choice."""

    def __call__(
        self, work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield the number of each item with its result, in the order in which they are done.

        work: a function of a module; its arguments and results can be pickled.
        """
