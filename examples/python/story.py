"""Shop and billing at work, while "tandem relay" runs. README.md says what this prints."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import orders
from billing import group, report

ORDERS = 20
KILLED_AFTER = 7
PARTITIONS = 3
LIMIT = 100  # seconds that anything here may take

TABLES = """
DROP TABLE IF EXISTS orders, charges;
CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL);
CREATE TABLE charges (order_id text NOT NULL, cents integer NOT NULL); -- nothing here refuses a second charge
"""


def tell(connection: psycopg.Connection, orders_topic: str, charges_topic: str) -> None:
    connection.execute(TABLES)
    for n in range(1, ORDERS + 1):
        orders.place_order(connection, orders_topic, f"o-{n}", n * 100)
    try:
        orders.place_order(connection, orders_topic, "o-declined", 100, declined=True)
    except orders.Declined:
        pass
    print(f"{ORDERS} orders are placed, one more is rolled back", flush=True)

    billing = start_billing(CRASH_AFTER=str(KILLED_AFTER))
    if billing.wait(LIMIT) != -signal.SIGKILL:
        raise RuntimeError(f"billing was to be killed, and ended with {billing.returncode}")
    charged = count(connection, "SELECT count(*) FROM charges")
    print(f"billing is killed: {charged} charges are committed, the offset of the last one is not", flush=True)

    billing = start_billing()
    try:
        # Both, because what is known already may come last.
        wait_until("all orders are charged", lambda: count(connection, "SELECT count(DISTINCT order_id) FROM charges") == ORDERS)
        wait_until("all offsets are committed", lambda: left(orders_topic) == 0)
    finally:
        billing.terminate()
        billing.wait(LIMIT)
    charged = count(connection, "SELECT count(*) FROM charges")
    twice = count(connection, "SELECT count(*) - count(DISTINCT order_id) FROM charges")
    declined = count(connection, "SELECT count(*) FROM charges WHERE order_id = 'o-declined'")
    print(f"{charged} charges, {twice} of them twice, {declined} of what was rolled back")
    print(f"{told(charges_topic)} events tell of them")


def start_billing(**environment: str) -> subprocess.Popen:
    script = Path(__file__).with_name("billing.py")
    return subprocess.Popen([sys.executable, script], env={**os.environ, **environment})


def count(connection: psycopg.Connection, query: str) -> int:
    return connection.execute(query).fetchone()[0]


def wait_until(what: str, so: Callable[[], bool]) -> None:
    deadline, tick = time.monotonic() + LIMIT, Event()
    while not so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LIMIT} s until {what}; does the relay run?")
        tick.wait(0.1)


def partitions(topic: str, *offset: int) -> list[TopicPartition]:
    return [TopicPartition(topic, n, *offset) for n in range(PARTITIONS)]


def left(topic: str) -> int:
    """How many messages of the topic billing has not committed the offset of."""
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "group.id": group(topic)})
    try:
        committed = consumer.committed(partitions(topic), timeout=LIMIT)
        return sum(consumer.get_watermark_offsets(p, timeout=LIMIT)[1] - max(p.offset, 0) for p in committed)
    finally:
        consumer.close()


def told(topic: str) -> int:
    """How many messages charges have led to: one each, whatever the relay has sent twice."""
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "group.id": f"{topic}-reader"})
    consumer.assign(partitions(topic, OFFSET_BEGINNING))
    events = {}
    deadline = time.monotonic() + LIMIT
    while len(events) < ORDERS and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            report(message.error())
            continue
        headers = dict(message.headers())
        events[headers["ce_id"]] = headers["ce_causationid"]
    consumer.close()
    return len(set(events.values()))


def main() -> None:
    run = secrets.token_hex(4)
    orders_topic, charges_topic = f"example-python-orders-{run}", f"example-python-charges-{run}"
    os.environ.update(ORDERS_TOPIC=orders_topic, CHARGES_TOPIC=charges_topic)
    admin = AdminClient({"bootstrap.servers": os.environ["KAFKA_BROKERS"]})
    for made in admin.create_topics([NewTopic(t, PARTITIONS) for t in (orders_topic, charges_topic)]).values():
        made.result(LIMIT)
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            tell(connection, orders_topic, charges_topic)
    finally:
        for deleted in admin.delete_topics([orders_topic, charges_topic]).values():
            deleted.result(LIMIT)


if __name__ == "__main__":
    main()
