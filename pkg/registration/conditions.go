package registration

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/truce-dev/truce/pkg/history"
)

// conditions returns CEL expressions that are false for requests that cannot matter. All must be true for a request to
// be sent, so each must be right by itself; one that fails to evaluate lets the request pass by, under failurePolicy
// Ignore.
func (s *scope) conditions() []admissionv1.MatchCondition {
	var all []admissionv1.MatchCondition
	add := func(name, expression string) {
		if expression != "" && len(all) < maxMatchConditions {
			all = append(all, admissionv1.MatchCondition{Name: name, Expression: expression})
		}
	}
	exempt := s.policy.File.Exempt
	add("not-excluded-resources", s.excluded())
	add("not-exempt-users", none("request.userInfo.username", exempt.Users))
	add("not-exempt-groups", noneOf("request.userInfo.groups", exempt.Groups))
	add("not-exempt-namespaces", s.exemptNamespaces(exempt.Namespaces))
	add("changes-something-watched", s.changed())
	return all
}

// none is true if the value of an expression fits no pattern.
func none(value string, patterns []string) string {
	var terms []string
	for _, p := range patterns {
		terms = append(terms, "!("+fits(value, p)+")")
	}
	return strings.Join(terms, " && ")
}

// noneOf is true if no element of a list fits any pattern. A user without groups has no such list.
func noneOf(list string, patterns []string) string {
	var terms []string
	for _, p := range patterns {
		terms = append(terms, fits("g", p))
	}
	if len(terms) == 0 {
		return ""
	}
	return "!has(" + list + ") || !" + list + ".exists(g, " + strings.Join(terms, " || ") + ")"
}

func (s *scope) exemptNamespaces(patterns []string) string {
	wild := slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return !strings.Contains(p, "*") })
	if len(wild) == 0 {
		return ""
	}
	return "!has(request.namespace) || " + none("request.namespace", wild)
}

// fits is true if a string fits a wildcard.
func fits(value, pattern string) string {
	if !strings.Contains(pattern, "*") {
		return value + " == " + strconv.Quote(pattern)
	}
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return value + ".matches(" + strconv.Quote("^"+strings.Join(parts, ".*")+"$") + ")"
}

// excluded is true if the resource is not one that every rule leaves out.
func (s *scope) excluded() string {
	var terms []string
	for _, pattern := range s.matches[0].ExcludeResources {
		everywhere := true
		for _, m := range s.matches[1:] {
			everywhere = everywhere && slices.Contains(m.ExcludeResources, pattern)
		}
		if everywhere {
			terms = append(terms, "!("+isResource(pattern)+")")
		}
	}
	return strings.Join(terms, " && ")
}

func isResource(pattern string) string {
	name, sub, hasSub := strings.Cut(pattern, "/")
	resource, group, _ := strings.Cut(name, ".")
	var terms []string
	if resource != "*" {
		terms = append(terms, "request.resource.resource == "+strconv.Quote(resource))
	}
	if name != "*" { // in which there is no group: it means every one
		terms = append(terms, fits("request.resource.group", group))
	}
	if hasSub && sub != "*" {
		terms = append(terms, "has(request.subResource) && request.subResource == "+strconv.Quote(sub))
	} else if hasSub {
		terms = append(terms, "has(request.subResource) && request.subResource != \"\"")
	}
	return strings.Join(terms, " && ")
}

// changed is true if an update changes one of the members that any rule watches. There is none if a rule watches
// everything: managedFields change with nearly every write, and writes that change nothing are to be seen then.
func (s *scope) changed() string {
	members := map[string]bool{}
	for _, m := range s.matches {
		for _, f := range m.Fields {
			member, ok := memberOf(f)
			if !ok {
				return ""
			}
			members[member] = true
		}
	}
	delete(members, "")
	if len(members) == 0 {
		return ""
	}
	terms := []string{`request.operation != "UPDATE"`}
	for _, m := range sortedKeys(members) {
		terms = append(terms, "object"+m+".orValue(null) != oldObject"+m+".orValue(null)")
	}
	return strings.Join(terms, " || ")
}

// identifier is what CEL takes as a field's name after a dot.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// memberOf returns the part of an object that holds all fields that a pattern fits, as an optional selection: one
// level down, two within metadata. It reports false if no single member holds them all.
func memberOf(pattern string) (string, bool) {
	if pattern == history.Exists {
		return "", true
	}
	end := strings.IndexAny(pattern, ".[")
	if end < 0 {
		end = len(pattern)
	}
	first, rest := pattern[:end], strings.TrimPrefix(pattern[end:], ".")
	if !identifier.MatchString(first) {
		return "", false
	}
	if first != "metadata" {
		return ".?" + first, true
	}
	if end = strings.IndexAny(rest, ".["); end < 0 {
		end = len(rest)
	}
	if second := rest[:end]; identifier.MatchString(second) {
		return ".?metadata.?" + second, true
	}
	return "", false
}
