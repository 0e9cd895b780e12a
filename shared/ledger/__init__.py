"""The ledger: runs, stages, work items, records, usage, events. The truth that everything else can be rebuilt from.

Knows nothing of trees or thoughts: bodies of records are JSON to it. Every function is one small synchronous transaction
(or several, where it says so); callers in coroutines go through `asyncio.to_thread`.
"""
