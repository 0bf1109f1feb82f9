package report

import "time"

// Change is one write of one field.
type Change struct {
	Time   time.Time `json:"time"`
	Object Object    `json:"object"`
	Field  string    `json:"field"`
	Writer Writer    `json:"writer"`
	// Verb is CREATE, UPDATE or DELETE.
	Verb string `json:"verb"`
	// From and To stand for the values: 16 hexadecimal digits of a keyed hash, "absent", or "present" for an object's
	// existence. Hashes made with different keys cannot be compared: see Changes.Key.
	From string `json:"from"`
	To   string `json:"to"`
	// FromValue and ToValue are the values themselves, as JSON, cut if they are long. They are there only if the policy's
	// rule asks for them, and never for Secrets.
	FromValue string `json:"fromValue,omitzero"`
	ToValue   string `json:"toValue,omitzero"`
	// Reversal: the field was to be brought back to a value it had before.
	Reversal bool    `json:"reversal,omitzero"`
	Outcome  Outcome `json:"outcome"`
	// Fight is the id of the fight or loop it belongs to.
	Fight string `json:"fight,omitzero"`
}

// Outcome is what became of a write's change: one of a closed set.
type Outcome string

// The outcomes. Stored means that Truce let it through: another webhook, or a lost race, may still have stopped it.
const (
	Stored    Outcome = "Stored"
	Warned    Outcome = "Warned" // stored, with a warning to its client
	Held      Outcome = "Held"
	Rejected  Outcome = "Rejected"
	Throttled Outcome = "Throttled"
	DryRun    Outcome = "DryRun"
	Unseen    Outcome = "Unseen" // learnt from what was stored: the write itself passed this replica by
)

// Fights is the answer of /api/v1/fights.
type Fights struct {
	Items []Fight `json:"items"`
}

// Changes is the answer of /api/v1/changes, oldest first.
type Changes struct {
	Items []Change `json:"items"`
	// Truncated: there are older changes that fit, too.
	Truncated bool `json:"truncated,omitzero"`
	// Key identifies the key that values were hashed with: replicas that share a key have the same.
	Key string `json:"key,omitzero"`
}
