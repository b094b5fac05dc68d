package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitions of the demo's topic.
const partitions = 6

// world is what shop, relay and consumers have to know of each other. The
// consumers get it in their environment, where a password is not seen by others.
type world struct {
	Database string
	Brokers  []string
	Tandem   string // Tandem's schema
	Shop     string // the shop's schema
	Topic    string
	// Session is after how long the broker gives a killed consumer up.
	Session time.Duration
}

const worldVariable = "TANDEM_DEMO_WORLD"

func (w *world) variable() (string, error) {
	text, err := json.Marshal(w)
	return worldVariable + "=" + string(text), err
}

func worldFromEnvironment() (*world, error) {
	w := &world{}
	if err := json.Unmarshal([]byte(os.Getenv(worldVariable)), w); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; this command is for the demo itself", worldVariable, err)
	}
	return w, nil
}

// table is the quoted name of one of the shop's tables.
func (w *world) table(name string) string { return pgx.Identifier{w.Shop, name}.Sanitize() }

// order is an event's payload.
type order struct {
	ID       string `json:"id"`
	Customer int    `json:"customer"`
	// Number counts the customer's orders; it is given under the lock of the
	// customer's row, so the topic must have a customer's numbers in order.
	Number int `json:"number"`
	Cents  int `json:"cents"`
}

// Who charges, and the names of their tables.
const (
	withInbox    = "with-inbox"
	withoutInbox = "without-inbox"
)

func charges(who string) string {
	if who == withInbox {
		return "charges_with_inbox"
	}
	return "charges_without_inbox"
}

// group is the name of a consumer, and of its group.
func (w *world) group(who string) string { return w.Topic + "-" + who }
