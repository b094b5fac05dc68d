//go:build mutants

package faults_test

// mutantsOfReading read the log wrongly, or have it written or emptied wrongly.
func mutantsOfReading() []*mutant {
	return []*mutant{
		{
			name:   "windows cut by transaction",
			breaks: "A window ends at a transaction: all that began before it, and nothing that began later and has ended. Of two writers of a key the one that began first may have added second.",
			edits: []edit{
				{
					file: "relay/reader.go",
					old:  "\tcase h.events >= r.cfg.PageEvents || h.volume >= r.cfg.PageBytes:\n",
					new:  "\tcase h.events >= 10:\n",
				},
				{
					file: "relay/reader.go",
					old:  "\tcur := r.at\n\tcur.cur = snapshot\n",
					new: "\tcut := \"SELECT coalesce((SELECT format('%s:%s:%s', least(pg_snapshot_xmin(s)::text::bigint, x), x, \" +\n" +
						"\t\t\"(SELECT string_agg(i::text, ',' ORDER BY i::text::bigint) FROM pg_snapshot_xip(s) AS i WHERE i::text::bigint < x)) \" +\n" +
						"\t\t\"FROM (SELECT $2::text::pg_snapshot AS s, tx::text::bigint AS x FROM (SELECT DISTINCT tx FROM tandem.log \" +\n" +
						"\t\t\"WHERE tx >= pg_snapshot_xmax($1::text::pg_snapshot)) AS later ORDER BY tx OFFSET 3 LIMIT 1) AS cut), $2::text)\"\n" +
						"\tif err := r.conn.QueryRow(ctx, cut, r.at.prev, snapshot).Scan(&snapshot); err != nil {\n" +
						"\t\treturn fmt.Errorf(\"cut the window: %w\", because(ctx, err))\n" +
						"\t}\n" +
						"\tcur := r.at\n\tcur.cur = snapshot\n",
				},
			},
			shows: []string{inversion},
			needs: "Ten events found at once, after any standstill; overlapping transactions of one key, of which the one that has an id first locks the key second.",
			seeds: 15,
		},
		{
			name:   "a sequence with CACHE 50",
			breaks: "Sessions draw positions in advance, so a key's later event may stand before its earlier one, and an anchor bounds nothing.",
			edits: []edit{
				{"migrations/sql/00002_log.sql", "CREATE SEQUENCE tandem.log_position AS bigint CACHE 1;", "CREATE SEQUENCE tandem.log_position AS bigint CACHE 50;"},
				{"relay/internal/findings/structure.go", "cache != 1 {", "cache < 1 {"},
			},
			shows: []string{inversion, lost},
			needs: "Several sessions that write the same keys, which are kept open. The mutant has migrated the database.",
			seeds: 10,
		},
		{
			name:   "late commits forgotten",
			breaks: "A poll looks for transactions after the last snapshot alone, not for those that were in progress then.",
			edits: []edit{{
				file: "relay/sql.go",
				old:  "AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot())))\n\t\tORDER BY tx LIMIT $2",
				new:  "AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot()) AND false))\n\t\tORDER BY tx LIMIT $2",
			}},
			shows: []string{lost},
			needs: "Transactions that are in progress while the relay polls.",
			seeds: 10,
		},
		{
			name:   "no durability gate",
			breaks: "What is visible is published at once, whether or not it is on disk, and the relay's own commits, claims among them, do not put it there.",
			edits: []edit{
				{"relay/reader.go", "\tfor flushed := h.flush; flushed < h.insert; {\n", "\tfor flushed := h.insert; flushed < h.insert; {\n"},
				{"relay/reader.go", "\t\tif h.flush >= h.insert {\n", "\t\tif h.flush >= 0 {\n"},
				{"relay/sql.go", "SET synchronous_commit = on;", "SET synchronous_commit = off;"},
			},
			shows: []string{uncommitted, lost, twice},
			needs: "Writers with synchronous_commit=off, a moment in which nobody else commits (who does flushes for all), an immediate restart of PostgreSQL.",
			seeds: 40,
		},
		{
			name:   "cursor kept over a reconnect",
			breaks: "A relay that gets its lease again goes on where it was reading, instead of at the saved checkpoint.",
			edits: []edit{
				{"relay/relay.go", "\twaitCancelled atomic.Bool\n", "\twaitCancelled atomic.Bool\n\tkept          checkpoint\n\tkeptEpoch     int64\n"},
				{
					file: "relay/term.go",
					old:  "\tdefer closeConn(reading)\n",
					new:  "\tdefer closeConn(reading)\n\tif r.kept.prev != \"\" && l.epoch == r.keptEpoch+1 {\n\t\tbegun.at = r.kept\n\t}\n",
				},
				{
					file: "relay/term.go",
					old:  "\terr = t.work(ctx, &reader{term: t, conn: reading, at: begun.at})\n",
					new:  "\trd := &reader{term: t, conn: reading, at: begun.at}\n\terr = t.work(ctx, rd)\n\tr.kept, r.keptEpoch = rd.at, l.epoch\n",
				},
			},
			shows: []string{lost},
			needs: "A restart of PostgreSQL or a cut between it and the working relay, with events read and not acknowledged or set aside and not saved.",
			seeds: 20,
		},
		{
			name:   "leaves given back unread",
			breaks: "A leaf that is not the one being written is truncated whatever the saved checkpoint says.",
			edits:  []edit{{"migrations/sql/00003_relay.sql", "    RETURN NOT unread;\n", "    RETURN true;\n"}},
			shows:  []string{lost},
			needs:  "A leap of the sequence to another leaf while the one before has events that are not read, or are set aside only later: the relay away or Kafka down. The mutant has migrated the database.",
			seeds:  15,
		},
	}
}
