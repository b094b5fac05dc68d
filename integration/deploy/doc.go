// Package deploy tests the files of deploy/kubernetes against the types of
// Kubernetes's own API, and against the program. It is a module of its own, so that
// nobody else has those types in his go.mod.
package deploy
