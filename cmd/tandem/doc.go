// Tandem is the relay as a daemon, and what an operator needs beside it:
//
//	tandem init      settings, a compose file and an example, to begin with
//	tandem config    sample, check: the file that settings may stand in
//	tandem migrate   up, down, status, print: Tandem's schema in a database
//	tandem relay     publish the events of its log to Kafka
//	tandem parked    list, show, redrive, discard: events that Kafka refused
//	tandem replay    have published events published again
//	tandem status    who relays, how far behind, what holds the log back
//	tandem doctor    what is wrong with a live system, and what mends it
//	tandem rebase    give the log a new start after a restore
//	tandem inbox     what consumers do, and messages that they could not handle
//	tandem bench     measure all this on servers of the user's
//	tandem completion, version
//
// Every setting is a flag, a variable (TANDEM_ and the flag's name in upper
// case) or a key of a YAML file, in that order of precedence; settings.go has
// what a setting is, configure.go how the three come together, options.go and
// relay_settings.go each of them. docs/cli.md and deploy/tandem.yaml are written from
// them by tests, with -update.
//
// A command is a file, or a few that begin with its name. The work is that of packages
// migrations, relay, relay/relaykafka, relay/admin and inbox/admin; what listens on
// --http-addr is health.go and metrics.go.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage. A failure is one line on stderr
// that says what, where and what to do next; of wrong settings all are listed.
// No output has a password in it.
package main
