-- An order and its event in one transaction, and a charge that is made once for each
-- message: what Tandem asks of any language. Run it as often as you like.

CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, cents bigint NOT NULL);
CREATE TABLE IF NOT EXISTS charges (order_id text PRIMARY KEY, cents bigint NOT NULL);

-- Both are committed, or neither is. The answer is the event's id, ce_id in Kafka.
BEGIN;
WITH placed AS (
  INSERT INTO orders (id, cents) VALUES (gen_random_uuid()::text, 4200) RETURNING id, cents
)
SELECT tandem.add('orders', to_jsonb(placed), key => placed.id, type => 'order.placed') AS event_id FROM placed;
COMMIT;

-- What a consumer does with a message: tandem.once is true the first time alone. Here
-- the same message comes twice, and there is one charge.
BEGIN;
INSERT INTO charges (order_id, cents) SELECT 'order-1', 4200 WHERE tandem.once('billing', 'message-1');
COMMIT;
BEGIN;
INSERT INTO charges (order_id, cents) SELECT 'order-1', 4200 WHERE tandem.once('billing', 'message-1');
COMMIT;
SELECT count(*) AS charges FROM charges WHERE order_id = 'order-1';
