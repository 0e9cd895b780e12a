"""The services. They never import each other: they meet in the ledger and on the queues."""
