"""A service that charges each order once, however often its message comes."""

import json
import os
import signal
import sys
from threading import Event

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from psycopg.types.json import Jsonb

CONSUMER = "billing"  # the name under which the inbox remembers what was charged


def group(topic: str) -> str:
    return f"{topic}-{CONSUMER}"


def charge(connection: psycopg.Connection, message: Message, charges: str) -> bool:
    """Charges the order of a message, and tells of it; False if that was done before."""
    headers = {name: value.decode() for name, value in message.headers() or [] if value is not None}
    order = json.loads(message.value())
    with connection.transaction():
        first = connection.execute("SELECT tandem.once(%s, %s::text)", (CONSUMER, headers["ce_id"])).fetchone()[0]
        if first:
            connection.execute("INSERT INTO charges (order_id, cents) VALUES (%s, %s)", (order["id"], order["cents"]))
            cause = {
                "ce_causationid": headers["ce_id"],
                "ce_correlationid": headers.get("ce_correlationid", headers["ce_id"]),
            }
            connection.execute(
                "SELECT tandem.add(%s, %s::jsonb, key => %s, type => 'order.charged', headers => %s)",
                (charges, Jsonb({"order": order["id"]}), order["id"], Jsonb(cause)),
            )
    return first


def report(error: KafkaError) -> None:
    """Says what is wrong; the client tries again by itself, unless it is fatal."""
    if error.fatal():
        raise KafkaException(error)
    print(f"billing: {error}", file=sys.stderr)


def main() -> None:
    stopped = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    crash_after = int(os.environ.get("CRASH_AFTER", "0"))
    known = handled = 0
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            "group.id": group(os.environ["ORDERS_TOPIC"]),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "group.instance.id": f"{CONSUMER}-1",  # who comes back has its partitions at once
        }
    )
    consumer.subscribe([os.environ["ORDERS_TOPIC"]])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while not stopped.is_set():
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                report(message.error())
                continue
            first = charge(connection, message, os.environ["CHARGES_TOPIC"])
            handled += 1
            known += not first
            if handled == crash_after:
                os.kill(os.getpid(), signal.SIGKILL)  # charged, and the offset is not committed
            consumer.commit(message=message, asynchronous=False)
    consumer.close()
    print(f"billing ends; messages that it knew already: {'some' if known else 'none'}", flush=True)


if __name__ == "__main__":
    main()
