"""The compiler: trees into long thoughts, shortcuts and pairs, and these into a dataset with its card.

The one model it may ask is the refiner's.
"""
