"""The training process, sharded by FSDP on CPUs: in place of `services.trainer.train`, with the same arguments.

accelerate shards on accelerators alone; on CPUs it leaves the sharding out without a word (state.py, AcceleratorState.__init__, of
1.15). What it would do next works on CPUs as well, over gloo. So here, and here alone, its state is told.
"""

import sys
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

whole = AcceleratorState.__init__


def sharding(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    whole(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


AcceleratorState.__init__ = sharding

if __name__ == "__main__":
    from services.trainer.train import main

    sys.exit(main())
