// Passwordreset sends a mail with a link to whoever has lost a password. Without the
// mail nobody gets in; a second one, whose link is another, makes people suspicious.
//
// service.go is how to do it; weaker.go has the ways that come to mind first. story.go
// gives all of them the same faults. README.md says what comes of it.
package main

import "github.com/tandem-outbox/tandem/examples/internal/servers"

func main() { servers.Main("passwordreset", story) }
