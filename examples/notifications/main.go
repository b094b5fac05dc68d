// Notifications reach a device that is offline for a while, and gets some of them
// twice. It has no database; it keeps the ids that it has seen in a file.
//
// gateway.go is the server's side, device.go and store.go are the app's; story.go
// takes the network away. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("notifications", story) }
