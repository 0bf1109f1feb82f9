package policy

import "fmt"

// WithMode returns p with another mode. The error says which modes there are.
func (p *Policy) WithMode(m Mode) (*Policy, error) {
	switch m {
	case Audit, Warn, Enforce:
	default:
		return nil, fmt.Errorf("there is no mode %q, only %s, %s and %s", m, Audit, Warn, Enforce)
	}
	c := *p
	c.File.Mode = m
	// What the compiled rules point to is shared: it does not depend on the mode.
	return &c, nil
}
