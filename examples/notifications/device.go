package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// device is the app. Its order is the whole point: receive, keep, show, confirm. What
// it has kept it knows again; what it has not kept is not confirmed, and comes again.
type device struct {
	url    string // of the mailbox
	store  *store
	client http.Client
	show   func(Notification)

	received int // duplicates too
}

// sync gets what waits. After an error it is called again when there is a network.
func (d *device) sync(ctx context.Context) error {
	for {
		page, err := d.waiting(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		ids := make([]string, len(page))
		for i, n := range page {
			d.received++
			fresh, err := d.store.keep(n)
			if err != nil {
				return err
			}
			if fresh {
				d.show(n)
			}
			ids[i] = n.ID
		}
		if err := d.confirm(ctx, ids); err != nil {
			return err
		}
	}
}

func (d *device) waiting(ctx context.Context) (page []Notification, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the gateway answers %s", answer.Status)
	}
	return page, json.NewDecoder(answer.Body).Decode(&page)
}

func (d *device) confirm(ctx context.Context, ids []string) error {
	body, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/confirmed", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway answers %s", answer.Status)
	}
	return nil
}
