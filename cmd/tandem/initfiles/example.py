"""An order and its event in one transaction, and a charge that is made once for each
message: Tandem in Python, by SQL. It takes DATABASE_URL from the environment, or the
PostgreSQL of compose.yaml."""

import json
import os
import uuid

import psycopg


def place_order(conn, order_id, cents):
    """Writes an order and its event: both are committed, or neither is."""
    with conn.transaction():
        conn.execute("INSERT INTO orders (id, cents) VALUES (%s, %s)", (order_id, cents))
        return conn.execute(
            "SELECT tandem.add('orders', %s::jsonb, key => %s, type => 'order.placed')",
            (json.dumps({"id": order_id, "cents": cents}), order_id),
        ).fetchone()[0]


def charge(conn, message_id, order):
    """Charges once for each message, however often it is delivered. message_id is the
    header ce_id of the Kafka record. Commit the record's offset after this."""
    with conn.transaction():
        first = conn.execute("SELECT tandem.once('billing', %s)", (str(message_id),)).fetchone()[0]
        if first:
            conn.execute(
                "INSERT INTO charges (order_id, cents) VALUES (%s, %s)",
                (order["id"], order["cents"]),
            )
        return first


def main():
    url = os.environ.get("DATABASE_URL") or os.environ.get(
        "TANDEM_DATABASE_URL", "postgres://postgres:tandem@localhost:5432/shop"
    )
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, cents bigint NOT NULL)")
        conn.execute("CREATE TABLE IF NOT EXISTS charges (order_id text PRIMARY KEY, cents bigint NOT NULL)")
        order = {"id": str(uuid.uuid4()), "cents": 4200}
        event_id = place_order(conn, order["id"], order["cents"])
        print("placed", order["id"], "with the event", event_id)
        # A consumer of the topic "orders" does this with each record:
        for delivery in "first", "second":
            charged = charge(conn, event_id, order)
            print(delivery, "delivery:", "charged" if charged else "a duplicate")


if __name__ == "__main__":
    main()
