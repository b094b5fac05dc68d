//go:build mutants

package faults_test

// mutantsOfConsumers handle messages twice, out of order or not at all.
func mutantsOfConsumers() []*mutant {
	return []*mutant{
		{
			name:   "offset before the effects",
			breaks: "A batch's offset is committed before its transaction.",
			edits: []edit{{
				file: "inbox/inboxkafka/partition.go",
				old:  "\tresult, err := p.apply.Apply(work, p.fence, batch)\n",
				new: "\tif q == &p.live && !p.offsets.commitNow(work, batch[n-1].Message.Offset+1) {\n\t\treturn nil\n\t}\n" +
					"\tresult, err := p.apply.Apply(work, p.fence, batch)\n",
			}},
			shows: []string{lost},
			needs: "A consumer that is killed within a transaction, or gives its partitions up while the database does not answer.",
			seeds: 15,
		},
		{
			name:   "ids outside the transaction",
			breaks: "A batch's ids are committed before its handler is called.",
			edits: []edit{{
				file: "inbox/internal/apply/apply.go",
				old:  "\tif result.Handled, err = a.handle(ctx, s, items); err != nil {\n",
				new: "\tif err := s.commit(ctx); err != nil {\n\t\treturn Result{}, err\n\t}\n" +
					"\tnext, err := a.Database.begin(ctx, limits{a.LockTimeout, a.IdleTimeout}, nil)\n\tif err != nil {\n\t\tcommitted = true\n\t\treturn Result{}, err\n\t}\n\ts = next\n" +
					"\tif result.Handled, err = a.handle(ctx, s, items); err != nil {\n",
			}},
			shows: []string{lost},
			needs: "A handler that fails, or a consumer that is killed or loses its database within a transaction.",
			seeds: 10,
		},
		{
			name:   "ids not recorded",
			breaks: "Every message is taken for new.",
			edits: []edit{{
				file: "inbox/internal/apply/record.go",
				old:  "item.Proof == ByRow || a.Unrecorded {\n",
				new:  "item.Proof == ByRow || item.Proof == ByID {\n",
			}},
			shows: []string{doubled},
			needs: "Anything that is delivered twice.",
			seeds: 10,
		},
		{
			name:   "an id for all its copies",
			breaks: "An id that is new licenses every message of the batch that bears it.",
			edits: []edit{{
				file: "inbox/internal/apply/record.go",
				old:  "\t\titems[i].Known = !b.first[i]\n",
				new: "\t\tif p, ok := b.places[ids.Parse(items[i].Message.ID).Text]; ok {\n\t\t\tb.first[i] = b.first[p.index]\n\t\t}\n" +
					"\t\titems[i].Known = !b.first[i]\n",
			}},
			shows: []string{doubled},
			needs: "A relay that repeats what it has published before the consumer has fetched it: a produce answer that is lost, a relay killed while the consumer is behind.",
			seeds: 15,
		},
		{
			name:   "the consumer holds no key",
			breaks: "Messages pass one of their key that has failed and is set aside.",
			edits: []edit{{
				file: "inbox/inboxkafka/verdict.go",
				old:  "\treturn name, waits || held[name]\n",
				new:  "\treturn name, (waits || held[name]) && len(held) < 0\n",
			}},
			shows: []string{inversion},
			needs: "Messages that fail once and then succeed, with later ones of their key.",
			seeds: 10,
		},
		{
			name:   "no answer to COMMIT taken for a yes",
			breaks: "A transaction whose outcome is unknown counts as committed.",
			edits: []edit{{
				file: "inbox/internal/apply/apply.go",
				old:  "\tif err := s.commit(ctx); err != nil {\n",
				new:  "\tif err := s.commit(ctx); err != nil && code(err) != \"\" {\n",
			}},
			shows: []string{lost, miscounted},
			needs: "A consumer's connection to the database that is lost before COMMIT arrives there.",
			seeds: 30,
		},
	}
}
