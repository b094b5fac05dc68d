package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// Mail has a link in it.
type Mail struct {
	To    string `json:"to"`
	Token string `json:"token"`
}

// mailClient talks to a mail provider's API, as most of them are.
type mailClient struct {
	url    string
	client http.Client
}

func (c *mailClient) send(ctx context.Context, mail Mail, key string) error {
	body, err := json.Marshal(mail)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the mail server answers %s", answer.Status)
	}
	return nil
}

// mailServer is the provider. A mail whose key it has had it takes and forgets.
type mailServer struct {
	mu    sync.Mutex
	keys  map[string]bool
	boxes map[string][]string // who has got which tokens
}

func (s *mailServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var mail Mail
	if err := json.NewDecoder(r.Body).Decode(&mail); err != nil {
		http.Error(w, "not a mail", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if !s.keys[key] {
		s.keys[key] = key != ""
		s.boxes[mail.To] = append(s.boxes[mail.To], mail.Token)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *mailServer) box(person string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boxes[person]
}
