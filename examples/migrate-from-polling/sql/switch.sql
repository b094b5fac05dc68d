BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '2s';
LOCK TABLE outbox IN EXCLUSIVE MODE;

-- From now on: what is inserted goes to the log, in the same transaction.
CREATE OR REPLACE FUNCTION outbox_to_tandem() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM tandem.add(NEW.topic, NEW.payload, key => NEW.key, type => NEW.type, id => NEW.id);
    DELETE FROM public.outbox WHERE seq = NEW.seq;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER outbox_to_tandem AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_to_tandem();

-- What the poller has not published yet, in its order.
DO $$
DECLARE
    e outbox%ROWTYPE;
BEGIN
    FOR e IN SELECT * FROM outbox ORDER BY seq LOOP
        PERFORM tandem.add(e.topic, e.payload, key => e.key, type => e.type, id => e.id);
    END LOOP;
    DELETE FROM outbox;
END
$$;
COMMIT;
