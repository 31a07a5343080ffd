"""Many questions at once with the asynchronous client, a refusal among them."""

import asyncio

from cfcore.client import AsyncClient
from cfcore.errors import CosmicFlowsError

NAMES = ["NGC 4993", "M 87", "NGC 1365", "NGC 9999", "M 104"]


async def main() -> None:
    """Ask for all, print what comes."""
    async with AsyncClient() as client:
        answers = await asyncio.gather(*(client.flow(name, H0=70) for name in NAMES), return_exceptions=True)
    for name, answer in zip(NAMES, answers):
        if isinstance(answer, CosmicFlowsError):
            print(f"{name:9} {answer.code}: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            d = answer["distance"]
            print(f"{name:9} {d['mean']:6.1f} +- {d['std']:4.1f} Mpc, moves with {answer['v_rad']:5.0f} km/s")


asyncio.run(main())
