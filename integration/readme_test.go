package integration_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

var (
	fencedPattern = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	regionPattern = regexp.MustCompile(`(?ms)^// readme: (.+?)\n(.*?)\n// end$`)
)

// readmeBlocks are the code blocks of README.md by their language.
func readmeBlocks(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	blocks := map[string][]string{}
	for _, match := range fencedPattern.FindAllStringSubmatch(string(text), -1) {
		blocks[match[1]] = append(blocks[match[1]], strings.TrimSpace(match[2]))
	}
	return blocks
}

// Every Go block of the README is a part of readme_snippets_test.go that is
// compiled here and run below, and every such part is in the README.
func TestReadmeIsTheCode(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("readme_snippets_test.go")
	require.NoError(t, err)
	parts := regionPattern.FindAllStringSubmatch(string(source), -1)
	blocks := readmeBlocks(t)["go"]
	require.NotEmpty(t, parts)
	for i, part := range parts[:min(len(parts), len(blocks))] {
		require.Equalf(t, strings.TrimSpace(part[2]), blocks[i], "the README's Go block %d and the part %q", i+1, part[1])
	}
	require.Len(t, blocks, len(parts), "Go blocks in the README, and parts in readme_snippets_test.go")
}

// The make targets that the documents name are there.
func TestReadmeTargets(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	require.NoError(t, err)
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "DESIGN.md"} {
		text, err := os.ReadFile(filepath.Join("..", document))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("(?m)(?:^ *|`)make ([a-z/-]+)").FindAllStringSubmatch(string(text), -1) {
			require.Containsf(t, string(makefile), "\n"+match[1]+":", "%s names make %s", document, match[1])
		}
	}
}

// The flags of the two programs that the README names are theirs.
func TestReadmeFlags(t *testing.T) {
	t.Parallel()
	tandem, demo := program(t, "tandem"), program(t, "tandem-demo")
	known := flags(help(t, demo))
	for _, command := range []string{"relay", "rebase", "replay", "parked list", "parked show", "parked redrive", "parked discard",
		"inbox parked list", "inbox parked show", "inbox parked redrive", "inbox parked discard", "inbox status", "inbox maintain", "migrate up", "migrate down", "migrate status", "migrate print", "status", "doctor"} {
		known = append(known, flags(help(t, tandem, strings.Fields(command)...))...)
	}
	known = append(known, "bootstrap-server", "create", "topic", "partitions", "profile", "rm") // of Kafka's and Docker's
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	for _, match := range regexp.MustCompile("[ `]--([a-z][a-z-]*)").FindAllStringSubmatch(string(text), -1) {
		require.Contains(t, known, match[1])
	}
}

// Files that the documents point to are there.
func TestDocumentsPointToFiles(t *testing.T) {
	t.Parallel()
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "DESIGN.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join("..", document))
		require.NoError(t, err)
		for _, match := range links.FindAllStringSubmatch(string(text), -1) {
			require.FileExistsf(t, filepath.Join("..", match[1]), "%s points to it", document)
		}
	}
}

// Every source file has its line in DESIGN.md, and every line its file.
func TestDesignMapsEveryFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "DESIGN.md"))
	require.NoError(t, err)
	_, files, _ := strings.Cut(string(text), "\n## Files\n")
	var mapped []string
	dir := ""
	for line := range strings.Lines(files) {
		if match := regexp.MustCompile("^### `(.+)`").FindStringSubmatch(line); match != nil {
			dir = match[1]
		}
		if match := regexp.MustCompile("^- `(.+?)`: .").FindStringSubmatch(line); match != nil {
			mapped = append(mapped, dir+"/"+match[1])
		}
	}
	var found []string
	err = fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(path, ".git"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".sql"), strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			found = append(found, path)
		}
		return nil
	})
	require.NoError(t, err)
	require.ElementsMatch(t, found, mapped)
}

