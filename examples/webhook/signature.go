package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	largestBody = 100_000
	// tolerance is how old a signature may be: who has recorded a message cannot
	// send it for ever.
	tolerance = 5 * time.Minute
)

// sign is the signature of Standard Webhooks: the message's id, the time of the
// attempt and the body, by a secret that provider and receiver share.
func sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signed lets pass what the provider has signed. The message's id becomes the
// Idempotency-Key, which is how the next handler knows a message that comes again.
func signed(secret []byte, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
		if err != nil {
			http.Error(w, "the body is too large or incomplete", http.StatusBadRequest)
			return
		}
		id, timestamp := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
		if !recent(timestamp) || !anyEqual(r.Header.Get("Webhook-Signature"), sign(secret, id, timestamp, body)) {
			http.Error(w, "the signature is wrong or too old", http.StatusUnauthorized)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Idempotency-Key", id)
		next.ServeHTTP(w, r)
	})
}

func recent(timestamp string) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	return err == nil && time.Since(time.Unix(seconds, 0)).Abs() < tolerance
}

// anyEqual: while a provider changes its secret, it signs with the old one too.
func anyEqual(signatures, want string) bool {
	for given := range strings.FieldsSeq(signatures) {
		if hmac.Equal([]byte(given), []byte(want)) {
			return true
		}
	}
	return false
}
