"""What turns a message into work: claim, run the handler, commit; leases kept alive beside it. Knows no service's work."""
