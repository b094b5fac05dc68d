// Webhook takes the messages of a payment provider, each once, and gives a message
// that comes again the answer that it had before.
//
// signature.go and service.go are the service; story.go is a provider that tries
// again, with what can go wrong. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("webhook", story) }
