package policy

import (
	_ "embed"
	"slices"
)

// schema.json is made of the types and their comments, which are not there at run time.
//
//go:generate go test . -run ^TestSchema$ -update
//go:generate go test . -run ^TestReference$ -update
//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema of a policy file, for editors. A file that Load accepts passes it, unless it writes null
// for what it leaves out. Not the other way round: what one value alone does not show, a schema cannot say.
func Schema() []byte { return slices.Clone(schemaJSON) }
