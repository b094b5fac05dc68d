package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

// betweenIDs: a message's id may be any text but has no NUL.
const betweenIDs = "\x00"

// messageSelectors are the settings that say which of the messages that consumers
// have set aside.
func messageSelectors(s *inboxadmin.Selector) []*setting {
	var consumer, topic, key string
	return []*setting{
		into(selector(&consumer, "consumer", "name", "messages of this consumer", "billing"), func() { s.Consumers = []string{consumer} }),
		messageIDs(&s.IDs),
		into(selector(&topic, "topic", "name", "messages of this topic", "orders"), func() { s.Topics = []string{topic} }),
		place(&s.Partition, "partition", "messages of this partition", 32),
		place(&s.Offset, "offset", "messages at this offset", 64),
		into(selector(&key, "key", "key", "messages with this key", "customer-7"), func() { s.Keys = [][]byte{[]byte(key)} }),
		selector(&s.Reason, "reason", "text", "messages with this in their reason or error, in any case", "timeout"),
		asideNumbers(&s.Aside),
	}
}

func messageIDs(to *[]string) *setting {
	return &setting{
		name: "id", kind: "id", flagOnly: true, notEmpty: true, join: betweenIDs,
		usage:   "messages with this id; given again, also with that",
		allowed: "text", example: "01890a5d-ac96-774b-bcce-b302099a8057",
		parse: func(text string) error {
			*to = strings.Split(text, betweenIDs)
			return nil
		},
	}
}

func asideNumbers(to *[]int64) *setting {
	return &setting{
		name: "aside", kind: "numbers", flagOnly: true, notEmpty: true, join: ",",
		usage:   "messages by their numbers in the list, separated by commas",
		allowed: "numbers", example: "17,18",
		parse: func(text string) error {
			*to = nil
			for part := range strings.SplitSeq(text, ",") {
				n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
				if err != nil {
					return fmt.Errorf("%q is no number", strings.TrimSpace(part))
				}
				*to = append(*to, n)
			}
			return nil
		},
	}
}

// place is a number of Kafka's, which begin at 0.
func place[N int32 | int64](to **N, name, usage string, bits int) *setting {
	return &setting{
		name: name, kind: "number", usage: usage, flagOnly: true, notEmpty: true, allowed: "a number of at least 0", example: "3",
		parse: func(text string) error {
			n, err := strconv.ParseInt(text, 10, bits)
			if err != nil || n < 0 {
				return errors.New("there is no such " + name)
			}
			value := N(n)
			*to = &value
			return nil
		},
	}
}

// messageStates is the flag --state.
func messageStates(s *inboxadmin.Selector) *setting {
	return stateFlag(&s.States, inboxadmin.States(), "all", "messages in these states", "parked")
}
