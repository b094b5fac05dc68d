// Package localpg starts a PostgreSQL server of one's own on this machine, for
// tests and for the demo: real durability settings (fsync stays on), password
// authentication, one port of 127.0.0.1, everything in one directory that
// disappears with it.
//
//	server, err := localpg.Start(ctx, localpg.Options{})
//	if err != nil {
//		return err
//	}
//	defer server.Stop()
//	conn, err := pgx.Connect(ctx, server.URL("postgres"))
//
// The programs come from this machine where a fitting version is installed,
// else they are downloaded once and kept in a cache. PostgreSQL refuses to run
// as root, so when we are root it runs as the system's "nobody".
//
// [Server.StopImmediate] and [Server.Kill] are crashes; [Server.Restart] brings
// the same data back on the same port. The caller ends every server with
// [Server.Stop], also one that has crashed.
package localpg
