"""Speed, measured against peers and limits. Each prints its figures, and in its last line all of them as JSON."""
