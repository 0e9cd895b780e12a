"""What a recipe will cost, before it runs: pure functions over a Recipe.

| file | what |
|---|---|
| `ranges` | a quantity of which the least, the expected and the most are told |
| `lengths` | how long problems are: measured, or assumed |
| `assumptions` | what no recipe tells, each with its reason; every one can be set |
| `searches`, `judges` | bounds of a search by its strategy, and what its reward asks |
| `teachers`, `texts` | the other stages: what each asks and what it gives to later ones |
| `speed` | tokens a second by device and number of parameters |
| `price` | all stages of a recipe, in order, and their totals |

Nothing here reads a file, a ledger or the network.
"""