// A module with the README's lines in its go.mod builds.
func TestReadmeModule(t *testing.T) {
	t.Parallel()
	blocks := readmeBlocks(t)["text"]
	require.Len(t, blocks, 1)
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	require.Contains(t, blocks[0], "=> ../tandem")
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/shop\n\ngo 1.26\n\n" + strings.Replace(blocks[0], "../tandem", root, 1) + "\n",
		"go.sum":  string(sums),
		"main.go": "package main\n\nimport \"github.com/tandem-outbox/tandem/outbox\"\n\nfunc main() { println(outbox.NewID()) }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", filepath.Join(dir, "shop"), ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// readmeWorld has servers of its own, because the README's roles and topics have
// plain names.
type readmeWorld struct {
	*testing.T
	blocks  map[string][]string
	url     func(login string) string
	brokers []string
	tandem  string // the directory of the program
	done    map[string]int
}

// next returns the next block of a language that was not run yet.
func (w *readmeWorld) next(language string) string {
	w.Helper()
	n := w.done[language]
	require.Greater(w, len(w.blocks[language]), n, "the README has no further block of %s", language)
	w.done[language]++
	return w.blocks[language][n]
}

// sh runs the next shell block as it stands, but for the addresses; and the
// relay ends when it has nothing left to do.
func (w *readmeWorld) sh() string {
	w.Helper()
	return w.run(strings.ReplaceAll(w.real(w.next("sh"))+"\n", "tandem relay\n", "tandem relay --until-empty\n"))
}

// yaml runs a relay with the next YAML block as its file.
func (w *readmeWorld) yaml() string {
	w.Helper()
	file := filepath.Join(w.TempDir(), "tandem.yaml")
	require.NoError(w, os.WriteFile(file, []byte(w.real(w.next("yaml"))), 0o600))
	return w.run("tandem relay --until-empty --config " + file)
}

// real puts this world's addresses in place of the README's.
func (w *readmeWorld) real(block string) string {
	return strings.NewReplacer(
		"postgres://owner:secret@localhost:5432/shop", w.url("postgres"),
		"postgres://relay:secret@localhost:5432/shop", w.url("relay"),
		"localhost:9092", w.brokers[0],
	).Replace(block)
}

func (w *readmeWorld) run(script string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "sh", "-ec", script)
	cmd.Env = append(withoutTandem(os.Environ()), "PATH="+w.tandem+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(w, err, "%s", out)
	return string(out)
}

// sql runs the next SQL block as the login that its first line names, and
// returns the text of what the SELECTs in it answered.
func (w *readmeWorld) sql() []string {
	w.Helper()
	block := w.next("sql")
	login := regexp.MustCompile(`^-- as (\w+)`).FindStringSubmatch(block)
	require.NotNil(w, login, "the block begins with the login that runs it: %s", block)
	name := login[1]
	if name == "owner" {
		name = "postgres"
	}
	conn, err := pgx.Connect(w.Context(), w.url(name))
	require.NoError(w, err)
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(w.Context(), block).ReadAll()
	require.NoError(w, err, "%s", block)
	var values []string
	for _, result := range results {
		for _, row := range result.Rows {
			values = append(values, string(row[0]))
		}
	}
	return values
}

func (w *readmeWorld) pool(login string) *pgxpool.Pool {
	w.Helper()
	pool, err := pgxpool.New(context.Background(), w.url(login))
	require.NoError(w, err)
	w.Cleanup(pool.Close)
	return pool
}

func newReadmeWorld(t *testing.T) *readmeWorld {
	t.Helper()
	postgres := testservers.OwnPostgres(t)
	w := &readmeWorld{
		T: t, blocks: readmeBlocks(t), brokers: testservers.OwnKafka(t).Brokers(),
		tandem: filepath.Dir(program(t, "tandem")), done: map[string]int{},
	}
	w.url = func(login string) string {
		owner, err := pgx.ParseConfig(postgres.URL("postgres"))
		require.NoError(t, err)
		if login == "postgres" {
			return postgres.URL("shop")
		}
		return fmt.Sprintf("postgres://%s:secret@%s:%d/shop?sslmode=disable", login, owner.Host, owner.Port)
	}
	admin, err := pgx.Connect(t.Context(), postgres.URL("postgres"))
	require.NoError(t, err)
	defer admin.Close(context.Background())
	_, err = admin.Exec(t.Context(), `CREATE DATABASE shop`)
	require.NoError(t, err)
	owner := w.pool("postgres")
	_, err = owner.Exec(t.Context(), `
		CREATE ROLE shop LOGIN PASSWORD 'secret'; CREATE ROLE relay LOGIN PASSWORD 'secret'; CREATE ROLE billing LOGIN PASSWORD 'secret';
		CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL);
		CREATE TABLE moves (sku text NOT NULL, n integer NOT NULL);
		CREATE TABLE bookings (payment_id text PRIMARY KEY, cents integer NOT NULL);
		CREATE TABLE charges (order_id text PRIMARY KEY);
		GRANT SELECT, INSERT, UPDATE ON orders, moves TO shop;
		GRANT SELECT, INSERT ON bookings, charges TO billing`)
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(t.Context(), 3, 1, nil, "orders", "stock")
	require.NoError(t, err)
	require.NoError(t, created.Error())
	return w
}

// A service does what the README says, with the rights that it says, from its
// first line to its last.
func TestReadmeRuns(t *testing.T) {
	t.Parallel()
	w := newReadmeWorld(t)
	ctx := t.Context()
	w.sh() // migrate
	w.sql()

	shop := w.pool("shop")
	require.NoError(t, placeOrder(ctx, shop, Order{"o-1", 100}))
	require.NoError(t, pgx.BeginFunc(ctx, shop, func(tx pgx.Tx) error {
		return placeOrderBatched(ctx, tx, Order{"o-2", 200}, []byte(`{}`))
	}))
	db := stdlib.OpenDBFromPool(shop)
	defer db.Close()
	require.NoError(t, cancelOrder(ctx, db, "o-2"))
	require.Len(t, w.sql(), 1, "tandem.add answers with the id")
	for range 2 {
		require.NoError(t, pgx.BeginFunc(ctx, shop, func(tx pgx.Tx) error { return moveStock(ctx, tx, "tea", 3) }))
	}
	require.True(t, isOurMistake(outbox.Queue(ctx, &pgx.Batch{}, outbox.Event{Topic: "no topic"})))

	require.Contains(t, w.sh(), "published 6 events")
	orders := w.read("orders", 4)
	placed := orders["o-1"][0]
	require.JSONEq(t, `{"id": "o-1", "cents": 100}`, string(placed.Value))
	require.Equal(t, "order.placed", header(placed, "ce_type"))
	require.Equal(t, "/tandem/shop", header(placed, "ce_source"))
	require.Equal(t, "order.cancelled", header(orders["o-2"][1], "ce_type"))
	require.Equal(t, "application/json", header(orders["o-3"][0], "content-type"))
	require.JSONEq(t, `{"left": 6}`, string(w.read("stock", 2)["tea"][1].Value))

	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- runRelay(running, w.url("relay"), w.brokers) }()
	billing := w.pool("billing")
	go func() { ended <- runBilling(running, billing, w.brokers) }()
	require.NoError(t, placeOrder(ctx, shop, Order{"o-4", 400}))
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, billing.QueryRow(ctx, `SELECT count(*) FROM charges`).Scan(&n))
		return n == 4
	}, time.Minute, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)

	w.charge(billing)

	for range 2 {
		require.NoError(t, bookPayment(ctx, billing, "payment-1", 100))
	}
	var booked int
	require.NoError(t, billing.QueryRow(ctx, `SELECT count(*) FROM bookings`).Scan(&booked))
	require.Equal(t, 1, booked)
	payments, err := paymentRoutes(billing)
	require.NoError(t, err)
	for attempt := range 2 {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, "/payments/payment-9", nil)
		request.Header.Set("Idempotency-Key", `"8e03978e"`)
		request.Header.Set("X-Account", "4711")
		payments.ServeHTTP(answer, request)
		require.Equal(t, http.StatusCreated, answer.Code, "%s", answer.Body)
		require.Equal(t, attempt == 1, answer.Header().Get("Idempotent-Replayed") == "true")
	}
	require.Equal(t, []string{"t"}, w.sql())
	require.Contains(t, w.yaml(), "published 0 events")
	looked := w.sh()
	require.Contains(t, looked, "dry run: 0 parked events would be sent again")
	require.Contains(t, looked, "dry run: 5 events would be published again")

	for _, language := range []string{"sh", "sql", "yaml"} {
		require.Equalf(t, len(w.blocks[language]), w.done[language], "a block of %s was not run", language)
	}
}

