"""A server on loopback that speaks enough of MLflow's API, and says what a test wants; the real one is tested, too."""

from __future__ import annotations

from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import Answer, Loopback, Request, in_json

PAGE = 30  # points in an answer


def run_of(id: str, metrics: dict[str, list[dict[str, Any]]], **info: Any) -> dict[str, Any]:
    """A run with the history of each metric, as MLflow tells of it but for `histories`."""
    last = [points[-1] for points in metrics.values()]
    info = {"run_id": id, "run_name": "a run", "status": "FINISHED"} | info
    return {"info": info, "data": {"metrics": last, "params": []}, "histories": metrics}


class Mlflow:
    """A server with an experiment and its `runs`; `fail` says what the next answers are."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.runs: dict[str, dict[str, Any]] = {}
        self._fails: dict[str, deque[Answer]] = {}  # by what a path begins with
        server.answer = self.answer

    def fail(self, what: str, *answers: Answer) -> None:
        """The next questions after `what` get these answers."""
        self._fails[f"/api/2.0/mlflow/{what}"] = deque(answers)

    def told(self, run: str) -> dict[str, Any]:
        """What is told of a run without its history."""
        return {name: told for name, told in self.runs[run].items() if name != "histories"}

    def answer(self, request: Request) -> Answer:
        """As MLflow."""
        for beginning, failures in self._fails.items():
            if request.path.startswith(beginning) and failures:
                return failures.popleft()
        address = urlsplit(request.path)
        given = {name: values[0] for name, values in parse_qs(address.query).items()}
        match address.path.removeprefix("/api/2.0/mlflow/"):
            case "runs/get" if given["run_id"] in self.runs:
                return in_json({"run": self.told(given["run_id"])})
            case "experiments/get-by-name":
                return in_json({"experiment": {"experiment_id": "1", "name": given["experiment_name"]}})
            case "runs/search":
                return in_json({"runs": [self.told(run) for run in reversed(self.runs)]})
            case "metrics/get-history":
                points = self.runs[given["run_id"]]["histories"][given["metric_key"]]
                begin = int(given.get("page_token", 0))
                more = {"next_page_token": str(begin + PAGE)} if begin + PAGE < len(points) else {}
                return in_json({"metrics": points[begin : begin + PAGE], **more})
        return Answer(404)
