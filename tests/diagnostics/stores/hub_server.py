"""A server on loopback that speaks enough of the hub's API for its package: repositories and their files."""

from __future__ import annotations

import hashlib
import re

from loopback import Answer, Loopback, Request, in_json

SHA = "a" * 40  # the commit that all of them are at


class Hub:
    """Repositories with files, as the hub shows them."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.repos: dict[str, dict[str, bytes]] = {}
        self.fails: dict[str, Answer] = {}  # by what a path begins with
        server.answer = self.answer

    def answer(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        for beginning, failure in self.fails.items():
            if path.startswith(beginning):
                return failure
        if match := re.fullmatch(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            kind, repo, revision = match.groups()
            files = self.repos.get(repo if kind == "models" else f"{kind}/{repo}")
            if files is None:
                return in_json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            if revision not in (None, "main", SHA):
                return in_json({"error": "Invalid rev id"}, 404, **{"X-Error-Code": "RevisionNotFound"})
            return in_json({"id": repo, "sha": SHA, "siblings": [{"rfilename": name} for name in files]})
        if match := re.fullmatch(r"/(.+?)/resolve/[^/]+/(.+)", path):
            repo, name = match.groups()
            content = self.repos[repo][name]
            etag = hashlib.sha1(content).hexdigest()
            return Answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": SHA})
        return Answer(404)

    @property
    def files_asked(self) -> list[str]:
        found = (re.search(r"/resolve/[^/]+/(.+)", request.path) for request in self.server.asked)
        return list(dict.fromkeys(match[1] for match in found if match))
