BEGIN;
SET LOCAL lock_timeout = '2s';
DROP TRIGGER IF EXISTS outbox_to_tandem ON outbox;
COMMIT;
