#!/usr/bin/env python3
"""Makes a course, follows its generation, and saves it as Markdown and HTML in the current folder:

    COURSEWRIGHT_URL=http://127.0.0.1:8080 COURSEWRIGHT_TOKEN=... python3 create_course.py "Introduction to Beekeeping"

Needs Python 3.9 or newer and nothing else.
"""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

API = os.environ.get("COURSEWRIGHT_URL", "http://127.0.0.1:8080").rstrip("/") + "/api/v1/"


class ApiError(Exception):
    """What the service refused. `code` is stable, the message is for people."""

    def __init__(self, error: dict, retry_after: int):
        super().__init__(f"{error['code']}: {error['message']} (request {error['requestId']})")
        self.code = error["code"]
        self.details = error.get("details", {})
        self.retry_after = retry_after


def call(procedure: str, parameters: dict, body: "dict | None" = None) -> dict:
    address = API + procedure
    if parameters:
        address += "?" + urllib.parse.urlencode(parameters)
    request = urllib.request.Request(address, headers={
        "Authorization": "Bearer " + os.environ.get("COURSEWRIGHT_TOKEN", ""),
        "Accept-Language": "en",
    })
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        raise ApiError(json.load(refused), int(refused.headers.get("Retry-After", 30))) from None


def query(procedure: str, **parameters: str) -> dict:
    return call(procedure, parameters)


def mutate(procedure: str, **body: object) -> dict:
    return call(procedure, {}, body)


def start(course_id: str) -> None:
    """Starts the generation, as soon as there is room for it. The key makes it safe to ask twice."""
    while True:
        try:
            mutate("generation.initiate", courseId=course_id, idempotencyKey=course_id)
            return
        except ApiError as error:
            if error.code != "CONCURRENCY_LIMIT":
                raise
            time.sleep(error.retry_after)


def follow(course_id: str) -> dict:
    """Waits for the end, and says what happens until then."""
    said = None
    while True:
        state = query("generation.getStatus", courseId=course_id)
        line = f"{state['progress']} % {state['phase']}, {state['lessonsCompleted']}/{state['lessonsTotal']} lessons"
        if line != said:
            print(line)
        said = line
        if state["status"] in ("completed", "failed", "cancelled"):
            return state
        time.sleep(1)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: create_course.py TITLE")
    try:
        course_id = mutate("courses.create", title=sys.argv[1])["id"]
        start(course_id)
        state = follow(course_id)
        if state["status"] != "completed":
            sys.exit(f"{state['status']}: {(state['error'] or {}).get('message', '')}")

        structure = query("generation.getResult", courseId=course_id)["structure"]
        print(structure["course_title"])
        for section in structure["sections"]:
            print(f"{section['section_number']}. {section['section_title']}, {len(section['lessons'])} lessons")

        for export_format in ("markdown", "html"):
            file = query("courses.export", courseId=course_id, format=export_format)
            pathlib.Path(file["fileName"]).write_text(file["content"], encoding="utf-8")
            print("saved", file["fileName"])
    except (ApiError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
