// Payments charges accounts, each transaction once, whatever its clients and the
// network do.
//
// service.go is the service, to be copied; story.go breaks the network around it and
// counts. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("payments", story) }
