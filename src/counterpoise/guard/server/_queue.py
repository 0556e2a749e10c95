"""A queue in which nobody can stand in front of everybody else."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from ._errors import ApiError

T = TypeVar("T")


class Fair(Generic[T]):
    """Clients take turns, so do the requests of one client, and what belongs to one request keeps its order."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, OrderedDict[Hashable, deque[T]]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, client: Hashable, request: Hashable, item: T) -> None:
        self._clients.setdefault(client, OrderedDict()).setdefault(request, deque()).append(item)
        self._size += 1

    def first(self) -> T:
        """What `take` will give."""
        requests = next(iter(self._clients.values()))
        return next(iter(requests.values()))[0]

    def take(self) -> T:
        """The next item; its client and its request go to the end of their lines."""
        client, requests = self._clients.popitem(last=False)
        request, items = requests.popitem(last=False)
        item = items.popleft()
        if items:
            requests[request] = items
        if requests:
            self._clients[client] = requests
        self._size -= 1
        return item

    def remove(self, client: Hashable, request: Hashable, item: T) -> None:
        """Take an item out of its line, if it still stands there."""
        requests = self._clients.get(client, OrderedDict())
        items = requests.get(request, deque())
        if item not in items:
            return
        items.remove(item)
        self._size -= 1
        if not items:
            del requests[request]
        if not requests:
            del self._clients[client]


class Places:
    """Places for requests that take long: `most` together, and half of them (rounded up) for one client."""

    def __init__(self, most: int):
        self._most = most
        self._taken: dict[Hashable, int] = {}

    @contextmanager
    def one(self, client: Hashable) -> Iterator[None]:
        """A place while the block runs. Raises ApiError 429 when there is none."""
        own = self._taken.get(client, 0)
        if sum(self._taken.values()) >= self._most or own >= (self._most + 1) // 2:
            raise ApiError(429, "overloaded", "too many long texts are being looked at; try again", retry_after=10)
        self._taken[client] = own + 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
