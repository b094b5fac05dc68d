// Metrics counts calls of an API, at most once: a call that is not counted costs
// less than one that is counted twice, and both are rare.
//
// service.go is the service; story.go counts the same calls in two other ways beside
// it, under the same faults. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("metrics", story) }
