"""What every service stands on: contracts, the ledger, engines, answers, queues. Knows no service."""
