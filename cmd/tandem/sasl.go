package main

import (
	"context"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const saslPlain = "plain"

// saslMechanisms are those of --kafka-sasl-mechanism.
var saslMechanisms = []string{saslPlain, "scram-sha-256", "scram-sha-512"}

// login is a sasl.Mechanism that asks for the password anew for each connection.
type login struct {
	mechanism string // one of saslMechanisms
	username  string
	password  func() (string, error)
}

// Name is what Kafka calls it.
func (l *login) Name() string {
	switch l.mechanism {
	case saslPlain:
		return plain.Mechanism{}.Name()
	case "scram-sha-256":
		return scram.SHA256.Name()
	}
	return scram.SHA512.Name()
}

// Start begins one login.
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := l.password()
	if err != nil {
		return nil, nil, err
	}
	if l.mechanism == saslPlain {
		return plain.Mechanism{Username: l.username, Password: password}.Start(ctx)
	}
	algorithm := scram.SHA512
	if l.Name() == scram.SHA256.Name() {
		algorithm = scram.SHA256
	}
	m, err := scram.Mechanism(algorithm, l.username, password)
	if err != nil {
		return nil, nil, err
	}
	return m.Start(ctx)
}
