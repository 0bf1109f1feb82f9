package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truce-dev/truce/certs"
)

// selfMade makes a certificate now, in a directory of its own.
func selfMade(t *testing.T, log *buffer) *selfCert {
	t.Helper()
	cfg := mustParse(t, "--self-cert-dir", t.TempDir())
	s, err := newSelfCert(cfg, newLogger(log, formatJSON, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelfMadeCertificateSaysWhatItDoes(t *testing.T) {
	var log buffer
	s := selfMade(t, &log)
	now := time.Now()
	const day = 24 * time.Hour
	steps := []struct {
		name                  string
		at                    time.Time
		made, anew, authority int // lines in the log so far
	}{
		{"at the start both are made", now, 1, 0, 1},
		{"nothing while they are fit", now.Add(300 * day), 1, 0, 1},
		{"the certificate before its end", now.Add(340 * day), 2, 0, 1},
		{"the authority before its end, with a warning", now.Add(3640 * day), 3, 1, 1},
	}
	for _, step := range steps {
		if err := s.ensure(step.at); err != nil {
			t.Fatal(err)
		}
		made := len(log.entries("certificate made"))
		anew := len(log.entries("certificate authority made anew, register its caBundle again"))
		authority := len(log.entries("certificate authority made"))
		if made != step.made || anew != step.anew || authority != step.authority {
			t.Errorf("%s: %d certificates, %d authorities anew, %d at first; want %d, %d, %d",
				step.name, made, anew, authority, step.made, step.anew, step.authority)
		}
	}
}

func TestSelfMadeCertificateIsLookedAfter(t *testing.T) {
	var log buffer
	s := selfMade(t, &log)
	s.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()

	path := filepath.Join(s.dir, certs.CertFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new certificate", func() error { _, err := os.Stat(path); return err })

	replace(t, filepath.Join(s.dir, certs.CAFile), []byte("broken"))
	log.wait(t, "certificate not looked after", 1)
}

func TestCertificateIsReadWithoutNoticesToo(t *testing.T) {
	dir := t.TempDir()
	b := makePair(t, dir)
	var log buffer
	cfg := mustParse(t, "--cert-dir", dir)
	c, err := newFileCertificate(cfg, prometheus.NewRegistry(), newLogger(&log, formatJSON, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	c.poll = time.Millisecond
	log.wait(t, "certificate loaded", 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.readAgain(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()

	hosts, err := certs.ParseHosts([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := b.Renew(hosts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	putPair(t, dir, renewed)
	eventually(t, "the new certificate", func() error {
		current, err := c.GetCertificate(nil)
		if err == nil && len(current.Leaf.IPAddresses) > 0 {
			err = errors.New("it is still the old one")
		}
		return err
	})
	replace(t, filepath.Join(dir, certs.KeyFile), []byte("broken"))
	log.wait(t, "certificate not read, the one in use stays", 1)
}

func TestCABundleIsKnownOnlyIfItIsThere(t *testing.T) {
	dir := t.TempDir()
	makePair(t, dir)
	c := &fileCertificate{dir: dir}
	if got, want := c.caBundle(), filepath.Join(dir, certs.CAFile); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := os.Remove(c.caBundle()); err != nil {
		t.Fatal(err)
	}
	if got := c.caBundle(); got != "" {
		t.Errorf("%q though there is none", got)
	}
}
