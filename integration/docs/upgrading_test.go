package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
)

var _ = tell("docs/upgrading.md", func(p *page) {
	p.run("tandem migrate up --database-url " + p.url("owner"))
	require.Equal(p, []string{fmt.Sprintf("%d | %[1]d", schema.Version)}, p.sql())
	require.Contains(p, p.sh(), "is up to date")
	p.exec("owner", "GRANT tandem_relay TO relay")
	require.Contains(p, p.sh(), "nobody, nor has anybody yet")

	// What programs say that are refused.
	text, err := os.ReadFile(filepath.Join(root, p.path))
	require.NoError(p, err)
	for _, v := range []schema.Versions{{Schema: schema.Version - 1, WorksWith: 1}, {Schema: schema.Version + 2, WorksWith: schema.Version + 1}} {
		require.Contains(p, strings.Split(string(text), "\n"), v.Check("tandem").Error())
	}
})
