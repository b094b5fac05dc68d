//go:build mutants

package faults_test

// mutantsOfSaving say of events what is not so, or do not say it in time.
func mutantsOfSaving() []*mutant {
	return []*mutant{
		{
			name:   "checkpoint before the acknowledgement",
			breaks: "The checkpoint says of all that was read that it is done.",
			edits: []edit{{
				file: "relay/tracker.go",
				old:  "\treturn t.at\n",
				new:  "\tif n := len(t.pages); n > 0 {\n\t\treturn t.pages[n-1].after\n\t}\n\treturn t.at\n",
			}},
			shows: []string{lost},
			needs: "A relay that is killed, or loses a server, while events are under way.",
			seeds: 10,
		},
		{
			name:   "the newest acknowledgement counts",
			breaks: "The checkpoint goes to the end of the page that was finished last, past those before it that are not.",
			edits:  []edit{{"relay/tracker.go", "\t\t\tfinished = true\n", "\t\t\tfinished = true\n\t\t\tt.at = p.after\n\t\t\tnotify(t.dirty)\n"}},
			shows:  []string{lost},
			needs:  "One lane that stands still (a partition without a leader, a topic that is missing, a refused record) while others go on, and then a relay that is killed.",
			seeds:  20,
		},
		{
			name:   "no fence",
			breaks: "save_checkpoint does not look at owner and epoch, nor does a renewal, and trust never ends: a relay that was frozen goes on beside its successor.",
			edits: []edit{
				{"migrations/sql/00003_relay.sql", "WHERE l.owner = save_checkpoint.owner AND l.epoch = save_checkpoint.epoch FOR SHARE;", "FOR SHARE;"},
				{"relay/sql.go", "WHERE owner = $1 AND epoch = $2 RETURNING clock_timestamp()", "WHERE ($1::uuid, $2::bigint) IS NOT NULL RETURNING clock_timestamp()"},
				{"relay/lease.go", "\treturn trust - max(monotonic, wall)\n", "\treturn max(trust-max(monotonic, wall), trust/2)\n"},
			},
			shows: []string{twice},
			needs: "The working relay frozen beyond its lease, and at-most-once events afterwards. The mutant has migrated the database.",
			seeds: 15,
		},
		{
			name:   "set aside after the checkpoint",
			breaks: "The checkpoint passes events that are set aside in one save, and another one stores them a moment later.",
			edits: []edit{{
				file: "relay/keeper.go",
				old:  "\tat := k.tracker.checkpoint()\n\treturn k.saveWith(ctx, at, k.asides.take(), false)\n",
				new: "\ttaken := k.asides.take()\n\tif len(taken.entries) > 0 {\n\t\t_ = sleep(ctx, 60*time.Millisecond)\n" +
					"\t\tif err := k.saveWith(ctx, k.tracker.checkpoint(), &asides{}, true); err != nil {\n\t\t\tk.asides.giveBack(taken)\n\t\t\treturn err\n\t\t}\n" +
					"\t\t_ = sleep(ctx, 100*time.Millisecond)\n\t}\n\treturn k.saveWith(ctx, k.tracker.checkpoint(), taken, false)\n",
			}},
			shows: []string{lost},
			needs: "Scheduled, refused or held events, and a relay that is killed or whose save gets no answer.",
			seeds: 15,
		},
		{
			name:   "a stored event is taken out before it is acknowledged",
			breaks: "Scheduled events leave the table as they are handed to the lanes.",
			edits: []edit{{
				file: "relay/schedule.go",
				old:  "\t\tif it.once == atLeastOnce || it.expires != 0 && it.expires <= now {\n",
				new:  "\t\tif it.expires != 0 && it.expires <= now {\n",
			}},
			shows: []string{lost},
			needs: "Scheduled events that are due while Kafka does not answer, or a lane is slow, and then a relay that is killed or loses its database.",
			seeds: 20,
		},
		{
			name:   "claims not saved",
			breaks: "At-most-once events are sent without a word of it in the database.",
			edits: []edit{
				{"relay/claim.go", "\tif !at.own {\n", "\tif false {\n"},
				{"relay/claim.go", "\tif c.own != \"\" {\n", "\tif false {\n"},
			},
			shows: []string{twice},
			needs: "At-most-once events, and a relay that is killed before the checkpoint has passed them; sooner where a lane stands still.",
			seeds: 15,
		},
	}
}
