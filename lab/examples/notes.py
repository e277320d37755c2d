"""An application that keeps its notes in SQLite: POST /notes with a text, GET /notes for all of them.

    uvicorn --app-dir DIRECTORY notes:app --host 0.0.0.0 --port 8090

A note is answered with 201 when its transaction has been committed, so it is on both nodes by then.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DATABASE = os.environ.get("NOTES", "/srv/notes/notes.db")


def connection() -> sqlite3.Connection:
    """The database, with its table; changes go to a file of their own first (WAL), and a commit is synced."""
    database = sqlite3.connect(DATABASE, timeout=10)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    return database


def notes() -> list[str]:
    with closing(connection()) as database:
        return [text for (text,) in database.execute("SELECT text FROM note ORDER BY id")]


def add(text: str) -> int:
    """The new note's number."""
    with closing(connection()) as database, database:
        number = database.execute("INSERT INTO note (text) VALUES (?)", [text]).lastrowid
    assert number is not None
    return number


async def read(_: Request) -> JSONResponse:
    return JSONResponse(await run_in_threadpool(notes))


async def write(request: Request) -> JSONResponse:
    text = (await request.body()).decode()
    return JSONResponse({"id": await run_in_threadpool(add, text)}, status_code=201)


app = Starlette(routes=[Route("/notes", read), Route("/notes", write, methods=["POST"])])
