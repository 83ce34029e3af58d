"""Writes obp.json: what the Open Bandit Pipeline says of obp_inputs. Run where obp 0.5.7 can be imported.

obp 0.5.7 declares Python below 3.11, so it is no extra. It runs on later ones, beside numpy, scikit-learn and torch:

    pip install --target DIR --no-deps --ignore-requires-python obp==0.5.7 seaborn
    PYTHONPATH=DIR:. python tests/serve_app/online/evaluation/make_obp.py
"""

from __future__ import annotations

import json
from pathlib import Path

import obp
from obp.ope import DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

from tests.serve_app.online.evaluation.obp_inputs import CASES, draw


def main() -> None:
    cases = []
    for seed, rounds in CASES:
        logs = draw(seed, rounds)
        given = {
            "reward": logs.reward,
            "action": logs.action,
            "pscore": logs.logging,
            "action_dist": logs.target[:, :, None],
        }
        robust = DoublyRobust().estimate_policy_value(**given, estimated_rewards_by_reg_model=logs.model[:, :, None])
        cases.append(
            {
                "seed": seed,
                "rounds": rounds,
                "sum_of_rewards": float(logs.reward.sum()),
                "sum_of_propensities": float(logs.logging.sum()),
                "ips": float(InverseProbabilityWeighting().estimate_policy_value(**given)),
                "snips": float(SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given)),
                "doubly_robust": float(robust),
            }
        )
    text = json.dumps({"obp": obp.__version__, "cases": cases}, indent=1)
    Path(__file__).with_name("obp.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
