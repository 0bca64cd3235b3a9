"""Where tapes are kept. `Store` is what a library needs of a database; one module each implements it."""

from tailrace.tape.stores.store import Indexing, Packing, Store

__all__ = ["Indexing", "Packing", "Store"]
