// Package cloudevent reads the attributes of CloudEvents from a message, as their
// Kafka binding has them in binary mode: in headers ce_….
package cloudevent

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tandem-outbox/tandem/inbox"
)

// Read sets what the headers say: the message's attributes in binary mode.
func Read(m *inbox.Message) {
	m.ID, m.Type, m.Source, m.ContentType, m.Time = "", "", "", "", m.Sent
	for i := len(m.Headers) - 1; i >= 0; i-- { // of those of one name the first counts
		h := &m.Headers[i]
		switch h.Name {
		case "ce_id":
			m.ID = string(h.Value)
		case "ce_type":
			m.Type = string(h.Value)
		case "ce_source":
			m.Source = string(h.Value)
		case "content-type":
			m.ContentType = string(h.Value)
		case "ce_time":
			var err error
			if m.Time, err = time.Parse(time.RFC3339, string(h.Value)); err != nil {
				m.Time = m.Sent
			}
		}
	}
}

// Problem says what is wrong with the attributes of CloudEvents. A message
// that has none of them is no CloudEvent, which is not wrong.
func Problem(m *inbox.Message) error {
	var errs []error
	seen := map[string]string{}
	for _, h := range m.Headers {
		if len(h.Name) < 3 || h.Name[:3] != "ce_" {
			continue
		}
		value := string(h.Value)
		before, again := seen[h.Name]
		seen[h.Name] = value
		switch {
		case !utf8.Valid(h.Value):
			errs = append(errs, fmt.Errorf("header %.80q is not UTF-8", h.Name))
		case again && before != value:
			errs = append(errs, fmt.Errorf("header %.80q is there twice, with different values", h.Name))
		case h.Name == "ce_specversion" && value != "1.0":
			errs = append(errs, fmt.Errorf("header ce_specversion is %.20q, not \"1.0\"", value))
		case h.Name == "ce_time" && !isTime(value):
			errs = append(errs, fmt.Errorf("header ce_time is %.80q, which is no time of RFC 3339", value))
		case (h.Name == "ce_id" || h.Name == "ce_type" || h.Name == "ce_source") && value == "":
			errs = append(errs, fmt.Errorf("header %s is empty", h.Name))
		}
	}
	return errors.Join(errs...)
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}
