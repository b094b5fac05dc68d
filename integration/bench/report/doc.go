// Package report makes the page of the benchmarks, its tables and its plots, out of
// what a run has left as JSON.
package report
