BEGIN;
SET LOCAL lock_timeout = '2s';
DROP TABLE outbox;
DROP FUNCTION outbox_to_tandem();
COMMIT;
