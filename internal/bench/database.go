package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/migrations"
)

// connect opens one connection.
func (s *Site) connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	config, err := s.prepared(ctx, config)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

func (s *Site) prepared(ctx context.Context, config *pgx.ConnConfig) (*pgx.ConnConfig, error) {
	config = config.Copy()
	if s.servers.BeforeConnect == nil {
		return config, nil
	}
	return config, s.servers.BeforeConnect(ctx, config)
}

// pool has so many connections to the benchmark's database, all of them open.
func (s *Site) pool(ctx context.Context, connections int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.database.ConnString())
	if err != nil {
		return nil, errors.New("the database's address cannot be used for a pool of connections")
	}
	config.ConnConfig = s.database.Copy()
	config.BeforeConnect = s.servers.BeforeConnect
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	return pgxpool.NewWithConfig(ctx, config)
}

func (s *Site) createDatabase(ctx context.Context) error {
	conn, err := s.connect(ctx, s.servers.Database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// From now on it may be there, whatever the answer.
	s.made = true
	_, err = conn.Exec(ctx, `CREATE DATABASE `+s.name+` TEMPLATE template0 ENCODING 'UTF8'`)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42501":
		s.made = false
		user := pgx.Identifier{conn.Config().User}.Sanitize()
		return fmt.Errorf("a database for the benchmark cannot be made: %s; let a superuser run ALTER ROLE %s CREATEDB, or give the --database-url of a login that may", pg.Message, user)
	case err != nil:
		return fmt.Errorf("create database %s: %w", s.name, err)
	}
	config, err := s.prepared(ctx, s.database)
	if err != nil {
		return err
	}
	m, err := migrations.Open(config, "")
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", s.name, err)
	}
	return nil
}

func (s *Site) dropDatabase(ctx context.Context) error {
	if !s.made {
		return nil
	}
	conn, err := s.connect(ctx, s.servers.Database)
	if err != nil {
		return fmt.Errorf("the benchmark's database stays, drop it yourself (DROP DATABASE %s): %w", s.name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+s.name+` WITH (FORCE)`); err != nil {
		return fmt.Errorf("the benchmark's database stays, drop it yourself (DROP DATABASE %s): %w", s.name, err)
	}
	s.made = false
	return nil
}

// execute runs statements, each in a transaction of its own.
func execute(ctx context.Context, pool *pgxpool.Pool, statements ...string) error {
	for _, statement := range statements {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// settle writes out what was written, so that the next measurement does not pay
// for it; where the login may not do that, it does.
func settle(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `CHECKPOINT`)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return nil
	}
	return err
}
