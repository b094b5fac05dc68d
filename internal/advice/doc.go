// Package advice is how operators are told what is wrong and what to do next:
// alike about the outbox and about the inbox, which do not know each other.
package advice
