"""Final answers: extract them from text, bring them to one form, verify them against the known answer, vote over them."""
