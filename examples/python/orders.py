"""A shop that takes orders: the row and its event are one transaction."""

import psycopg
from psycopg.types.json import Jsonb


class Declined(Exception):
    """The order is not to be, after everything was written."""


def place_order(connection: psycopg.Connection, topic: str, order_id: str, cents: int, declined: bool = False) -> None:
    with connection.transaction():
        connection.execute("INSERT INTO orders (id, cents) VALUES (%s, %s)", (order_id, cents))
        connection.execute(
            "SELECT tandem.add(%s, %s::jsonb, key => %s, type => 'order.placed')",
            (topic, Jsonb({"id": order_id, "cents": cents}), order_id),
        )
        if declined:
            raise Declined(order_id)
