package notify

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
)

// maxSecret is how long a file with a secret may be, in bytes.
const maxSecret = 16 << 10

// secrets are texts that must not show.
type secrets []string

// hide returns text without the secrets in it. They should not be there in the first place: this is for what libraries
// and receivers put into their errors.
func (s secrets) hide(text string) string {
	// The longest first, so that of a secret that holds another one nothing is left.
	all := slices.Clone(s)
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range all {
		if len(secret) >= minHidden {
			text = strings.ReplaceAll(text, secret, "(hidden)")
		}
	}
	return text
}

// minHidden is how long a secret is at least: a path of / hides nothing, and taking it out would garble the text.
const minHidden = 4

// read returns what to send and where. Files are read each time, so that a secret that was exchanged is in use at once.
func (p place) read() (to address, hidden secrets, err error) {
	text := p.url
	if p.urlFile != "" {
		if text, err = readSecret(p.urlFile); err != nil {
			return address{}, nil, fmt.Errorf("reading the URL: %w", err)
		}
		if to.url, err = parseURL(text); err != nil {
			return address{}, secrets{text}, fmt.Errorf("the URL in %s %w", p.urlFile, err)
		}
	} else if to.url, err = parseURL(text); err != nil {
		return address{}, nil, err
	}
	hidden = secretsOf(text, to.url)
	for _, h := range p.headers {
		value := h.Value
		if h.ValueFile != "" {
			if value, err = readSecret(h.ValueFile); err != nil {
				return address{}, hidden, fmt.Errorf("reading the header %s: %w", h.Name, err)
			}
			if !isHeaderValue(value) {
				return address{}, hidden, fmt.Errorf("the value of the header %s in %s has a character that a header cannot have",
					h.Name, h.ValueFile)
			}
			hidden = append(hidden, value)
			hidden = append(hidden, strings.Fields(value)...) // "Bearer", and the token alone
		}
		to.headers = append(to.headers, [2]string{h.Name, value})
	}
	return to, hidden, nil
}

// address is where to post, and with which headers.
type address struct {
	url     *url.URL
	headers [][2]string
}

// secretsOf returns what of a URL must not show: all but its scheme and host.
func secretsOf(text string, u *url.URL) secrets {
	hidden := secrets{text, u.String(), u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery}
	if u.User != nil {
		password, _ := u.User.Password()
		hidden = append(hidden, u.User.String(), u.User.Username(), password)
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		// A part as long as this is no word.
		if len(part) >= 16 {
			hidden = append(hidden, part)
		}
	}
	for _, values := range u.Query() {
		hidden = append(hidden, values...)
	}
	return hidden
}

// parseURL reads the URL of a receiver. Its errors do not show it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return nil, errors.New("is no URL that starts with https:// or http:// and a host")
	}
	return u, nil
}

// redacted names a receiver's URL without what is secret in it.
func redacted(u *url.URL) string { return u.Scheme + "://" + u.Host + "/…" }

func escapePath(s string) string { return url.PathEscape(s) }

// readSecret returns what is in a file, without the white space around it.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s is longer than %d bytes", path, maxSecret)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return text, nil
}
