package inboxkafka

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// registerSQL records the consumer's policy, and returns one that it replaces.
const registerSQL = `
WITH before AS MATERIALIZED (SELECT unprovable FROM tandem.inbox_consumer WHERE consumer = $1::text), written AS (
    INSERT INTO tandem.inbox_consumer (consumer, unprovable, facts) VALUES ($1::text, $2::text, $3::jsonb)
    ON CONFLICT (consumer) DO UPDATE SET unprovable = excluded.unprovable, facts = excluded.facts, configured_at = clock_timestamp())
SELECT coalesce((SELECT unprovable FROM before WHERE unprovable <> $2::text), '')`

// register records what the consumer does about ids that cannot be proved new,
// so that inbox.Once and tandem.once follow it too, and for people what it
// consumes.
func (c *Consumer) register(ctx context.Context) error {
	policy := "refuse"
	if c.config.Policies.Unprovable == Accept {
		policy = "process"
	}
	facts, err := json.Marshal(map[string]any{"group": c.config.GroupID, "topics": c.config.Topics})
	if err != nil {
		return fmt.Errorf("inboxkafka: what is consumed, as JSON: %w", err)
	}
	var before string
	err = c.apply.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, schema.Rewrite(registerSQL, c.config.Schema), c.config.Consumer, policy, string(facts)).Scan(&before)
	})
	if err != nil {
		return c.databaseError(fmt.Errorf("record the consumer's policy: %w", err))
	}
	if before != "" {
		c.config.Logger.Warn("the consumer's policy for ids that cannot be proved new has changed, for all who process under its name", "before", before, "now", policy)
	}
	return nil
}
