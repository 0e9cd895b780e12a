"""How fast trees become a dataset."""
