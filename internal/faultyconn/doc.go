// Package faultyconn gives tests connections that fail at one message of their
// protocol: at the first, at the second, and so on through all that an operation
// says and hears. What an operation leaves behind is then looked at for each step
// at which its connection can die.
//
//	line := faultyconn.New(faultyconn.Postgres)
//	config.DialFunc = line.Dial
//	line.Each(1, func(at int, how faultyconn.How) {
//		// do it through line, and then see what there is
//	})
//
// It is in process and knows no more of a protocol than where its messages end;
// pgproxy and kafkaproxy choose a moment by what is said.
package faultyconn
