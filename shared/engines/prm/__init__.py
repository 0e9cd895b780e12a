"""Process reward models: what each format wants marked, where its scores stand, and how it is served. One file a format.

| format | models | a step's score |
|---|---|---|
| `math-shepherd` | peiyi9979/math-shepherd-mistral-7b-prm | at the ` ки` after it: `+` against `-` as the next token |
| `rlhflow` | RLHFlow/Llama3.1-8B-PRM-Mistral-Data, -Deepseek-Data | where the assistant's answer to it begins: `+` against `-` |
| `skywork` | Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B, -7B | at the newline after it: a value head, through a sigmoid |
| `qwen2.5-math-prm` | Qwen/Qwen2.5-Math-PRM-7B, Qwen/Qwen2.5-Math-7B-PRM800K | at the `<extra_0>` after it: class 1 of two |
| `longthought` | what a training with method `prm` makes | at the newline after it: class 1 of two |

All are causal: a step's score depends on the question and the steps up to it alone. So all steps of a path are scored by one pass
over it, and nothing need follow the last mark.

Token ids come from the server's own `/tokenize`: it has the model's tokenizer and chat template, ours and another's alike, and
neither a worker's environment nor its memory has to hold them. Adding a format takes one file, its name in `FORMATS` and in
`ModelSpec.prm`.
"""

from shared.engines.prm.math_shepherd import MATH_SHEPHERD
from shared.engines.prm.own import OWN
from shared.engines.prm.qwen import QWEN
from shared.engines.prm.rlhflow import RLHFLOW
from shared.engines.prm.skywork import SKYWORK

FORMATS = {one.name: one for one in (MATH_SHEPHERD, RLHFLOW, SKYWORK, QWEN, OWN)}
