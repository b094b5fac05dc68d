package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/localpg"
)

// found is a server that answers.
type found struct {
	address string
	origin  string
	stop    func()
}

// source is one way to come by a server. One that does not apply returns
// errNotThere, which is passed over; another error is reported if all fail.
type source func(context.Context) (found, error)

var errNotThere = errors.New("not there")

// first returns the server of the first source that has one.
func first(ctx context.Context, sources ...source) (found, error) {
	var all []error
	for _, get := range sources {
		f, err := get(ctx)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errNotThere) {
			all = append(all, err)
		}
	}
	return found{}, errors.Join(all...)
}

func findPostgres(ctx context.Context) (found, error) {
	if os.Getenv(DatabaseURLVariable) != "" {
		return fromEnvironment(DatabaseURLVariable)
	}
	return first(ctx, containerPostgres, localPostgres)
}

func findKafka(ctx context.Context) (found, error) {
	if os.Getenv(KafkaBrokersVariable) != "" {
		return fromEnvironment(KafkaBrokersVariable)
	}
	return first(ctx, containerKafka, localKafka)
}

func fromEnvironment(variable string) (found, error) {
	address := os.Getenv(variable)
	if address == NotToBeHad {
		return found{}, errors.New("the beginning of this run's output says why")
	}
	return found{address: address, origin: variable, stop: func() {}}, nil
}

func localPostgres(ctx context.Context) (found, error) {
	s, err := localpg.Start(ctx, localpg.Options{Version: os.Getenv(PostgresVersionVariable)})
	if err != nil {
		return found{}, err
	}
	return found{
		address: s.URL("postgres"),
		origin:  fmt.Sprintf("version %d on this machine", s.Version()),
		stop:    func() { _ = s.Stop() }, // its directory is gone either way
	}, nil
}

func localKafka(ctx context.Context) (found, error) {
	s, err := localkafka.Start(ctx, localkafka.Options{})
	if err != nil {
		return found{}, err
	}
	return found{address: strings.Join(s.Brokers(), ","), origin: "on this machine", stop: s.Stop}, nil
}
