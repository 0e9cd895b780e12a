"""The evaluator: samples models on problems, grades, and reports accuracy beside what it cost in tokens."""