// charge tries the handler that also writes an event, and takes both back.
func (w *readmeWorld) charge(pool *pgxpool.Pool) {
	w.Helper()
	_, err := w.pool("postgres").Exec(w.Context(), `GRANT tandem_writer TO billing`)
	require.NoError(w, err)
	tx, err := pool.Begin(w.Context())
	require.NoError(w, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	handler := billingHandler()
	require.NoError(w, handler(w.Context(), tx, inbox.Message{ID: "m-1", Type: "order.placed", Value: []byte(`{"id": "o-9", "cents": 900}`)}))
	require.NoError(w, handler(w.Context(), tx, inbox.Message{ID: "m-2", Type: "order.cancelled"}))
	var undecodable *inbox.DecodeError
	require.ErrorAs(w, handler(w.Context(), tx, inbox.Message{ID: "m-3", Type: "order.placed", Value: []byte("o-9")}), &undecodable)
	var charged int
	require.NoError(w, tx.QueryRow(w.Context(), `SELECT count(*) FROM charges WHERE order_id = 'o-9'`).Scan(&charged))
	require.Equal(w, 1, charged)
}

// read returns the first n records of a topic by their keys.
func (w *readmeWorld) read(topic string, n int) map[string][]*kgo.Record {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(w, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	records := map[string][]*kgo.Record{}
	for seen := 0; seen < n; {
		fetches := client.PollFetches(ctx)
		require.NoError(w, fetches.Err())
		for _, r := range fetches.Records() {
			records[string(r.Key)] = append(records[string(r.Key)], r)
			seen++
		}
	}
	return records
}
