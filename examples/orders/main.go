// Orders are placed in one service, reserved in a second, shipped by a third. Each
// takes a message, has its effects and adds its own event in one transaction.
//
// orders.go, inventory.go and shipping.go are the services; story.go disturbs them
// and counts. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("orders", story) }
