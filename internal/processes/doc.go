// Package processes tells what processes of this machine have used, and who listens
// on a port, for benchmarks. It reads Linux's /proc; other systems do not tell, and
// every answer is zero there.
package processes
