"""Where tapes are kept. `Store` is what a library needs of a database; one module each implements it."""

from tailrace.tape.stores.store import Packing, Store

__all__ = ["Packing", "Store"]
