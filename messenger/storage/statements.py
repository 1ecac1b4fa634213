"""Statements that are asked so often that the way through SQLAlchemy would cost more than their answers: they are
written with it, compiled once, and handed to asyncpg as they are. `benchmarks/README.md` has the figures."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = PGDialect_asyncpg()


class Row(asyncpg.Record):
    """Its columns are attributes too, as in SQLAlchemy's rows."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Statement:
    """Takes the parameters of `of` by name. What SQLAlchemy would turn into something else on the way does not belong
    here: lists go in as arrays, JSON as text."""

    def __init__(self, of: sa.Select[Any] | str) -> None:
        self.of = sa.text(of) if isinstance(of, str) else of

    async def ask(self, driver: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        """`driver` is asyncpg's connection."""
        given = [values.get(name, said) for name, said in self._parameters]
        rows: Sequence[Any] = await driver.fetch(self._text, *given, record_class=Row)
        return rows

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self.of.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        assert not compiled.post_compile_params, "an IN that grows with its list cannot be compiled once"
        return compiled

    @cached_property
    def _text(self) -> str:
        return str(self._compiled)

    @cached_property
    def _parameters(self) -> Sequence[tuple[str, Any]]:
        """In their order, with the value of what the statement says itself."""
        said = self._compiled.params
        return [(name, said[name]) for name in self._compiled.positiontup or ()]
