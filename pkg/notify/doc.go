// Package notify tells people and programs about fights, and what changed on resources they chose: in Slack, in
// Microsoft Teams, at any HTTP endpoint, as CloudEvents. docs/notifications.md is for those who set it up.
//
// It follows the register as the stream of events does: it looks at it once a second and never makes it wait. There is
// no queue of messages. What a receiver has yet to be told follows from what it was told last and how the fights stand
// now, so a receiver that is slow or gone for a while is told the state of things when it is back, once, and takes no
// more memory meanwhile.
package notify
