import time

from bankclient import Bank  # type: ignore[import-not-found]  # a library that is there only where this is run

LARGE = 8


async def checkout(bank: Bank, order: int) -> None:
    await bank.balance(order)
    if order == LARGE:
        time.sleep(0.352)


async def load_prices() -> dict[str, int]:
    time.sleep(0.352)
    return {"apple": 8, "pear": 9}


async def price_of(fruit: str) -> int:
    prices = await load_prices()
    return prices[fruit]
