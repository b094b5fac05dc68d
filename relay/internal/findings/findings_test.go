package findings_test

import (
	"context"
	"net/url"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
	"github.com/tandem-outbox/tandem/relay/internal/findings"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// Each damage is found, alone, and the remedy mends it.
func TestSchema(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage  string
		problem string
		mend    string // empty: the remedy is SQL
	}{
		"cache of the sequence": {damage: `ALTER SEQUENCE tandem.log_position CACHE 50`, problem: "sequence tandem.log_position has CACHE 50"},
		"leaf dropped":          {damage: `DROP TABLE tandem.log_03`, problem: "leaf tandem.log_03 is missing"},
		"leaf detached":         {damage: `ALTER TABLE tandem.log DETACH PARTITION tandem.log_15`, problem: "leaf tandem.log_15 does not hold its part of the log, 15"},
		"leaf of another part": {
			damage: `ALTER TABLE tandem.log DETACH PARTITION tandem.log_04;
				ALTER TABLE tandem.log ATTACH PARTITION tandem.log_04 FOR VALUES IN (4, 16)`,
			problem: "leaf tandem.log_04 does not hold its part of the log, 4",
			mend: `ALTER TABLE tandem.log DETACH PARTITION tandem.log_04;
				ALTER TABLE tandem.log ATTACH PARTITION tandem.log_04 FOR VALUES IN (4)`,
		},
		"index by tx dropped": {
			damage:  `DROP INDEX tandem.log_tx`,
			problem: "no usable index by tx on tandem.log_00, tandem.log_01, tandem.log_02",
		},
		"index by tx not built": {
			damage:  `DROP INDEX tandem.log_tx; CREATE INDEX log_tx ON ONLY tandem.log (tx)`,
			problem: "no usable index by tx on tandem.log_00, tandem.log_01",
		},
		"index by position dropped": {damage: `DROP INDEX tandem.log_07_position`, problem: "no usable unique index by position on tandem.log_07"},
		"index by position invalid": {
			damage:  `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tandem.log_08_position'::regclass`,
			problem: "no usable unique index by position on tandem.log_08",
		},
		"index by position not unique": {
			damage:  `DROP INDEX tandem.log_09_position; CREATE INDEX log_09_position ON tandem.log_09 (position)`,
			problem: "no usable unique index by position on tandem.log_09",
		},
		"index by position of some rows": {
			damage:  `DROP INDEX tandem.log_09_position; CREATE UNIQUE INDEX log_09_position ON tandem.log_09 (position) WHERE key <> ''`,
			problem: "no usable unique index by position on tandem.log_09",
		},
		"writer may set positions": {
			damage:  `GRANT INSERT ON tandem.log TO tandem_writer; GRANT INSERT (tx) ON tandem.log_02 TO PUBLIC`,
			problem: "role tandem_writer may set tandem.log (tx, position), tandem.log_02 (tx)",
		},
		"writer may rewrite positions": {damage: `GRANT UPDATE (position) ON tandem.log TO tandem_writer`, problem: "role tandem_writer may set tandem.log (position)"},
		"writer may set the sequence":  {damage: `GRANT UPDATE ON SEQUENCE tandem.log_position TO tandem_writer`, problem: "role tandem_writer may set tandem.log_position"},
		"lease empty":                  {damage: `DELETE FROM tandem.lease`, problem: "tandem.lease has no row"},
		"settings empty": {
			damage: `CREATE TABLE public.kept AS SELECT * FROM tandem.settings; DELETE FROM tandem.settings`, problem: "tandem.settings has no row",
			mend: `INSERT INTO tandem.settings SELECT * FROM public.kept`,
		},
		"function replaced": {
			damage: `CREATE TABLE public.kept AS SELECT pg_get_functiondef('tandem.lock_key'::regproc) AS definition;
				CREATE OR REPLACE FUNCTION tandem.lock_key(VARIADIC keys text[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$`,
			problem: "not as the migrations made it: tandem.lock_key(text[])",
			mend:    `DO $$ BEGIN EXECUTE (SELECT definition FROM public.kept); END $$`,
		},
		"function with another setting": {
			damage:  `ALTER FUNCTION tandem.compact_checkpoint SET lock_timeout = '1h'`,
			problem: "not as the migrations made it: tandem.compact_checkpoint(uuid, bigint)",
			mend:    `ALTER FUNCTION tandem.compact_checkpoint SET lock_timeout = '10ms'`,
		},
		"function with other rights": {
			damage:  `ALTER FUNCTION tandem.maintain_inbox SECURITY INVOKER`,
			problem: "not as the migrations made it: tandem.maintain_inbox()",
			mend:    `ALTER FUNCTION tandem.maintain_inbox SECURITY DEFINER`,
		},
		"function dropped": {
			damage:  `CREATE TABLE public.kept AS SELECT pg_get_functiondef('tandem.uuid_time'::regproc) AS definition; DROP FUNCTION tandem.uuid_time`,
			problem: "dropped: tandem.uuid_time(uuid)",
			mend:    `DO $$ BEGIN EXECUTE (SELECT definition FROM public.kept); END $$`,
		},
		"functions not recorded": {
			damage:  `CREATE TABLE public.kept AS SELECT functions FROM tandem.settings; UPDATE tandem.settings SET functions = NULL`,
			problem: "tandem.settings does not say how Tandem's functions were made",
			mend:    `UPDATE tandem.settings SET functions = (SELECT functions FROM public.kept)`,
		},
		"table dropped": {damage: `ALTER TABLE tandem.request RENAME TO gone`, problem: "there is no tandem.request", mend: `ALTER TABLE tandem.gone RENAME TO request`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner, relay := connections(t, testservers.Migrated(t))
			require.Empty(t, look(t, relay))
			run(t, owner, c.damage)
			found := look(t, relay)
			require.Len(t, found, 1, "%v", found)
			require.Contains(t, found[0].Problem, c.problem)
			require.NotEmpty(t, found[0].Why)
			require.NotEmpty(t, found[0].Code)
			if c.mend == "" {
				c.mend = found[0].Remedy
			}
			run(t, owner, c.mend)
			require.Empty(t, look(t, relay), "after: %s", c.mend)
		})
	}
}

