"""Where problems come from: publishers' rows (`formats`) and bundled generators (`generate`)."""
