"""The conductor: reads the ledger and decides what comes next. Opens stages, rings the queues, closes runs; looks inside no
result.
"""
