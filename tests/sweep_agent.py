"""W&B's own agent without W&B's server: what it asks the server is answered here, by the engine of the sweeps.

    python -m tests.sweep_agent SWEEP.yaml RUNS [STOPPED]

The runs are called run-1, run-2, ... STOPPED is one of them, which is stopped as early termination does it, once it has
been validated.
"""

import csv
import json
import sys
from pathlib import Path

import sweeps
import wandb
import yaml
from wandb.apis.public import sweeps as asked
from wandb.wandb_agent import Agent, run_agent


class Server:
    """Hands out the runs of one sweep to one agent.

    Args:
        path: The sweep's file.
        most: Runs, then the agent is told to exit.
        stopped: Id of the run that is stopped; None: none.
    """

    def __init__(self, path: Path, most: int, stopped: str | None = None) -> None:
        self.config = yaml.safe_load(path.read_text())
        words = (str(word) for word in self.config["command"])
        (root,) = (word.partition("=")[2] for word in words if word.startswith("--trainer.default_root_dir="))
        self.root = Path(root)
        self.most = most
        self.stopped = stopped
        self.runs: list[sweeps.SweepRun] = []

    def sweep(self, api, sweep, specs):
        return {"config": yaml.safe_dump(self.config)}

    def register(self, api, host, sweep_id):
        return {"id": "agent"}

    def commands(self, api, agent_id, metrics, running):
        if self.runs:
            self.runs[-1].history = self.history(self.runs[-1].name)
        if running:
            (run,) = running
            return [{"type": "stop", "run_id": run}] if run == self.stopped and self.runs[-1].history else []
        if self.runs:
            self.runs[-1].state = sweeps.RunState.finished
        suggested = None if len(self.runs) == self.most else sweeps.next_run(self.config, self.runs)
        if suggested is None:
            return [{"type": "exit"}]
        suggested.name, suggested.state = f"run-{len(self.runs) + 1}", sweeps.RunState.running
        self.runs.append(suggested)
        arguments = json.loads(json.dumps(suggested.config, default=lambda number: number.item()))
        return [{"type": "run", "run_id": suggested.name, "program": self.config["program"], "args": arguments}]

    def history(self, run: str) -> list[dict[str, float]]:
        """What a run has logged of the metric."""
        metric, path = self.config["metric"]["name"], self.root / run / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [{metric: float(row[metric])} for row in csv.DictReader(file) if row.get(metric)]


def main(path: str, most: str, stopped: str | None = None) -> None:
    """Run the agent to its end; prints the ids of the runs that it was given, and how many of them failed."""
    server = Server(Path(path), int(most), stopped)
    asked._sweep_with_runs, asked._register_agent, asked._agent_heartbeat = (
        server.sweep,
        server.register,
        server.commands,
    )
    wandb.Api = lambda: None  # asks for a key, and the server whether it is right
    Agent.POLL_INTERVAL = 1
    agents, run = [], Agent.run

    def remembered(agent):
        agents.append(agent)
        run(agent)

    Agent.run = remembered
    run_agent("sweep1")  # wandb.agent logs in before
    print(json.dumps({"runs": [run.name for run in server.runs], "failed": agents[0]._failed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
