// Package localproc runs the servers that tests and the demo start on this
// machine, and makes sure that none of them is left behind.
//
// A [Process] is the leader of a process group of its own, so that Ctrl-C in a
// terminal reaches only us and we decide the order of stopping. On Linux it
// also dies with us when we are killed; elsewhere an ending by SIGKILL leaves
// it running.
//
// A directory from [MakeDir] is locked for as long as we live. Whoever makes
// the next one first removes those that a killed process left, so a machine
// does not fill up with abandoned data.
package localproc
