"""What a job costs, roughly: list prices times billed time.

Storage, requests and transfer are not in it, nor savings plans and free tiers.
"""

from collections.abc import Mapping

# USD an hour of SageMaker training, processing and batch transform in us-east-1, gathered on 2026-11-21 from public
# tables of https://aws.amazon.com/sagemaker/ai/pricing/. Where yours differ (another region, a contract), say so in the
# setting `prices`.
_M = {"large": 0.115, "xlarge": 0.23, "2xlarge": 0.461, "4xlarge": 0.922}
_C = {"xlarge": 0.204, "2xlarge": 0.408, "4xlarge": 0.816}
_T = {"medium": 0.05, "large": 0.10, "xlarge": 0.20, "2xlarge": 0.399}
PRICES: Mapping[str, float] = {
    **{f"ml.{family}.{size}": usd for family in ("m5", "m6i") for size, usd in _M.items()},
    **{f"ml.{family}.{size}": usd for family in ("c5", "c6i") for size, usd in _C.items()},
    **{f"ml.t3.{size}": usd for size, usd in _T.items()},
    "ml.m5.12xlarge": 2.765,
    "ml.m5.24xlarge": 5.53,
    "ml.c5.9xlarge": 1.836,
    "ml.c5.18xlarge": 3.672,
}


def cost_usd(instance_type: str, *, instance_seconds: float, prices: Mapping[str, float]) -> float | None:
    """The price of billed time in USD; None where the instance type has no price.

    Args:
        instance_type: Such as `ml.m5.xlarge`.
        instance_seconds: Billed seconds of all instances together.
        prices: USD an hour by instance type; where one is missing, `PRICES` counts.
    """
    hourly = prices.get(instance_type, PRICES.get(instance_type))
    return None if hourly is None else hourly * instance_seconds / 3600
