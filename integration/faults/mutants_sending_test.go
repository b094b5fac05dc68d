//go:build mutants

package faults_test

// mutantsOfSending send events in another order, too often, too early or not at all.
func mutantsOfSending() []*mutant {
	return []*mutant{
		{
			name:   "two requests of a lane",
			breaks: "A lane has two requests under way, on two connections.",
			edits: []edit{{
				file: "relay/topic.go",
				old:  "\t\ttp.working.Go(func() { tp.end(l.run()) })\n",
				new:  "\t\ttp.working.Go(func() { tp.end(l.run()) })\n\t\ttp.working.Go(func() { tp.end(l.run()) })\n",
			}},
			shows: []string{inversion},
			needs: "Several events of a key within the time of a request; a slow, throttled or cut connection to Kafka.",
			seeds: 10,
		},
		{
			name:   "the second half first",
			breaks: "A batch that was refused for a record's sake is halved, and its second half is sent first.",
			edits: []edit{
				{"relay/lane.go", "l.publish(batch[:half], scratch)", "l.publish(batch[half:], scratch)"},
				{"relay/lane.go", "\treturn l.publish(batch[half:], scratch)\n", "\treturn l.publish(batch[:half], scratch)\n"},
			},
			shows: []string{inversion},
			needs: "Refused records in batches with several events of another key.",
			seeds: 15,
		},
		{
			name:   "no answer taken for a yes",
			breaks: "A request whose outcome is unknown counts as acknowledged.",
			edits: []edit{{
				file: "relay/lane.go",
				old:  "\t\tif err == nil {\n\t\t\tl.succeeded(p)\n",
				new:  "\t\tif err == nil || verdict(err) == Retry {\n\t\t\tl.succeeded(p)\n",
			}},
			shows: []string{lost},
			needs: "Connections between relay and Kafka that are cut, or a broker that is killed or gives its partitions up.",
			seeds: 10,
		},
		{
			name:   "at most once, again",
			breaks: "An at-most-once event whose outcome is unknown is sent again.",
			edits: []edit{{
				file: "relay/lane.go",
				old:  "\t\tcase batch[0].once != atLeastOnce:\n",
				new:  "\t\tcase batch[0].once != atLeastOnce && verdict(err) == RefusedTopic:\n",
			}},
			shows: []string{twice},
			needs: "At-most-once events, and answers of Kafka to their requests that are lost.",
			seeds: 20,
		},
		{
			name:   "a held key is not held",
			breaks: "Events pass one of their key that is parked, or waits for its partition.",
			edits: []edit{{
				file: "relay/admit.go",
				old:  "\t_, held := tp.held[key]\n\treturn held\n",
				new:  "\t_, held := tp.held[key]\n\treturn held && len(tp.held) < 0\n",
			}},
			shows: []string{inversion},
			needs: "Refused records, later events of their keys, and a redrive that brings them after these; or an oracle to which an event is out of order if an earlier one of its key is parked still.",
			seeds: 10,
		},
		{
			name:   "new partitions at once",
			breaks: "When a topic has grown, new events go to their new lanes while the old ones still have earlier events of the same keys.",
			edits: []edit{
				{"relay/topic.go", "\t\tif tp.under > 0 {\n\t\t\ttp.holding = true\n", "\t\tif tp.under < 0 {\n\t\t\ttp.holding = true\n"},
				// A run lasts no longer than a relay takes to look.
				{"relay/watch.go", "watchEvery = 5 * time.Second", "watchEvery = 50 * time.Millisecond"},
				{"relay/relaykafka/config.go", "defaultMetadataTTL    = 5 * time.Second", "defaultMetadataTTL    = 50 * time.Millisecond"},
			},
			shows: []string{inversion},
			needs: "A partition that is added while a lane of the topic is slow or repeats its request, and first appearances compared over partitions.",
			seeds: 60,
		},
		{
			name:   "scheduled events early",
			breaks: "What is due within the next 300 ms is due.",
			edits: []edit{{
				file: "relay/store_sql.go",
				old:  "due_at <= clock_timestamp() AND position <> ALL",
				new:  "due_at <= clock_timestamp() + interval '300 milliseconds' AND position <> ALL",
			}},
			shows: []string{early},
			needs: "Several scheduled events, within a second of each other: each look for one finds the others too. The times of appending are compared.",
			seeds: 10,
		},
	}
}
