package docs_test

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
)

// The reader has a folder with the page's go.mod and the example's main.go in it.
var _ = tell("docs/getting-started.md", func(p *page) {
	repository, err := filepath.Abs(root)
	require.NoError(p, err)
	module := ""
	for _, b := range blocksOf(p, p.path) {
		if strings.HasPrefix(b.text, "module ") {
			module = b.text
		}
	}
	require.Contains(p, module, "=> ../tandem")
	source, err := os.ReadFile(filepath.Join(repository, "examples/quickstart/main.go"))
	require.NoError(p, err)
	for name, content := range map[string]string{"go.mod": strings.Replace(module, "../tandem", repository, 1), "main.go": string(source)} {
		require.NoError(p, os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600))
	}
	p.exec("owner", `DROP TABLE orders, charges`) // the service makes its own

	p.sh() // where the servers are
	p.sh() // migrate
	p.sh() // build, setup, place
	require.Regexp(p, `lag +2 events`, p.sh())
	p.start("relaying")
	p.start("charging o-1", "charging o-2")
	p.run("./shop place o-3 300")
	p.eventually(`SELECT count(*) FROM public.charges`, 3)
	replayed := p.sh()
	require.Contains(p, replayed, "3")
	require.Equal(p, 3, p.count(`SELECT count(*) FROM public.charges`))
})