// Whatever the migrations grant to the relay's role and is revoked is missed.
func TestEachRightOfTheRelay(t *testing.T) {
	t.Parallel()
	owner, relay := connections(t, testservers.Migrated(t))
	rows, err := owner.Query(t.Context(), `
		SELECT a.privilege_type || ' ON ' || c.oid::regclass FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
			WHERE a.grantee = 'tandem_relay'::regrole
		UNION ALL SELECT a.privilege_type || ' ON FUNCTION ' || p.oid::regprocedure FROM pg_proc AS p CROSS JOIN aclexplode(p.proacl) AS a
			WHERE a.grantee = 'tandem_relay'::regrole
		UNION ALL SELECT a.privilege_type || ' ON SCHEMA ' || s.nspname FROM pg_namespace AS s CROSS JOIN aclexplode(s.nspacl) AS a
			WHERE a.grantee = 'tandem_relay'::regrole`)
	require.NoError(t, err)
	grants, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(grants), 50)
	kind := regexp.MustCompile(` ON (FUNCTION )?([a-zA-Z_. 0-9]+)(\([a-z, ]*\))?`)
	for _, grant := range grants {
		run(t, owner, "REVOKE "+grant+" FROM tandem_relay")
		found := look(t, relay)
		require.Len(t, found, 1, "%s: %v", grant, found)
		require.Contains(t, found[0].Problem, `role "tandem_relay" lacks `)
		require.Contains(t, found[0].Problem, kind.ReplaceAllString(grant, " ON $2"))
		run(t, owner, found[0].Remedy)
	}
	require.Empty(t, look(t, relay))
}

// What a login that is no member lacks is not listed, and is mended by membership.
func TestRightsOfOneThatIsNoMember(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	found := look(t, connect(t, address, "tandem_writer"))
	require.Len(t, found, 1)
	require.Regexp(t, `^role "tandem_writer" is no member of tandem_relay, and lacks \S+ ON tandem\.\w+, [^,]+, [^,]+ and \d\d more$`, found[0].Problem)
	require.Equal(t, `GRANT tandem_relay TO "tandem_writer"`, found[0].Remedy)
}

// Everything is listed, also what a missing right keeps from being looked at.
func TestSeveralFindings(t *testing.T) {
	t.Parallel()
	owner, relay := connections(t, testservers.Migrated(t))
	run(t, owner, `REVOKE ALL ON tandem.settings, tandem.lease FROM tandem_relay; DROP INDEX tandem.log_00_position; ALTER SEQUENCE tandem.log_position CACHE 2`)
	require.Len(t, look(t, relay), 3)
}

// The names in problems and remedies are those of the schema looked at.
func TestAnotherSchema(t *testing.T) {
	t.Parallel()
	address := testservers.Postgres(t)
	migrate(t, address, "order")
	owner, relay := connections(t, address)
	found, err := findings.Schema(t.Context(), relay, "order")
	require.NoError(t, err)
	require.Empty(t, found)
	run(t, owner, `DROP TABLE "order".log_03`)
	found, err = findings.Schema(t.Context(), relay, "order")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, `leaf "order".log_03 is missing`, found[0].Problem)
	run(t, owner, found[0].Remedy)
	found, err = findings.Schema(t.Context(), relay, "order")
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	address := testservers.Postgres(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Path += "_latin"
	admin, name := connect(t, address, ""), pgx.Identifier{u.Path[1:]}.Sanitize()
	run(t, admin, `CREATE DATABASE `+name+` ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	defer run(t, admin, `DROP DATABASE `+name+` WITH (FORCE)`)
	migrate(t, u.String(), "tandem")
	_, relay := connections(t, u.String())
	found := look(t, relay)
	require.Len(t, found, 1)
	require.Equal(t, "the database's encoding is LATIN1, not UTF8", found[0].Problem)
}

func look(t testing.TB, relay *pgx.Conn) []findings.Finding {
	t.Helper()
	found, err := findings.Schema(t.Context(), relay, "tandem")
	require.NoError(t, err)
	return found
}

// connections are one of the owner's and one with a relay's rights alone and no
// search_path.
func connections(t testing.TB, address string) (owner, relay *pgx.Conn) {
	t.Helper()
	return connect(t, address, ""), connect(t, address, "tandem_relay")
}

func connect(t testing.TB, address, role string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	config.RuntimeParams["search_path"] = ""
	if role != "" {
		config.RuntimeParams["role"] = role
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t testing.TB, conn *pgx.Conn, statements string) {
	t.Helper()
	_, err := conn.Exec(context.Background(), statements, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, statements)
}

func migrate(t testing.TB, address, schema string) {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	m, err := migrations.Open(config, schema)
	require.NoError(t, err)
	defer m.Close()
	_, err = m.Up(t.Context())
	require.NoError(t, err)
}
