"""A bank that holds nothing and keeps no answers: it only writes down what came."""

from shared.ledger.records import UsageRow


class OpenBank:
    """What an endpoint needs of a bank; `rows` are the usages, `lost` counts requests whose end nobody saw."""

    cached = False

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []
        self.losses = 0

    async def hold(self, dollars: float) -> float:
        return 0.0

    async def settle(self, held: float, row: UsageRow | None) -> None:
        if row is not None:
            self.rows.append(row)

    async def lost(self, held: float) -> None:
        self.losses += 1
