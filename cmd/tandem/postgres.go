package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// databaseURL is the setting, and with it --database-password-file, of every
// command that talks to the database.
func databaseURL(to **pgx.ConnConfig) *setting {
	return databaseLogin(to, new(string))
}

// databaseLogin is databaseURL for a command that connects again and again, and
// then wants to know the password's file.
func databaseLogin(to **pgx.ConnConfig, file *string) *setting {
	login := &setting{
		name: "database-url", kind: "url", required: true, secret: true,
		usage:   "PostgreSQL's address; its password may stand in PGPASSWORD or in ~/.pgpass instead",
		allowed: "a URL or a connection string of PostgreSQL's", example: "postgres://tandem:secret@localhost:5432/shop",
		parse: func(text string) (err error) {
			*to, err = parseDatabase(text)
			return err
		},
	}
	password := passwordFile(file, "database-password-file", "a file with PostgreSQL's password; read again for every connection", "/run/secrets/database-password")
	login.also = []*setting{password}
	login.redacted = func() string {
		return fmt.Sprintf("%s@%s/%s (password hidden)", (*to).User, address(*to), (*to).Database)
	}
	login.check = func() []string {
		if *to == nil || !password.given() {
			return nil
		}
		if parameter(login.text, "password") != "" {
			return both(login, password, "there can be one password only, and the address has one")
		}
		(*to).Password, _ = readPassword(*file) // what is wrong with it has been said
		return nil
	}
	return login
}

// readAnew makes a new connection read everything again that may have been
// replaced since the start: certificates, ~/.pgpass, the password's file.
func readAnew(passwordFile string) func(context.Context, *pgx.ConnConfig) error {
	return func(_ context.Context, config *pgx.ConnConfig) error {
		fresh, err := parseDatabase(config.ConnString())
		if err != nil {
			return fmt.Errorf("the database URL: %w", err)
		}
		config.Password, config.TLSConfig, config.Fallbacks = fresh.Password, fresh.TLSConfig, fresh.Fallbacks
		if passwordFile == "" {
			return nil
		}
		if config.Password, err = readPassword(passwordFile); err != nil {
			return fmt.Errorf("the database password's file %s: %w", passwordFile, err)
		}
		return nil
	}
}

// parseDatabase keeps to itself whatever might have a part of the password in it.
func parseDatabase(text string) (*pgx.ConnConfig, error) {
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("it is not a well-formed URL (in a password, write / as %2F, @ as %40, # as %23, % as %25)")
		}
		if u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return nil, errors.New("its scheme is neither postgres:// nor postgresql://")
		}
	} else if !strings.Contains(text, "=") {
		return nil, errors.New("it is neither a URL nor a connection string")
	}
	if err := checkDatabaseFiles(text); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		reason := errors.Unwrap(err)
		password := parameter(text, "password")
		if reason == nil || password == "" || strings.Contains(reason.Error(), password) {
			return nil, errors.New("PostgreSQL's driver cannot read it")
		}
		return nil, reason
	}
	// Without a limit an address that swallows packets holds everything up.
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, 5*time.Second)
	return config, nil
}

// checkDatabaseFiles says what is wrong with a file of TLS in words that name it.
func checkDatabaseFiles(text string) error {
	if file := parameter(text, "sslrootcert"); file != "" && file != "system" {
		if err := checkAuthorities(file); err != nil {
			return fmt.Errorf("sslrootcert %s: %w", file, err)
		}
	}
	certificate, key := parameter(text, "sslcert"), parameter(text, "sslkey")
	if certificate != "" {
		if err := checkCertificate(certificate); err != nil {
			return fmt.Errorf("sslcert %s: %w", certificate, err)
		}
	}
	// The driver itself says that one is missing, and decrypts a key.
	if certificate == "" || key == "" || parameter(text, "sslpassword") != "" {
		return nil
	}
	_, err := readPair(certificate, key)
	return err
}

// parameter is one of the parameters of a connection string in either form, ""
// where it is not given.
func parameter(text, name string) string {
	if u, err := url.Parse(text); err == nil && u.Scheme != "" {
		if password, ok := u.User.Password(); ok && name == "password" {
			return password
		}
		return u.Query().Get(name)
	}
	match := regexp.MustCompile(`(?:^|\s)` + name + `\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))`).FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return match[1] + match[2]
}
